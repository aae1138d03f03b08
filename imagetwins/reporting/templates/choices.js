// -- what a person chooses -------------------------------------------------------------------------------------------
//
// Each group has a state for each of its pictures (the kept one first): it stays, it goes, or nobody has said. A group is
// decided once a person has said something, and nothing in it is left open; until then it is as the run proposes.
// For the dialog that shows a pair: `statesOf(member)`, `choose(member, "first" | "second" | "both")`, `undo()`, `nextOpen(member)`.

const STAYS = "stays", GOES = "goes", OPEN = "undecided";
const ASKED = ["duplicates", "review"];
const MAX_APART = 64;  // Of so many pictures that all stay, each pair is remembered: 2,016. Of more, the pairs that the page shows.
const desk = JSON.parse(document.getElementById("desk").textContent);
const references = new Set(data.references);
const groupOf = new WeakMap();
const asked = ASKED.flatMap((key) => tabs[key]);
const history = [];

for (const key of ASKED) {
  for (const group of tabs[key]) {
    Object.assign(group, {
      tab: key, key: `${key} ${images[group.kept].id}`, isDecided: false, isSettled: false, problem: "",
      pictures: [group.kept, ...group.members.map((member) => member.image)],
    });
    group.states = group.begin = beginOf(group);
    group.members.forEach((member) => groupOf.set(member, group));
  }
}

// Whether it was moved, by the run or by choices since, and nobody has put it back.
function isMovedAt(group, at) {
  const image = images[group.pictures[at]];
  return image.now !== image.path;
}

function beginOf(group) {
  if (isMovedAt(group, 0)) return group.pictures.map((_, at) => (isMovedAt(group, at) ? GOES : STAYS));
  const begin = group.members.map((member, i) => (isMovedAt(group, i + 1) || member.action === "would move" ? GOES : OPEN));
  return [begin.includes(GOES) ? STAYS : OPEN, ...begin];
}

const isLeftOpen = (group) => group.states.includes(OPEN);
const isDone = (group) => group.isSettled || (group.isDecided && !isLeftOpen(group));
const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

function stateWords(group, at) {
  const state = group.states[at];
  if (!isMovedAt(group, at)) return state;
  return state === GOES ? "moved" : state === STAYS ? "put back" : state;
}

function statusWords(group) {
  if (group.isSettled) return "settled";
  if (isLeftOpen(group)) return group.states.every((state) => state === OPEN) ? "undecided" : "partly decided";
  if (!group.isDecided) return group.begin.some((_, at) => isMovedAt(group, at)) ? "moved" : "as proposed";
  return group.states.includes(GOES) ? "decided" : "not duplicates";
}

// -- what a choice makes of a group's states; null, and why in `refused`, where it cannot be ---------------------------

let refused = "";
function refuse(words) {
  refused = words;
  return null;
}

// A picture of a reference folder never moves: beside another one of these it is left as it is.
function keeping(group, at) {
  const isReference = (image) => references.has(image);
  if (group.pictures.some(isReference) && !isReference(group.pictures[at])) {
    return refuse("Another one lies in a reference folder, and never moves: keep that one, or say that they are no duplicates.");
  }
  return group.pictures.map((image, i) => (i === at ? STAYS : isReference(image) ? OPEN : GOES));
}

const apart = (group) => group.pictures.map(() => STAYS);
const leftOpen = (group) => group.pictures.map((_, at) => (isMovedAt(group, at) ? GOES : OPEN));
const proposed = (group) => (group.begin.includes(GOES) ? group.begin : refuse("The run proposes nothing about these: it asks."));

function toggled(group, at) {
  const states = [...group.states], isPair = states.length === 2;
  if (states[at] === GOES || (states[at] === OPEN && at === 0 && !isPair)) {
    states[at] = STAYS;
    return states;
  }
  if (references.has(group.pictures[at])) return refuse("It lies in a reference folder, and never moves.");
  states[at] = GOES;
  if (!states.includes(STAYS)) {
    const other = isPair ? 1 - at : states[0] === OPEN ? 0 : -1;
    if (other < 0) return refuse("One of them stays: say first which, with k or its number.");
    states[other] = STAYS;
  }
  return states;
}

// -- changing, and taking back -----------------------------------------------------------------------------------------

// Change groups, as one step; `wanted` returns a group's new states, or null to leave it. Returns the groups that changed.
function change(some, wanted) {
  refused = "";
  const step = [];
  for (const group of some) {
    if (group.isSettled) continue;
    const states = wanted(group);
    if (states === null) continue;
    step.push({ group, states: group.states, isDecided: group.isDecided });
    Object.assign(group, { states, isDecided: true, problem: "" });
  }
  if (step.length) {
    history.push(step);
    keep(step.map(({ group }) => group));
  }
  return step.map(({ group }) => group);
}

// Take back the last step; returns its groups, none where there is nothing to take back.
function undo() {
  const step = history.pop() || [];
  for (const { group, states, isDecided } of step) Object.assign(group, { states, isDecided });
  if (step.length) keep(step.map(({ group }) => group));
  return step.map(({ group }) => group);
}

