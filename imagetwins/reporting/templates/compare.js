// -- the dialog that shows a pair ------------------------------------------------------------------------------------

const dialog = document.getElementById("pair"), pairView = document.getElementById("pair-view");
const ZOOM_MOST = 64, ZOOM_STEP = 1.5, PAN_STEP = 0.15, SPLIT_STEP = 5;
const BLINK_MS = 700; // Less than three changes a second, which may do harm (WCAG 2.3.1).
const ORIGINALS_AFTER_MS = 120, ORIGINALS_HELD = 12;
const VIEW_KEYS = { s: "side", l: "slider", b: "blink", m: "map", d: "absolute" };
// What is seen now: which pair, how, and the point x, y of the pictures, 0 to 1, that is in the middle, `scale` times enlarged.
const seen = { member: null, mode: "side", scale: 1, x: 0.5, y: 0.5, split: 50, isSecond: false, blinking: 0 };

// -- the original files ----------------------------------------------------------------------------------------------

// Where the browser finds the original file of a picture: on the desk's server, or on the disk that this page lies on.
function originalOf(image) {
  const { id, link } = images[image];
  if (desk) return `./file/${id}?token=${encodeURIComponent(desk.token)}`;
  return location.protocol === "file:" && link?.startsWith("file:") ? link : null;
}

// The originals that were looked at last, by picture: elements, null where there is none that this browser can show.
const originals = new Map();
function loadOriginal(image) {
  if (!originals.has(image)) {
    const entry = { element: null, isPreview: false }, address = originalOf(image);
    const load = async () => {
      if (!address) return;
      const element = make("img", { src: address, alt: "", className: "original", draggable: false });
      await element.decode();
      const { naturalWidth, naturalHeight } = element, { width, height } = images[image];
      entry.isPreview = naturalWidth !== width || naturalHeight !== height;
      // On a disk, of another size it is no longer what was compared, or the browser turns it in another way. The desk's server
      // looks for changes itself, and sends what browsers do not know as a smaller picture.
      if (!entry.isPreview || desk) entry.element = element;
    };
    // No file, no picture, or one of a format that this browser does not know: the small picture stays.
    entry.loaded = load().catch(() => null);
    originals.set(image, entry);
    if (originals.size > ORIGINALS_HELD) originals.delete(originals.keys().next().value);
  }
  return originals.get(image);
}

let loading = 0;
function loadOriginals(member) {
  clearTimeout(loading);
  // Who hurries through the pairs waits for no file.
  loading = setTimeout(async () => {
    await Promise.all([member.kept, member.image].map((image) => loadOriginal(image).loaded));
    if (seen.member === member && dialog.open) drawPair();
  }, ORIGINALS_AFTER_MS);
}

const original = (image) => originals.get(image)?.element ?? null;
const isPreview = (image) => originals.get(image)?.isPreview ?? false;

// -- the pictures ----------------------------------------------------------------------------------------------------

// A picture in the middle of its view, in a box of `ratio`; its original file, where `isSharp` and where that is loaded.
function layer(image, orientation, ratio, isSharp, map) {
  const small = hasPicture(image) ? make("img", { src: source(image), alt: "", draggable: false }) : null;
  const sharp = isSharp ? original(image) : null;
  if (!small && !sharp) return make("span", { className: "layer" }, sheet(image, orientation));
  for (const element of [small, sharp]) if (element) element.setAttribute("style", turnOf(orientation, ratio));
  return make("span", { className: "layer" },
    make("span", { className: map ? "sheet with-map" : "sheet", style: sizeOf(ratio) }, sharp ?? small, map ?? null));
}

function tag(side) {
  return make("span", { className: side.isOther ? "tag other" : "tag" }, side.title);
}

function kindOf(image) {
  if (!original(image)) return hasPicture(image) ? "small picture" : "";
  return isPreview(image) ? `preview, ${original(image).naturalWidth} × ${original(image).naturalHeight}` : "original";
}

function caption(side) {
  const { now } = images[side.image], address = originalOf(side.image) ?? images[side.image].link;
  const path = address ? make("a", { href: address, className: "path", target: "_blank" }, name(now)) : make("span", { className: "path" }, name(now));
  return make("figcaption", {}, make("b", {}, side.title), path,
    make("span", { className: "muted" }, kindOf(side.image)));
}

