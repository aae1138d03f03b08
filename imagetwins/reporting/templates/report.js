"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const PER_PAGE = 40, TILES = 24;
const state = { tab: data.tabs[0].key, sort: "low", query: "", page: 0 };
const groups = document.getElementById("groups"), pager = document.getElementById("pager"), dialog = document.getElementById("pair");
const FIELDS = ["path", "now", "link", "bytes", "width", "height", "format", "picture"];
const images = data.images.map(readImage);
const tabs = Object.fromEntries(data.tabs.map((tab) => [tab.key, tab.groups.map(readGroup)]));
let walk = [];

function readImage(row) {
  const image = Object.fromEntries(FIELDS.map((name, i) => [name, row[i]]));
  image.now = image.now === null ? image.path : image.now;
  if (image.link === "") image.link = [data.base, ...image.now.split("/").map(encodeURIComponent)].join("/");
  return image;
}

function readGroup([kept, others]) {
  const members = others.map(([image, ssim, detail, local, action, reason, map]) => ({ kept, image, ssim, detail, local, action, reason, map }));
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
const source = (encoded) => "data:image/webp;base64," + encoded;

function sheet(image, map, withMap) {
  const shown = images[image];
  if (shown.picture === null) {
    return make("span", { className: "gone" }, shown.link ? "not embedded, to keep this page small" : "no longer there");
  }
  const ratio = shown.width / shown.height;
  const size = `aspect-ratio:${ratio};width:min(100%,calc(var(--height)*${ratio}))`;
  return make("span", { className: withMap ? "sheet with-map" : "sheet", style: size },
    make("img", { src: source(data.pictures[shown.picture]), alt: "", loading: "lazy" }),
    map === null ? null : make("img", { src: source(data.maps[map]), alt: "", className: "map", loading: "lazy" }));
}

function tile(image, badge, kind, scores, map, open) {
  const shown = images[image];
  return make("button", { type: "button", className: "tile", title: shown.path, onclick: open },
    make("span", { className: "stage" }, sheet(image, map, false), make("span", { className: "badge " + kind }, badge)),
    make("span", { className: "name" }, name(shown.path)),
    place(shown.path) ? make("span", { className: "muted" }, place(shown.path)) : null,
    make("span", { className: "muted" }, `${shown.width} × ${shown.height} · ${bytes(shown.bytes)} · ${shown.format || "?"}`),
    scores ? make("span", { className: "scores" }, scores) : null);
}

const KIND = { review: "review", near: "near" };
function draw(group) {
  const kind = KIND[state.tab] || "";
  const keptBadge = state.tab === "near" || state.tab === "review" ? "first" : "kept";
  const columns = getComputedStyle(groups).gridTemplateColumns.split(" ").length;
  const span = Math.min(columns, group.members.length + 1);
  const card = make("article", { className: "group", style: `grid-column:span ${span};grid-template-columns:repeat(${span},minmax(0,1fr))` },
    tile(group.kept, keptBadge, "kept", null, null, () => show(group.members[0])));
  const add = (members) => members.map((member) =>
    tile(member.image, `SSIM ${score(member.ssim)}`, kind, `detail SSIM ${score(member.detail)} · local ${score(member.local)}`, member.map, () => show(member)));
  card.append(...add(group.members.slice(0, TILES)));
  const rest = group.members.slice(TILES);
  if (rest.length) {
    const more = make("button", { type: "button", className: "more" }, `Show ${rest.length} more`);
    more.onclick = () => more.replaceWith(...add(rest));
    card.append(more);
  }
  if (state.tab === "review" || state.tab === "stayed") {
    card.append(make("p", { className: "why" }, [...new Set(group.members.map((member) => member.reason))].join(" · ")));
  }
  return card;
}

function render() {
  const query = state.query.toLowerCase();
  const found = tabs[state.tab].filter((group) => group.words.includes(query)).sort(SORTS[state.sort]);
  const pages = Math.max(1, Math.ceil(found.length / PER_PAGE));
  state.page = Math.min(state.page, pages - 1);
  const shown = found.slice(state.page * PER_PAGE, (state.page + 1) * PER_PAGE);
  walk = shown.flatMap((group) => group.members);
  groups.replaceChildren(...shown.map(draw));
  const tab = data.tabs.find((one) => one.key === state.tab);
  if (!shown.length) groups.append(make("p", { className: "empty" }, query ? "No path contains these words." : tab.empty));
  document.getElementById("note").textContent = tab.note;
  for (const button of document.querySelectorAll(".tabs button")) {
    button.setAttribute("aria-selected", String(button.dataset.tab === state.tab));
  }
  pager.hidden = pages === 1;
  const turn = (step) => () => { state.page += step; render(); document.getElementById("pictures").scrollIntoView(); };
  pager.replaceChildren(
    make("button", { type: "button", disabled: state.page === 0, onclick: turn(-1) }, "← Back"),
    make("span", {}, `${state.page + 1} of ${pages}`),
    make("button", { type: "button", disabled: state.page === pages - 1, onclick: turn(1) }, "Next →"));
}

function pane(title, image, map, withMap) {
  const shown = images[image];
  const path = shown.link ? make("a", { href: shown.link, className: "path" }, shown.now) : make("span", { className: "path" }, shown.now);
  const moved = shown.now === shown.path ? null : make("span", { className: "muted" }, `was ${shown.path}`);
  const caption = withMap
    ? make("figcaption", {}, make("b", {}, title), map === null
      ? "The map of this pair is not embedded, to keep this page small." : "The SSIM map of the two thumbnails: the deeper the colour, the less they agree there.",
      make("span", { className: "legend" }, "alike", make("i"), "different"))
    : make("figcaption", {}, make("b", {}, title), path, " ", moved, make("span", { className: "muted" },
      ` ${shown.width} × ${shown.height} · ${bytes(shown.bytes)}`));
  return make("figure", {}, make("span", { className: "stage" }, sheet(image, map, withMap)), caption);
}

function show(member) {
  const at = walk.indexOf(member), undecided = state.tab === "near" || state.tab === "review";
  const step = (by) => () => show(walk[(at + by + walk.length) % walk.length]);
  dialog.replaceChildren(
    make("div", { className: "head" }, make("b", {}, `SSIM ${score(member.ssim)} · detail ${score(member.detail)} · local ${score(member.local)}`),
      make("button", { type: "button", onclick: step(-1), ariaLabel: "Pair before" }, "←"),
      make("button", { type: "button", onclick: step(1), ariaLabel: "Next pair" }, "→"),
      make("button", { type: "button", onclick: () => dialog.close(), ariaLabel: "Close" }, "✕")),
    make("div", { className: "panes" },
      pane(undecided ? "First" : "Kept", member.kept, null, false),
      pane(undecided ? "Second" : member.action[0].toUpperCase() + member.action.slice(1), member.image, null, false),
      pane("Difference", member.image, member.map, true)),
    make("p", { className: "about muted" }, member.reason || `It matches ${images[member.kept].path}, which is kept.`));
  dialog.onkeydown = (event) => {
    if (event.key === "ArrowLeft") step(-1)();
    if (event.key === "ArrowRight") step(1)();
  };
  if (!dialog.open) dialog.showModal();
}

dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
for (const button of document.querySelectorAll(".tabs button")) {
  button.addEventListener("click", () => {
    const tab = data.tabs.find((one) => one.key === button.dataset.tab);
    document.getElementById("sort").value = tab.sort;
    Object.assign(state, { tab: tab.key, sort: tab.sort, page: 0 });
    render();
  });
}
document.getElementById("sort").addEventListener("change", (event) => { state.sort = event.target.value; state.page = 0; render(); });
document.getElementById("find").addEventListener("input", (event) => { state.query = event.target.value; state.page = 0; render(); });
document.getElementById("maps").addEventListener("change", (event) => groups.classList.toggle("show-maps", event.target.checked));
let drawnWidth = innerWidth;
addEventListener("resize", () => { if (innerWidth !== drawnWidth) { drawnWidth = innerWidth; render(); } });
render();
