"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const TILES = 24;
// The first tab in which there is something.
const firstTab = data.tabs.find((tab) => tab.groups.length) ?? data.tabs[0];
const state = { tab: firstTab.key, sort: firstTab.sort, query: "", isLeftOnly: false };
const groups = document.getElementById("groups");
const FIELDS = ["path", "now", "link", "bytes", "width", "height", "format", "picture", "id", "modified", "taken", "camera", "exposure"];
const images = data.images.map(readImage);
const tabs = Object.fromEntries(data.tabs.map((tab) => [tab.key, tab.groups.map(readGroup)]));
let shown = [], walk = [];

function readImage(row) {
  const image = Object.fromEntries(FIELDS.map((name, i) => [name, row[i] ?? null]));
  image.now = image.now === null ? image.path : image.now;
  if (image.link === "") image.link = [data.base, ...image.now.split("/").map(encodeURIComponent)].join("/");
  return image;
}

function readGroup([kept, others]) {
  const members = others.map(([image, ssim, detail, local, action, reason, orientation, hint]) =>
    ({ kept, image, ssim, detail, local, action, reason, orientation: orientation ?? 1, hint: data.hints[hint] ?? "" }));
  const all = [kept, ...members.map((member) => member.image)].map((image) => images[image]);
  return {
    kept, members,
    low: Math.min(...members.map((member) => member.ssim)),
    high: Math.max(...members.map((member) => member.ssim)),
    bytes: members.reduce((sum, member) => sum + images[member.image].bytes, 0),
    words: all.map((image) => image.path + "\n" + image.now).join("\n").toLowerCase(),
  };
}

const SORTS = {
  low: (a, b) => a.low - b.low,
  high: (a, b) => b.high - a.high,
  copies: (a, b) => b.members.length - a.members.length || a.low - b.low,
  bytes: (a, b) => b.bytes - a.bytes,
  path: (a, b) => images[a.kept].path.localeCompare(images[b.kept].path),
};

// Names come from anywhere: they only ever become text and attributes, never markup.
function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name in element && name !== "style") element[name] = value; else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

const bytes = (count) => {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const step = Math.min(units.length - 1, count < 1 ? 0 : Math.floor(Math.log10(count) / 3));
  const value = count / 1000 ** step;
  return `${value < 10 && step ? value.toFixed(1) : Math.round(value)} ${units[step]}`;
};
const score = (value) => (value === null ? "–" : value.toFixed(4));
const name = (path) => path.slice(path.lastIndexOf("/") + 1);
const place = (path) => path.slice(0, path.lastIndexOf("/") + 1);
const source = (image) => "data:image/jpeg;base64," + data.header + data.pictures[images[image].picture];
const hasPicture = (image) => Number.isInteger(images[image].picture);

// By the orientations of EXIF, a, b, c and d of the matrix, as CSS and canvases have it, that turns a square so.
const TURNS = {
  1: [1, 0, 0, 1], 2: [-1, 0, 0, 1], 3: [-1, 0, 0, -1], 4: [1, 0, 0, -1],
  5: [0, 1, 1, 0], 6: [0, 1, -1, 0], 7: [0, -1, -1, 0], 8: [0, -1, 1, 0],
};
const turned = (orientation) => (orientation === 1 ? null
  : make("span", { className: "turned" }, `Shown ${data.orientations[orientation]}`));

// The picture as it is, or turned to match another; with the map of `member`, if that is given.
function sheet(image, orientation, member) {
  const shown = images[image];
  if (!hasPicture(image)) return make("span", { className: "gone" }, shown.picture || "not embedded, to keep this page small");
  const ratio = ratioOf(image, orientation);
  return make("span", { className: "sheet", style: sizeOf(ratio) },
    make("img", { src: source(image), alt: "", decoding: "async", style: turnOf(orientation, ratio) }),
    member && hasPicture(member.kept) ? mapOf(member) : null);
}

// The width of a picture for its height, as it is shown.
function ratioOf(image, orientation) {
  const { width, height } = images[image];
  return orientation < 5 ? width / height : height / width;
}

const sizeOf = (ratio) => `aspect-ratio:${ratio};width:min(100%,calc(var(--height)*${ratio}))`;

// A picture fills a box of this ratio as it is when it is turned: what lies on its side is stretched.
function turnOf(orientation, ratio) {
  const [a, b, c, d] = TURNS[orientation];
  return `transform:matrix(${a},${b / ratio},${c * ratio},${d},0,0)`;
}

const REST_MS = 150;
function tile(image, badge, kind, scores, member, open) {
  const shown = images[image], orientation = member ? member.orientation : 1;
  const drawn = sheet(image, orientation, member), map = drawn.querySelector("canvas");
  const look = () => map && drawMap(map);
  // Not of each picture that passes below the pointer while the page is scrolled.
  const lookSoon = () => { map.soon = setTimeout(look, REST_MS); }, leave = () => clearTimeout(map.soon);
  const watching = map ? { onpointerenter: lookSoon, onpointerleave: leave, onfocus: lookSoon, onblur: leave } : {};
  return make("button", { type: "button", className: "tile", title: shown.path, onclick: open, ...watching },
    make("span", { className: "stage" }, drawn, badge && make("span", { className: "badge " + kind }, badge)),
    make("span", { className: "name" }, name(shown.path)),
    place(shown.path) ? make("span", { className: "muted" }, place(shown.path)) : null,
    make("span", { className: "muted" }, `${shown.width} × ${shown.height} · ${bytes(shown.bytes)} · ${shown.format || "?"}`),
    scores ? make("span", { className: "scores" }, scores) : null,
    turned(orientation),
    hasPicture(image) && shown.link === null ? make("span", { className: "muted" }, "no longer there") : null);
}