// Views that lay one over the other, or subtract them, show two originals or none: else one would only be sharper.
const SHOW = {
  side: (kept, other) => [kept, other].map((side) => make("figure", {},
    make("span", { className: "view" }, layer(side.image, side.orientation, side.ratio, true)), caption(side))),
  slider: (kept, other, areSharp) => [overlay("slider", [kept, other], areSharp, make("span", { className: "divider" }))],
  blink: (kept, other, areSharp) => [overlay("blink", [kept, other], areSharp, null)],
  map: (kept, other) => {
    const map = hasMap(seen.member) ? mapOf(seen.member) : null;
    if (map) drawMap(map);
    return [make("figure", {}, make("span", { className: "view" }, layer(other.image, other.orientation, kept.ratio, true, map)))];
  },
  absolute: (kept, other, areSharp) => [make("figure", {}, make("span", { className: "view absolute" },
    layer(kept.image, 1, kept.ratio, areSharp), layer(other.image, other.orientation, kept.ratio, areSharp)))],
};

const hasMap = (member) => hasPicture(member.kept) && hasPicture(member.image);

function overlay(mode, sides, areSharp, handle) {
  return make("figure", {}, make("span", { className: "view " + mode },
    ...sides.map((side) => layer(side.image, side.orientation, side.ratio, areSharp)), handle, ...sides.map(tag)));
}

function sidesOf(member) {
  const isUndecided = state.tab === "near" || state.tab === "review";
  const what = member.action ? member.action[0].toUpperCase() + member.action.slice(1) : "";
  return [
    { image: member.kept, orientation: 1, ratio: ratioOf(member.kept, 1) || 1, title: isUndecided ? "First" : "Kept", isOther: false },
    { image: member.image, orientation: member.orientation, ratio: ratioOf(member.image, member.orientation) || 1,
      title: isUndecided ? "Second" : what, isOther: true },
  ];
}

// -- what is said below the pictures ---------------------------------------------------------------------------------

const note = (text) => make("span", { className: "muted" }, text);
function ofWhat(sides, areSharp) {
  if (!areSharp) return "Of the small pictures of this page: the original files are not both within reach, or not yet.";
  return sides.some((side) => isPreview(side.image)) ? "Of previews: one of the files is of a format that browsers do not know." : "Of the original files.";
}

const stretched = (kept, other) => (Math.abs(kept.ratio / other.ratio - 1) > 0.01
  ? note("The second one is stretched to the shape of the first, as it was compared.") : null);

const UNDER = {
  side: () => [],
  slider: () => [make("label", {}, "First", make("input", { type: "range", id: "pair-split", min: 0, max: 100, value: seen.split,
    ariaLabel: "Where the first picture ends and the second begins", oninput: (event) => setSplit(Number(event.target.value)) }), "Second")],
  blink: () => [
    make("button", { type: "button", onclick: () => setBlinking(!seen.blinking) }, seen.blinking ? "Pause" : "Blink"),
    make("button", { type: "button", onclick: changeByHand }, "Change")],
  map: (kept, other) => [
    note(hasMap(seen.member) ? "The deeper the colour, the less they agree there." : "There is no map where one of the pictures is not here."),
    make("span", { className: "legend" }, "alike", make("i"), "different"), stretched(kept, other)],
  absolute: (kept, other, areSharp) => [note("Black where they are equal; four times as bright as they differ."), note(ofWhat([kept, other], areSharp)), stretched(kept, other)],
};

function drawPair() {
  const [kept, other] = sidesOf(seen.member), areSharp = Boolean(original(kept.image) && original(other.image));
  const under = document.getElementById("pair-under"), had = under.contains(document.activeElement);
  pairView.replaceChildren(...SHOW[seen.mode](kept, other, areSharp));
  pairView.classList.toggle("rows", seen.mode === "side" && areLargerInRows(kept.ratio));
  under.replaceChildren(...UNDER[seen.mode](kept, other, areSharp).filter((child) => child !== null));
  if (had) (under.querySelector("input, button") ?? pairView).focus();
  for (const button of dialog.querySelectorAll("[data-view]")) {
    button.setAttribute("aria-pressed", String(button.dataset.view === seen.mode));
  }
  markSecond();
  placePictures();
}