function statesOf(member) {
  const group = groupOf.get(member);
  return group ? { first: stateWords(group, 0), second: stateWords(group, 1 + group.members.indexOf(member)), status: statusWords(group) } : null;
}

// Of a pair: which of the two stays, and "both" where they are no duplicates; the others of the group are as they were.
function choose(member, stays) {
  const group = groupOf.get(member), at = 1 + group.members.indexOf(member);
  const done = change([group], () => {
    const states = [...group.states];
    states[0] = stays === "second" ? GOES : STAYS;
    states[at] = stays === "first" ? GOES : STAYS;
    if ([0, at].some((i) => states[i] === GOES && references.has(group.pictures[i]))) return refuse("It lies in a reference folder, and never moves.");
    return states;
  });
  tell(done.length ? describe(group) : refused);
  return done.length > 0;
}

// The next pair of what is shown that is not decided, after `member` or from the beginning; undefined where there is none.
function nextOpen(member) {
  const at = walk.indexOf(member);
  const isOpen = (one) => groupOf.has(one) && one !== member && (!groupOf.get(one).isDecided || statesOf(one).second === OPEN) && !groupOf.get(one).isSettled;
  return walk.slice(at + 1).find(isOpen) || walk.slice(0, Math.max(at, 0)).find(isOpen);
}

// -- the choices as they leave -----------------------------------------------------------------------------------------

// By image, the one for which it goes. What a person said comes before what the run proposes.
function planKeepers(some) {
  const keepers = new Map();
  for (const group of [...some].sort((a, b) => b.isDecided - a.isDecided)) {
    const stays = group.pictures[group.states.indexOf(STAYS)];
    if (stays === undefined) continue;
    group.pictures.forEach((image, at) => {
      if (group.states[at] === GOES && !keepers.has(image)) keepers.set(image, { stays, isMoved: isMovedAt(group, at) });
    });
  }
  return keepers;
}

// The one that stays in the end, where that for which a picture goes may go for another one; undefined where they go in a circle.
function followKeepers(keepers, image) {
  const seen = new Set([image]);
  let stays = keepers.get(image).stays;
  while (keepers.has(stays)) {
    if (seen.has(stays)) return undefined;
    seen.add(stays);
    stays = keepers.get(stays).stays;
  }
  return stays;
}

function* iterApart(group) {
  const stay = group.pictures.filter((_, at) => group.states[at] === STAYS);
  for (let i = 1; i < stay.length; i++) {
    for (let j = 0; j < (stay.length > MAX_APART ? 1 : i); j++) yield [stay[i], stay[j]];
  }
}

// All choices, to be kept; or those of some groups, to be applied.
function makeChoices(some = asked) {
  const keepers = planKeepers(some), move = [], notDuplicates = [];
  const say = (image, kept) => ({ image: images[image].id, path: images[image].path, kept: images[kept].id, kept_path: images[kept].path });
  for (const [image, { isMoved }] of keepers) {
    const stays = followKeepers(keepers, image);
    if (stays === undefined) keepers.delete(image);  // One of a circle stays; the others go for it.
    else if (!isMoved) move.push(say(image, stays));
  }
  const pairs = new Set(move.map(({ image, kept }) => `${image} ${kept}`));
  for (const group of some.filter((one) => one.isDecided)) {
    for (const [image, kept] of iterApart(group)) {
      // One that was moved as a duplicate of a third one lies in Duplicates; to be said not to match this one must not bring it back.
      if ([image, kept].some((one) => keepers.get(one)?.isMoved)) continue;
      const choice = say(image, kept), key = `${choice.image} ${choice.kept}`, turned = `${choice.kept} ${choice.image}`;
      if (pairs.has(key) || pairs.has(turned)) continue;
      pairs.add(key);
      notDuplicates.push(choice);
    }
  }
  return { run_id: data.run, move, not_duplicates: notDuplicates };
}

// Take over choices as they left: what they say of a group, where it is not what the run proposes, a person has said.
function takeChoices(choices) {
  const goes = new Map(choices.move.map(({ image, kept }) => [image, kept]));
  const apartFrom = new Set(choices.not_duplicates.flatMap(({ image, kept }) => [`${image} ${kept}`, `${kept} ${image}`]));
  for (const group of asked) {
    const ids = group.pictures.map((image) => images[image].id);
    const goesWithin = (id) => ids.includes(goes.get(id));
    // What went for the kept one, which goes for one of another group, goes for that one.
    const goesAlong = (id) => goes.has(id) && goes.has(ids[0]) && !goesWithin(ids[0]) && goes.get(id) === goes.get(ids[0]);
    const states = ids.map((id, at) => (ids.some((other) => apartFrom.has(`${id} ${other}`)) ? STAYS
      : isMovedAt(group, at) || goesWithin(id) || (at > 0 && goesAlong(id)) ? GOES : OPEN));
    const stays = ids.findIndex((id, at) => states[at] !== GOES && ids.some((other) => goes.get(other) === id));
    if (stays >= 0) states[stays] = STAYS;
    else if (states.includes(GOES) && !states.includes(STAYS)) states[0] = STAYS;
    if (group.isSettled || String(states) === String(group.states)) continue;
    const isDecided = String(states) !== String(group.begin) && states.some((state) => state !== OPEN);
    Object.assign(group, { states, isDecided });
  }
}