// -- where two pictures differ ---------------------------------------------------------------------------------------

// The SSIM map of scikit-image, structural_similarity(..., channel_axis=-1, full=True), averaged over the channels: windows of
// 7 x 7 pixels, of equal weight, mirrored at the border, with the sample covariance. The sums over windows are of integers, and
// exact: sums over 7 rows are kept for each column and slide down, and the sum over 7 of those slides to the right.
// `first` and `second` are RGBA, as canvases have them; row by row, a number a pixel is returned.
function ssimMap(first, second, side) {
  const C1 = (0.01 * 255) ** 2, C2 = (0.03 * 255) ** 2, PIXELS = 49;
  const map = new Float64Array(side * side), columns = new Int32Array(5 * side), sums = new Int32Array(5);
  const at = Int32Array.from({ length: side + 6 }, (_, i) => (i < 3 ? 2 - i : i < side + 3 ? i - 3 : 2 * side + 2 - i));
  const addRow = (row, channel, sign) => {
    for (let column = 0, i = 4 * row * side + channel; column < side; column++, i += 4) {
      const x = first[i], y = second[i], k = 5 * column;
      columns[k] += sign * x; columns[k + 1] += sign * y;
      columns[k + 2] += sign * x * x; columns[k + 3] += sign * y * y; columns[k + 4] += sign * x * y;
    }
  };
  const addColumn = (column, sign) => { for (let k = 0; k < 5; k++) sums[k] += sign * columns[5 * column + k]; };
  for (let channel = 0; channel < 3; channel++) {
    columns.fill(0);
    for (let i = 0; i < 6; i++) addRow(at[i], channel, 1);
    for (let row = 0; row < side; row++) {
      addRow(at[row + 6], channel, 1);
      sums.fill(0);
      for (let i = 0; i < 6; i++) addColumn(at[i], 1);
      for (let column = 0; column < side; column++) {
        addColumn(at[column + 6], 1);
        const x = sums[0], y = sums[1], xx = sums[2], yy = sums[3], xy = sums[4];
        const meanX = x / PIXELS, meanY = y / PIXELS, scale = PIXELS * (PIXELS - 1);
        const spread = (PIXELS * xx - x * x + PIXELS * yy - y * y) / scale, shared = (PIXELS * xy - x * y) / scale;
        map[row * side + column] += (2 * meanX * meanY + C1) * (2 * shared + C2) / ((meanX * meanX + meanY * meanY + C1) * (spread + C2)) / 3;
        addColumn(at[column], -1);
      }
      addRow(at[row], channel, -1);
    }
  }
  return map;
}

async function pixelsOf(image, orientation) {
  const picture = make("img", { src: source(image) });
  await picture.decode();
  const side = picture.naturalWidth, canvas = make("canvas", { width: side, height: side });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const [a, b, c, d] = TURNS[orientation];
  context.imageSmoothingEnabled = false;
  context.setTransform(a, b, c, d, a + c < 0 ? side : 0, b + d < 0 ? side : 0);
  context.drawImage(picture, 0, 0);
  return context.getImageData(0, 0, side, side);
}

// Amber where SSIM is just below 1, magenta where it is 0 or less, transparent where it is 1. The square root of the difference
// shows small ones, which are what one looks for.
const FAINTEST = [255, 176, 0], DEEPEST = [255, 0, 102];
async function drawMap(canvas) {
  if (canvas.isBegun) return;
  canvas.isBegun = true;
  const [first, second] = await Promise.all([pixelsOf(canvas.member.kept, 1), pixelsOf(canvas.member.image, canvas.member.orientation)]);
  const side = first.width, drawn = new ImageData(side, side);
  ssimMap(first.data, second.data, side).forEach((ssim, i) => {
    const depth = Math.min(1, Math.max(0, 1 - ssim));
    for (let c = 0; c < 3; c++) drawn.data[4 * i + c] = (1 - depth) * FAINTEST[c] + depth * DEEPEST[c];
    drawn.data[4 * i + 3] = 255 * Math.sqrt(depth);
  });
  canvas.width = canvas.height = side;
  canvas.getContext("2d", { willReadFrequently: true }).putImageData(drawn, 0, 0);
}

// Maps are drawn where they are seen, one after the other, so that the page can be scrolled meanwhile.
let drawing = Promise.resolve();
const watcher = new IntersectionObserver((seen) => {
  for (const { target, isIntersecting } of seen) {
    if (!isIntersecting) continue;
    watcher.unobserve(target);
    drawing = drawing.then(() => target.isConnected && drawMap(target)).catch(console.error);
  }
});