// Whether pictures of this ratio are much larger one below the other than side by side.
function areLargerInRows(ratio) {
  const { clientWidth: width, clientHeight: height } = pairView;
  return Math.min(width / ratio, height / 2) > 1.15 * Math.min(width / 2 / ratio, height);
}

function setMode(mode) {
  seen.mode = mode;
  setBlinking(mode === "blink" && !matchMedia("(prefers-reduced-motion: reduce)").matches);
}

// -- blinking, and the slider ----------------------------------------------------------------------------------------

function setBlinking(isOn) {
  clearInterval(seen.blinking);
  seen.blinking = isOn ? setInterval(showOther, BLINK_MS) : 0;
  drawPair();
}

function showOther() {
  seen.isSecond = !seen.isSecond;
  markSecond();
}

function changeByHand() {
  showOther();
  setBlinking(false);
}

function markSecond() {
  pairView.querySelector(".blink")?.classList.toggle("second", seen.isSecond);
}

function setSplit(percent) {
  seen.split = Math.min(100, Math.max(0, percent));
  pairView.style.setProperty("--split", `${seen.split}%`);
  const range = document.getElementById("pair-split");
  if (range) range.value = seen.split;
}

// -- zoom, and moving the enlarged pictures --------------------------------------------------------------------------

const sheetIn = (view) => view.querySelector(".sheet, .gone");
const viewAt = (number) => pairView.querySelectorAll(".view")[number] ?? null;
const numberOf = (view) => [...pairView.querySelectorAll(".view")].indexOf(view);

// Zoom to `scale`, so that what is at clientX, clientY of `view` stays there.
function zoomTo(scale, view = viewAt(0), clientX = null, clientY = null) {
  const sheet = sheetIn(view), box = view.getBoundingClientRect();
  const right = clientX === null ? 0 : clientX - box.x - box.width / 2, down = clientY === null ? 0 : clientY - box.y - box.height / 2;
  const next = Math.min(ZOOM_MOST, Math.max(1, scale)), change = 1 / seen.scale - 1 / next;
  seen.scale = next;
  panTo(seen.x + (right * change) / sheet.offsetWidth, seen.y + (down * change) / sheet.offsetHeight, view);
}

// Move the point x, y of the pictures to the middle, or as near to it as leaves no room beside them.
function panTo(x, y, view = viewAt(0)) {
  const sheet = sheetIn(view);
  const within = (at, room, size) => {
    const half = room / (2 * seen.scale * size);
    return half >= 0.5 ? 0.5 : Math.min(1 - half, Math.max(half, at));
  };
  seen.x = within(x, view.clientWidth, sheet.offsetWidth);
  seen.y = within(y, view.clientHeight, sheet.offsetHeight);
  placePictures();
}

function placePictures() {
  for (const name of ["scale", "x", "y"]) pairView.style.setProperty("--" + name, seen[name]);
  pairView.style.setProperty("--split", `${seen.split}%`);
  pairView.classList.toggle("is-zoomed", seen.scale > 1);
  document.getElementById("pair-zoom").textContent = `${seen.scale < 10 ? seen.scale.toFixed(1) : Math.round(seen.scale)} ×`;
}

// How much the first picture must be enlarged for one of its pixels to be one of the page.
function pixelScale() {
  const [kept] = sidesOf(seen.member);
  return images[kept.image].width / sheetIn(pairView).offsetWidth;
}

const ZOOMS = {
  in: () => zoomTo(seen.scale * ZOOM_STEP),
  out: () => zoomTo(seen.scale / ZOOM_STEP),
  whole: () => zoomTo(1),
  pixels: () => zoomTo(pixelScale()),
};

const fingers = new Map();
const spread = ([first, second]) => Math.hypot(first.clientX - second.clientX, first.clientY - second.clientY);
const middle = ([first, second], axis) => (first[axis] + second[axis]) / 2;