// -- keeping them, so that no work is lost -----------------------------------------------------------------------------

const STORED = `imagetwins choices of ${data.run}`;
const SAVE_AFTER_MS = 400;
const saving = { timer: 0, isUnsaved: false, canStore: true, problem: "" };

// A picture's state by its id, so that a page that is built anew still knows it.
function remember() {
  const groups = asked.filter((group) => group.isDecided).map((group) =>
    [group.key, Object.fromEntries(group.pictures.map((image, at) => [images[image].id, group.states[at]]))]);
  const remembered = { groups: Object.fromEntries(groups), isUnsaved: saving.isUnsaved, at: Date.now() };
  try {
    localStorage.setItem(STORED, JSON.stringify(remembered));
    saving.canStore = true;
  } catch {
    saving.canStore = false;  // No room, or a browser that stores nothing of files: the page says so, and asks before it closes.
  }
  database.then((opened) => opened && inDatabase(opened, "readwrite").put(remembered, STORED));
}

function recall() {
  try {
    return JSON.parse(localStorage.getItem(STORED));
  } catch {
    return null;
  }
}

// A page of a file now and then finds nothing in Chromium's localStorage, or something older, until it is loaded once more
// (seen in 2 of 100 loads by version 150). IndexedDB has it each time, if a moment later. Null where there is a server, or no database.
const database = desk ? Promise.resolve(null) : new Promise((done) => {
  const opening = indexedDB.open("imagetwins", 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore("choices");
  opening.onsuccess = () => done(opening.result);
  opening.onerror = () => done(null);
}).catch(() => null);
const inDatabase = (opened, mode) => opened.transaction("choices", mode).objectStore("choices");

async function recallFromDatabase() {
  const opened = await database;
  if (!opened) return;
  const reading = inDatabase(opened, "readonly").get(STORED);
  reading.onsuccess = ({ target: { result: found } }) => {
    if (found && !history.length && !(remembered && remembered.at >= found.at)) takeOver(found);
  };
}

function isSame(choices, others) {
  const lines = ({ move, not_duplicates }) => JSON.stringify([move, not_duplicates].map((some) => some.map(({ image, kept }) => `${image} ${kept}`).sort()));
  return lines(choices) === lines(others);
}

function takeRemembered(remembered) {
  for (const group of asked) {
    const states = remembered.groups[group.key] || {};
    const known = group.pictures.map((image, at) => states[images[image].id] || group.begin[at]);
    Object.assign(group, { states: known, isDecided: group.key in remembered.groups });
  }
}

// What another tab chose, or the page did not find at once.
function takeOver(found) {
  takeRemembered(found);
  history.length = 0;
  asked.forEach(refresh);
  refreshDock();
}

// Keep what was chosen: at once in this browser, and soon, where there is one, with the desk's server.
function keep(changed) {
  saving.isUnsaved = true;
  changed.forEach(refresh);
  remember();
  refreshDock();
  if (!desk) return;
  clearTimeout(saving.timer);
  saving.timer = setTimeout(save, SAVE_AFTER_MS);
}

function send(method, address, choices, keepalive = false) {
  const headers = { "X-Imagetwins-Token": desk.token, "Content-Type": "application/json" };
  return fetch(address, { method, headers, body: JSON.stringify(choices), keepalive });
}

async function save() {
  clearTimeout(saving.timer);
  saving.isUnsaved = false;  // What is changed while this is on its way is saved next.
  try {
    const answer = await send("PUT", "./choices", makeChoices());
    if (!answer.ok) throw new Error((await answer.json()).error);
    saving.problem = "";
  } catch (error) {
    saving.isUnsaved = true;
    saving.problem = `Not saved: ${error.message}. Is the desk's server still running?`;
    saving.timer = setTimeout(save, 5000);
  }
  remember();
  refreshDock();
}

// A tab may be closed at any moment, or be put to sleep and never wake.
function saveAtOnce() {
  if (desk && saving.isUnsaved) send("PUT", "./choices", makeChoices(), true).catch(() => {});
}
addEventListener("pagehide", saveAtOnce);
document.addEventListener("visibilitychange", () => { if (document.hidden) saveAtOnce(); });
addEventListener("beforeunload", (event) => { if (saving.isUnsaved && (desk || !saving.canStore)) event.preventDefault(); });
addEventListener("storage", (event) => {
  if (event.key === STORED && event.newValue !== null) takeOver(JSON.parse(event.newValue));
});

// The desk's server knows what was chosen, in whatever browser; this one also knows what a person has looked at.
const saved = desk && desk.choices, remembered = recall();
if (remembered) takeRemembered(remembered);
if (saved && !(remembered && (remembered.isUnsaved || isSame(saved, makeChoices())))) takeChoices(saved);
recallFromDatabase();