function mapOf(member) {
  return Object.assign(make("canvas", { className: "map", width: 1, height: 1 }), { member });
}

function watchMaps(part) {
  if (groups.classList.contains("show-maps")) part.querySelectorAll("canvas").forEach((canvas) => watcher.observe(canvas));
}

// -- the gallery -----------------------------------------------------------------------------------------------------

// Each group is an element from the beginning, so that the page has its length, and is filled as it comes near. Some of them
// together are what the browser lays out, paints and watches, or leaves alone: two thousand would be too much for each frame.
const TOGETHER = 10, NEAR_PX = 1500;
const approach = new IntersectionObserver((seen) => {
  for (const { target, isIntersecting } of seen) {
    if (!isIntersecting) continue;
    approach.unobserve(target);
    target.some.forEach(fill);
  }
}, { rootMargin: `${NEAR_PX}px 0px` });

function cardOf(group) {
  if (!group.card) group.card = Object.assign(make("article", { className: group.members.length === 1 ? "group is-pair" : "group" }), { group, isFilled: false });
  return group.card;
}

const KIND = { review: "review", near: "near" };
function fill(group) {
  const card = cardOf(group);
  if (card.isFilled) return;
  card.isFilled = true;
  const kind = KIND[state.tab] || "", hasReason = state.tab === "review" || state.tab === "stayed";
  const keptBadge = state.tab === "near" ? "first" : state.tab === "stayed" ? "kept" : null;
  const tiles = make("div", { className: "tiles" },
    slot(group, 0, tile(group.kept, keptBadge, "kept", null, null, () => openPair(group.members[0]))));
  const add = (members, after) => members.map((member, i) => slot(group, after + i,
    tile(member.image, `SSIM ${score(member.ssim)}`, kind, `detail SSIM ${score(member.detail)} · local ${score(member.local)}`, member, () => openPair(member))));
  tiles.append(...add(group.members.slice(0, TILES), 1));
  const rest = group.members.slice(TILES);
  if (rest.length) {
    const more = make("button", { type: "button", className: "more" }, `Show ${rest.length} more`);
    more.onclick = () => { more.replaceWith(...add(rest, 1 + TILES)); refresh(group); watchMaps(card); };
    tiles.append(more);
  }
  const why = hasReason ? make("p", { className: "why" }, [...new Set(group.members.map((member) => member.reason))].join(" · ")) : null;
  card.append(tiles, ...[panel(group, why)].filter((element) => element !== null));
  refresh(group);
  watchMaps(card);
}

function partOf(some, after) {
  some.forEach((group, i) => Object.assign(cardOf(group), { ariaPosInSet: after + i + 1, ariaSetSize: shown.length }));
  return Object.assign(make("div", { className: "part", style: `--groups:${some.length}` }, ...some.map(cardOf)), { some });
}

function render() {
  const query = state.query.toLowerCase();
  shown = tabs[state.tab].filter((group) => group.words.includes(query) && !(state.isLeftOnly && isDone(group))).sort(SORTS[state.sort]);
  walk = shown.flatMap((group) => group.members);
  approach.disconnect();
  const parts = [];
  for (let i = 0; i < shown.length; i += TOGETHER) parts.push(partOf(shown.slice(i, i + TOGETHER), i));
  groups.replaceChildren(...parts);
  parts.forEach((part, i) => { if (i === 0) part.some.forEach(fill); else approach.observe(part); });
  watchMaps(groups);
  const tab = data.tabs.find((one) => one.key === state.tab);
  if (!shown.length) groups.append(make("p", { className: "empty" }, explainNone(tab)));
  document.getElementById("note").textContent = tab.note;
  for (const button of document.querySelectorAll(".tabs button")) {
    const isSelected = button.dataset.tab === state.tab;
    button.setAttribute("aria-selected", String(isSelected));
    button.tabIndex = isSelected ? 0 : -1;
  }
  begin();
}

function explainNone(tab) {
  if (state.query) return "No path contains these words.";
  return state.isLeftOnly && tabs[state.tab].length ? "All of these are decided." : tab.empty;
}

function openTab(key) {
  const tab = data.tabs.find((one) => one.key === key);
  document.getElementById("sort").value = tab.sort;
  Object.assign(state, { tab: key, sort: tab.sort });
  render();
}

for (const button of document.querySelectorAll(".tabs button")) {
  button.addEventListener("click", () => openTab(button.dataset.tab));
  button.addEventListener("keydown", (event) => {
    const next = { ArrowLeft: button.previousElementSibling, ArrowRight: button.nextElementSibling }[event.key];
    if (next) { next.focus(); next.click(); }
  });
}
document.getElementById("sort").addEventListener("change", (event) => { state.sort = event.target.value; render(); });
document.getElementById("find").addEventListener("input", (event) => { state.query = event.target.value; render(); });
document.getElementById("maps").addEventListener("change", (event) => { groups.classList.toggle("show-maps", event.target.checked); watchMaps(groups); });
document.getElementById("left").addEventListener("change", (event) => { state.isLeftOnly = event.target.checked; render(); });