pairView.addEventListener("wheel", (event) => {
  const view = event.target.closest(".view");
  if (!view) return;
  event.preventDefault();
  zoomTo(seen.scale * Math.exp(-Math.max(-60, Math.min(60, event.deltaY)) / (event.ctrlKey ? 60 : 200)), view, event.clientX, event.clientY);
}, { passive: false });

pairView.addEventListener("pointerdown", (event) => {
  const view = event.target.closest(".view");
  if (!view || event.button) return;
  pairView.setPointerCapture(event.pointerId);
  const isSliding = event.target.className === "divider" || (seen.mode === "slider" && seen.scale === 1);
  // Its number: the view itself is drawn anew when original files arrive.
  fingers.set(event.pointerId, { clientX: event.clientX, clientY: event.clientY, number: numberOf(view), isSliding });
  if (isSliding && fingers.size === 1) slideTo(view, event.clientX);
});

function slideTo(view, clientX) {
  const box = view.getBoundingClientRect();
  setSplit((100 * (clientX - box.x)) / box.width);
}

pairView.addEventListener("pointermove", (event) => {
  const finger = fingers.get(event.pointerId), view = finger && viewAt(finger.number);
  if (!view) return;
  const before = [...fingers.values()].map(({ clientX, clientY }) => ({ clientX, clientY }));
  Object.assign(finger, { clientX: event.clientX, clientY: event.clientY });
  const now = [...fingers.values()], sheet = sheetIn(view);
  if (now.length === 1 && finger.isSliding) return slideTo(view, event.clientX);
  const [from, to] = [before, now].map((points) => (points.length === 1 ? points[0]
    : { clientX: middle(points, "clientX"), clientY: middle(points, "clientY") }));
  panTo(seen.x - (to.clientX - from.clientX) / (seen.scale * sheet.offsetWidth),
    seen.y - (to.clientY - from.clientY) / (seen.scale * sheet.offsetHeight), view);
  if (now.length === 2) zoomTo((seen.scale * spread(now)) / Math.max(1, spread(before)), view, to.clientX, to.clientY);
});
for (const end of ["pointerup", "pointercancel"]) pairView.addEventListener(end, (event) => fingers.delete(event.pointerId));
pairView.addEventListener("dblclick", (event) => {
  const view = event.target.closest(".view");
  if (view) zoomTo(seen.scale > 1 ? 1 : Math.max(2, pixelScale()), view, event.clientX, event.clientY);
});

// -- the facts -------------------------------------------------------------------------------------------------------

const pixels = ({ width, height }) => (width === null ? null : `${width} × ${height}`);
const megapixels = ({ width, height }) => (width === null ? null : `${((width * height) / 1e6).toFixed(1)} megapixels`);
const minute = (seconds) => {
  const two = (number) => String(number).padStart(2, "0"), at = new Date(seconds * 1000);
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}`;
};

// What is said of a picture; `more` below it; `order` says which of two is the larger one.
const FACTS = [
  { title: "Pixels", text: pixels, more: megapixels, order: (shown) => shown.width * shown.height, words: ["larger", "smaller"] },
  { title: "Bytes", text: (shown) => shown.bytes.toLocaleString("en"), more: (shown) => bytes(shown.bytes), order: (shown) => shown.bytes, words: ["larger", "smaller"] },
  { title: "Format", text: (shown) => shown.format },
  { title: "Taken", text: (shown) => shown.taken?.replace("T", " ") ?? null, order: (shown) => shown.taken, words: ["later", "earlier"] },
  { title: "Exposure", text: (shown) => shown.exposure },
  { title: "Camera", text: (shown) => shown.camera },
  { title: "File date", text: (shown) => minute(shown.modified), order: (shown) => shown.modified, words: ["later", "earlier"] },
  { title: "Folder", text: (shown) => place(shown.path) || "./" },
  { title: "Name", text: (shown) => name(shown.path) },
  { title: "Is now", text: (shown) => (shown.link === null ? "no longer there" : shown.now === shown.path ? null : shown.now) },
];

function factRow(title, [first, second], [firstMore, secondMore] = [null, null]) {
  const cell = (text, more) => make("td", {}, text ?? "–", more && make("small", {}, more));
  return make("tr", { className: first === second ? "" : "differs" },
    make("th", { scope: "row" }, title), cell(first, firstMore), cell(second, secondMore));
}

function factRows(member) {
  const both = [images[member.kept], images[member.image]];
  const rows = FACTS.map(({ title, text, more, order, words }) => {
    const [first, second] = both.map(text);
    if (first === null && second === null) return null;
    const orders = order && first !== null && second !== null ? both.map(order) : [0, 0];
    const word = (own, others) => (own === others ? null : words[own > others ? 0 : 1]);
    const told = [word(...orders), word(orders[1], orders[0])];
    const below = both.map((shown, i) => [more?.(shown), told[i]].filter(Boolean).join(", ") || null);
    return factRow(title, [first, second], below);
  });
  const orientations = ["as it is", member.orientation === 1 ? "as it is" : data.orientations[member.orientation]];
  return [...rows.filter((row) => row !== null), factRow("Shown", orientations)];
}

function drawFacts(member) {
  const [kept, other] = sidesOf(member);
  const number = (title, value) => [make("span", {}, `${title} `, make("b", {}, score(value))), " "];
  document.getElementById("pair-scores").replaceChildren(...number("SSIM", member.ssim), ...number("detail", member.detail), ...number("local", member.local));
  const why = member.reason ? member.reason[0].toUpperCase() + member.reason.slice(1) : `It matches ${name(images[member.kept].path)}, which is kept`;
  document.getElementById("pair-why").replaceChildren(member.hint ? make("b", {}, member.hint + " ") : "", note(why.replace(/\.?$/, ".")));
  document.getElementById("pair-facts").replaceChildren(
    make("thead", {}, make("tr", {}, make("td", {}), make("th", { scope: "col" }, kept.title), make("th", { scope: "col" }, other.title))),
    make("tbody", {}, ...factRows(member)));
}

// -- choosing --------------------------------------------------------------------------------------------------------

// What is chosen of the pair that is seen: which of the two stays, "both", "" where it is open.
function verdictOf(member) {
  const group = groupOf.get(member);
  const [first, second] = [0, 1 + group.members.indexOf(member)].map((at) => group.states[at]);
  if (first === OPEN || second === OPEN) return "";
  return first === second ? (first === STAYS ? "both" : "neither") : first === STAYS ? "first" : "second";
}

function drawVerdict(words = "") {
  const group = groupOf.get(seen.member), bar = document.getElementById("pair-choose");
  bar.hidden = !group;
  if (!group) return;
  const states = statesOf(seen.member), verdict = verdictOf(seen.member);
  for (const button of bar.querySelectorAll("[data-verdict]")) {
    button.setAttribute("aria-pressed", String(button.dataset.verdict === verdict && group.isDecided));
    button.disabled = group.isSettled;
  }
  document.getElementById("pair-status").textContent = states.status === "undecided" ? "Undecided."
    : `First ${states.first}, second ${states.second}: ${states.status}.`;
  document.getElementById("pair-said").textContent = words;
}

// Decide about the pair that is seen, and go on to the next one that is open.
function decide(stays) {
  if (!choose(seen.member, stays)) return drawVerdict(groupOf.get(seen.member).isSettled ? "These are settled." : refused);
  const words = said.textContent, next = nextOpen(seen.member);
  if (next) openPair(next);
  drawVerdict(next ? words : `${words} That was the last one that is shown here.`);
}

// Whether the second goes, the first one staying, or both stay.
function toggleSecond() {
  const isDone = choose(seen.member, verdictOf(seen.member) === "first" ? "both" : "first");
  drawVerdict(isDone ? said.textContent : refused);
}

function leavePairOpen() {
  const group = groupOf.get(seen.member), at = 1 + group.members.indexOf(seen.member);
  change([group], () => (group.members.length === 1 ? leftOpen(group) : group.states.map((state, i) => (i === at ? leftOpen(group)[at] : state))));
  drawVerdict();
}

// Take back the last step, and show a pair of which it changed something.
function undoInPair() {
  const before = new Map((history.at(-1) ?? []).map(({ group }) => [group, group.states]));
  const [group] = undo();
  if (!group) return drawVerdict("There is nothing to take back.");
  const changed = group.members.find((_, i) => group.states[i + 1] !== before.get(group)[i + 1]) ?? group.members[0];
  if (walk.includes(changed)) openPair(changed);
  drawVerdict(`Taken back: ${describe(group)}`);
}

const VERDICT_KEYS = {
  k: () => decide("first"), 1: () => decide("first"), 2: () => decide("second"), n: () => decide("both"),
  " ": toggleSecond, 0: leavePairOpen, u: undoInPair,
};

// -- the dialog ------------------------------------------------------------------------------------------------------

function openPair(member) {
  Object.assign(seen, { member, scale: 1, x: 0.5, y: 0.5, isSecond: false });
  const at = `Pair ${walk.indexOf(member) + 1} of ${walk.length}`;
  document.getElementById("pair-title").textContent = `${at} · SSIM ${score(member.ssim)}`;
  document.getElementById("pair-names").textContent = dialog.open
    ? `${at}: ${name(images[member.kept].path)} and ${name(images[member.image].path)}, SSIM ${score(member.ssim)}` : "";
  if (!dialog.open) {
    dialog.showModal();
    pairView.focus();
  }
  drawFacts(member);
  drawVerdict();
  setMode(seen.mode);
  loadOriginals(member);
}

function stepPair(by) {
  const at = walk.indexOf(seen.member);
  openPair(walk[(at + by + walk.length) % walk.length]);
}

const PAN_KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const PAIR_KEYS = {
  "+": ZOOMS.in, "=": ZOOMS.in, "-": ZOOMS.out, w: ZOOMS.whole, z: ZOOMS.pixels,
  ",": () => setSplit(seen.split - SPLIT_STEP), ".": () => setSplit(seen.split + SPLIT_STEP),
  p: () => seen.mode === "blink" && setBlinking(!seen.blinking),
  ArrowLeft: () => stepPair(-1), ArrowRight: () => stepPair(1),
  "?": () => { const keys = document.getElementById("pair-keys"); keys.open = !keys.open; if (keys.open) keys.scrollIntoView(); },
};

function pressInPair(event) {
  const target = event.target;
  if (event.ctrlKey || event.metaKey || event.altKey || target.type === "range") return false;
  if (event.key === " " && target.matches("button, summary, a")) return false; // It presses that.
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key, arrow = PAN_KEYS[key], mode = VIEW_KEYS[key];
  if (event.shiftKey && arrow) panTo(seen.x + (arrow[0] * PAN_STEP) / seen.scale, seen.y + (arrow[1] * PAN_STEP) / seen.scale);
  else if (mode === "blink" && seen.mode === "blink") changeByHand();
  else if (mode) setMode(mode);
  else if (key in PAIR_KEYS) PAIR_KEYS[key]();
  else if (key in VERDICT_KEYS && groupOf.has(seen.member)) VERDICT_KEYS[key]();
  else return false;
  return true;
}

dialog.addEventListener("keydown", (event) => { if (pressInPair(event)) event.preventDefault(); });
dialog.addEventListener("close", () => {
  if (dialog.open) return; // The event comes a moment later, when the dialog may be open again.
  clearInterval(seen.blinking);
  // One goes on in the list where one has come to.
  const group = shown.find((one) => one.members.includes(seen.member));
  if (group?.card.isConnected) focusOn(group, 1 + group.members.indexOf(seen.member));
});
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close();
  // After a click the keys are those of the pictures again; who came to a button with the keyboard stays there.
  else if (event.detail && event.target.closest(".head, .views, .choose")) pairView.focus();
});
document.getElementById("pair-back").onclick = () => stepPair(-1);
document.getElementById("pair-next").onclick = () => stepPair(1);
document.getElementById("pair-close").onclick = () => dialog.close();
for (const button of dialog.querySelectorAll("[data-view]")) button.onclick = () => setMode(button.dataset.view);
for (const button of dialog.querySelectorAll("[data-verdict]")) button.onclick = () => decide(button.dataset.verdict);
document.getElementById("pair-open").onclick = leavePairOpen;
document.getElementById("pair-undo").onclick = undoInPair;
for (const button of dialog.querySelectorAll("[data-zoom]")) button.onclick = ZOOMS[button.dataset.zoom];
addEventListener("resize", () => { if (dialog.open) drawPair(); });
