// -- the desk: where a person sees what is chosen, and chooses ----------------------------------------------------------

const said = document.getElementById("said"), dock = document.getElementById("dock"), rules = document.getElementById("rules");
const here = { group: null, picture: 0 };
const MARKS = { stays: "✓", goes: "→", moved: "→", "put back": "↩", undecided: "?" };
const kbd = (letter) => make("kbd", { ariaHidden: "true" }, letter);

// Say it to who does not see it, once it is seen.
function tell(words) {
  said.textContent = words;
  said.classList.toggle("is-problem", words === refused);
}

function describe(group) {
  const words = group.pictures.slice(0, 4).map((image, i) => `${name(images[image].path)} ${stateWords(group, i)}`);
  const more = group.pictures.length - words.length;
  return `${words.join(", ")}${more > 0 ? ` and ${more} more` : ""}. ${statusWords(group)}.`;
}

// A picture with what becomes of it; of a group of which nothing is asked, the picture alone.
function slot(group, i, tile) {
  if (!group.tab) return tile;
  const state = make("button", { type: "button", className: "state", onclick: () => { moveTo(group, i); choosing(group, toggled(group, i)); } });
  const only = make("button", { type: "button", className: "only", onclick: () => { moveTo(group, i); settle(group, keeping(group, i)); } },
    ...(i < 9 ? [kbd(i + 1), " "] : []), "Keep");
  only.ariaLabel = `Keep ${name(images[group.pictures[i]].path)}, and none of the others`;
  const both = make("div", { className: "slot" }, tile, make("div", { className: "verdict" }, state, only));
  both.addEventListener("focusin", () => moveTo(group, i));
  return both;
}

function panel(group, why) {
  if (!group.tab) return why;
  const button = (words, letter, wanted) => make("button", { type: "button", onclick: () => { moveTo(group, here.picture); settle(group, wanted(group)); } },
    words, " ", kbd(letter));
  return make("div", { className: "panel" }, make("span", { className: "status" }), why, make("p", { className: "problem", hidden: true }),
    make("span", { className: "acts" }, button("Not duplicates", "n", apart), button("Leave open", "0", leftOpen)));
}

// Show of a group what is chosen; of one that is not drawn, its words.
function refresh(group) {
  const card = group.card;
  if (!card || !group.tab) return;
  const status = statusWords(group);
  card.dataset.status = status;
  card.ariaLabel = `Group ${card.ariaPosInSet} of ${card.ariaSetSize}, ${count(group.pictures.length, "picture")}: ${status}`;
  if (!card.isFilled) return;
  card.querySelector(".status").textContent = status;
  const problem = card.querySelector(".problem");
  problem.hidden = !group.problem;
  problem.textContent = group.problem;
  card.querySelectorAll(".slot").forEach((one, i) => {
    const words = stateWords(group, i), state = one.querySelector(".state");
    one.dataset.state = words;
    state.replaceChildren(make("i", { ariaHidden: "true" }, MARKS[words]), ` ${words}`);
    state.ariaLabel = `${name(images[group.pictures[i]].path)}: ${words}. Press to change`;
  });
  for (const button of card.querySelectorAll(".verdict button, .acts button")) button.disabled = group.isSettled;
  markTabStops(group);
}

// -- where the person is -----------------------------------------------------------------------------------------------

// Only what is in the group at hand is reached with the Tab key: two thousand groups are no way to the end of the page.
function markTabStops(group) {
  if (!group.card) return;
  const isHere = group === here.group;
  group.card.classList.toggle("is-current", isHere);
  group.card.setAttribute("aria-current", String(isHere));
  for (const button of group.card.querySelectorAll("button")) button.tabIndex = isHere ? 0 : -1;
  group.card.querySelectorAll(".tile").forEach((tile, i) => tile.classList.toggle("is-current", isHere && i === here.picture));
}

function moveTo(group, picture) {
  const before = here.group;
  Object.assign(here, { group, picture });
  if (before && before !== group) markTabStops(before);
  markTabStops(group);
}

function focusOn(group, picture) {
  fill(group);
  moveTo(group, Math.min(picture, group.card.querySelectorAll(".tile").length - 1));
  group.card.querySelectorAll(".tile")[here.picture].focus({ preventScroll: true });
  const { top, bottom } = group.card.getBoundingClientRect(), covered = document.querySelector(".tools").offsetHeight;
  const isSeen = top >= covered && bottom <= innerHeight - dock.offsetHeight;
  if (!isSeen) group.card.scrollIntoView({ block: bottom - top > innerHeight / 2 ? "start" : "center", behavior: "instant" });
}

// What is shown is new: the first group can be reached with the Tab key.
function begin() {
  shown.forEach(refresh);
  if (shown.length) moveTo(shown.includes(here.group) ? here.group : shown[0], shown.includes(here.group) ? here.picture : 0);
  rules.hidden = !ASKED.includes(state.tab) || !tabs[state.tab].length;
  refreshRules();
  refreshDock();
}

// The next group that waits for a person: below, else from the top, else in another tab.
function findNextOpen(isWaiting) {
  const row = shown.indexOf(here.group);
  return [...shown.slice(row + 1), ...shown.slice(0, row + 1)].find((group) => group.tab && isWaiting(group));
}

function goToNext() {
  const isWaiting = asked.some(isUndecided) ? isUndecided : (group) => !isDone(group);
  let next = findNextOpen(isWaiting);
  if (!next) {
    const other = ASKED.find((one) => tabs[one].some(isWaiting));
    if (!other) return tell("Nothing is left to decide.");
    Object.assign(state, { query: "" });
    document.getElementById("find").value = "";
    openTab(other);
    next = shown.find(isWaiting);
  }
  focusOn(next, 0);
  tell(`${here.group.card.ariaLabel}.`);
}

// Whoever opened the desk wants to choose: first what is asked.
function start() {
  openTab(state.tab);
  if (desk && asked.some((group) => !isDone(group))) goToNext();
}

const isUndecided = (group) => !group.isSettled && isLeftOpen(group);

// -- choosing ----------------------------------------------------------------------------------------------------------

function choosing(group, states) {
  if (group.isSettled) return tell("These are settled.");
  if (states === null) return tell(refused);
  change([group], () => states);
  tell(describe(group));
}

// Decide about a whole group, and go on to the next one.
function settle(group, states) {
  choosing(group, states);
  if (states === null || group.isSettled) return;
  const words = said.textContent, next = findNextOpen((one) => one !== group && !isDone(one));
  if (next) focusOn(next, 0); else focusOn(group, here.picture);
  tell(next ? words : `${words} ${explainLeft()}`);
}

function explainLeft() {
  const left = asked.filter(isUndecided).length;
  return left ? `No more here; ${count(left, "group")} elsewhere ${left === 1 ? "is" : "are"} undecided.` : "Nothing is left to decide.";
}

function takeBack() {
  const groups = undo();
  if (!groups.length) return tell("There is nothing to take back.");
  const seen = groups.find((group) => shown.includes(group));
  if (seen) focusOn(seen, seen === here.group ? here.picture : 0);
  tell(`Taken back: ${groups.length === 1 ? describe(groups[0]) : count(groups.length, "group")}`);
}

// -- by rule, all that are shown ---------------------------------------------------------------------------------------

const COPY_SUFFIX = /(?:[ _-]*\(\d+\)|[ _-]+cop(?:y|ie)(?:[ _-]*\(?\d+\)?)?|[ _-]+kopie(?:[ _-]*\(?\d+\)?)?|[ _-]+edited|~\d*)$/i;
const isCopyName = (path) => /^(?:copy of|kopie von|copie de) /i.test(name(path)) || COPY_SUFFIX.test(name(path).replace(/\.[^.]*$/, ""));

// When pictures were taken, where all of them say so; else when their files were changed. ISO 8601 has an order of its own.
function datesOf(group) {
  const facts = group.pictures.map((image) => images[image]);
  return facts.every((image) => image.taken) ? facts.map((image) => Date.parse(image.taken)) : facts.map((image) => 1000 * image.modified);
}
const measured = (measure) => (group) => group.pictures.map((image) => measure(images[image]));
const inFolder = (path, folder) => path.startsWith(folder);

// By rule, a number for each picture of a group: the one with the most stays. Where two have it the group is left as it is.
const RULES = {
  pixels: measured((image) => image.width * image.height),
  bytes: measured((image) => image.bytes),
  older: (group) => datesOf(group).map((date) => -date),
  newer: datesOf,
  folder: measured((image) => Number(inFolder(image.path, rules.querySelector("#folder").value))),
  name: measured((image) => Number(!isCopyName(image.path))),
};
const WHOLE = { proposed, apart, open: leftOpen };

function statesByRule(group, rule) {
  if (WHOLE[rule]) return WHOLE[rule](group);
  const ranks = RULES[rule](group), best = Math.max(...ranks);
  if (!Number.isFinite(best) || ranks.filter((rank) => rank === best).length > 1) return null;
  return keeping(group, ranks.indexOf(best));
}

function selectByRule() {
  const rule = rules.querySelector("#rule").value, some = shown.filter((group) => !group.isSettled);
  const changed = change(some, (group) => statesByRule(group, rule));
  const same = some.length - changed.length;
  tell(`${count(changed.length, "group")} decided${same ? `; ${same} left as ${same === 1 ? "it was" : "they were"}: the rule does not tell their pictures apart` : ""}. u takes all of it back.`);
}

function refreshRules() {
  const folder = rules.querySelector("#folder"), isAsked = rules.querySelector("#rule").value === "folder";
  folder.hidden = !isAsked;
  if (isAsked) {
    const folders = [...new Set(shown.flatMap((group) => group.pictures.map((image) => place(images[image].path))))].sort();
    const chosen = folder.value;
    folder.replaceChildren(...folders.filter((one) => one).map((one) => make("option", { value: one }, one)));
    if (folders.includes(chosen)) folder.value = chosen;
  }
  rules.querySelector("button").textContent = `Select in ${count(shown.length, "group")}`;
}

rules.querySelector("#rule").addEventListener("change", refreshRules);
rules.querySelector("button").addEventListener("click", selectByRule);

// -- how far it is -----------------------------------------------------------------------------------------------------

function countAll() {
  const counts = { all: asked.length, done: 0, proposed: 0, moved: 0, open: 0 };
  for (const group of asked) {
    const status = statusWords(group);
    if (isDone(group)) counts.done += 1;
    else counts[{ "as proposed": "proposed", moved: "moved" }[status] || "open"] += 1;
  }
  return counts;
}

function refreshDock() {
  const counts = countAll();
  dock.hidden = !counts.all;
  if (dock.hidden) return;
  const parts = [[counts.proposed, "as proposed"], [counts.moved, "moved already"], [counts.open, "undecided"]].filter(([number]) => number);
  dock.querySelector("b").textContent = `${counts.done.toLocaleString("en")} of ${counts.all.toLocaleString("en")} decided`;
  dock.querySelector(".muted").textContent = parts.map(([number, words]) => `${number.toLocaleString("en")} ${words}`).join(" · ") || "Nothing is left";
  const problem = dock.querySelector(".problem");
  problem.textContent = saving.problem || (saving.canStore ? "" : "This browser keeps nothing of this page: save before you close it.");
  problem.hidden = !problem.textContent;
  for (const [name, number] of [["done", counts.done], ["proposed", counts.proposed + counts.moved]]) {
    dock.querySelector(`.progress .${name}`).style.width = `${100 * number / counts.all}%`;
  }
  dock.querySelector("#undo").disabled = !history.length;
}

dock.querySelector("#next").addEventListener("click", goToNext);
dock.querySelector("#undo").addEventListener("click", takeBack);
dock.querySelector("#help").addEventListener("click", showKeys);
dock.querySelector("#leave").addEventListener("click", showChoices);
dock.querySelector("#leave").replaceChildren(desk ? "Apply … " : "Save … ", kbd("a"));

// -- what is shown above the page --------------------------------------------------------------------------------------

function showAbove(title, ...children) {
  const before = document.activeElement, head = make("h2", { tabIndex: -1 }, title);
  const shownAbove = make("dialog", { className: "above", ariaLabel: title },
    make("div", { className: "head" }, head, make("button", { type: "button", onclick: () => shownAbove.close(), ariaLabel: "Close" }, "✕")),
    make("div", { className: "body" }, ...children));
  shownAbove.addEventListener("close", () => { shownAbove.remove(); before.focus({ preventScroll: true }); });
  shownAbove.addEventListener("click", (event) => { if (event.target === shownAbove) shownAbove.close(); });
  document.body.append(shownAbove);
  shownAbove.showModal();
  return shownAbove;
}

const KEYS = [
  ["↑ ↓", "the group above, below"], ["← →", "the picture before, after"], ["1 … 9", "keep that picture; the others go"], ["k", "keep the picture at hand; the others go"],
  ["Space", "the picture at hand goes, or stays"], ["n", "not duplicates: all stay"], ["0", "leave the group open"], ["u", "undo, step by step"],
  ["g", "go to the next group that is undecided"], ["Enter", "look at the pair"], ["a", "apply, or save, what is chosen"], ["?", "these keys"],
];
function showKeys() {
  showAbove("Keys", make("table", { className: "keys" }, ...KEYS.map(([keys, words]) => make("tr", {}, make("th", { scope: "row" }, make("kbd", {}, keys)), make("td", {}, words)))),
    make("p", { className: "muted" }, "After k, n or a number the next group that is not decided is at hand. All of it can be done with the buttons, too."));
}

function summarize(choices) {
  const counts = countAll(), byHand = new Set(asked.filter((group) => group.isDecided).flatMap((group) => group.pictures.map((image) => images[image].id)));
  const asProposed = choices.move.filter(({ image }) => !byHand.has(image)).length;
  return make("ul", {}, ...[
    choices.move.length ? `${count(choices.move.length, "picture")} ${choices.move.length === 1 ? "goes" : "go"} to Duplicates${asProposed ? `, ${asProposed.toLocaleString("en")} of them as proposed: about these you have said nothing` : ""}.` : null,
    choices.not_duplicates.length ? `${count(choices.not_duplicates.length, "pair")} ${choices.not_duplicates.length === 1 ? "is" : "are"} remembered as no duplicates, and not asked about again; what was moved of them is put back.` : null,
    counts.open ? `${count(counts.open, "group")} ${counts.open === 1 ? "is" : "are"} undecided: nothing happens to ${counts.open === 1 ? "it" : "them"}.` : null,
  ].filter((line) => line).map((line) => make("li", {}, line)));
}

function showChoices() {
  const choices = makeChoices(asked.filter((group) => !group.isSettled)), isEmpty = !choices.move.length && !choices.not_duplicates.length;
  if (isEmpty) return tell("Nothing is chosen yet.");
  const download = make("button", { type: "button", onclick: () => saveFile(choices) }, "Save choices.json");
  if (desk && desk.can_apply) {
    const apply = make("button", { type: "button", className: "primary" }, "Apply now");
    const body = [summarize(choices), make("p", { className: "muted" }, "Nothing is deleted. One command brings back what moves; what is put back stays."), make("div", { className: "acts" }, apply, download)];
    const shownAbove = showAbove("Apply what you chose?", ...body);
    apply.onclick = () => applyNow(apply, shownAbove);
    apply.focus();
    return;
  }
  download.className = "primary";
  showAbove("Take your choices with you", summarize(choices),
    make("ol", {}, make("li", {}, download), make("li", {}, "In a terminal, in the folder where it was saved: ", commandOf(data.leave))),
    make("p", { className: "muted" }, `Nothing is deleted, and one command brings back what moves. To apply with a button instead, open this page with `, make("code", {}, data.review), "."));
  download.focus();
}

function saveFile(choices) {
  const address = URL.createObjectURL(new Blob([JSON.stringify(choices, null, 1)], { type: "application/json" }));
  make("a", { href: address, download: "choices.json" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

function commandOf(command) {
  const button = make("button", { type: "button" }, "Copy");
  const whole = make("span", { className: "command" }, make("code", {}, command), button);
  offerCopy(button);
  return whole;
}

async function applyNow(button, shownAbove) {
  button.disabled = true;
  button.textContent = "Applying …";
  await save();
  const choices = makeChoices(asked.filter((group) => !group.isSettled));
  try {
    const answer = await send("POST", "./apply", choices);
    const outcome = await answer.json();
    if (!answer.ok) throw new Error(outcome.error);
    settleAll(choices, outcome);
    shownAbove.close();
    showOutcome(outcome);
  } catch (error) {
    button.disabled = false;
    button.textContent = "Apply now";
    shownAbove.querySelector(".failed")?.remove();
    shownAbove.querySelector(".body").append(make("p", { className: "problem failed", role: "alert" }, `Not applied: ${error.message}`));
  }
}

// What was applied is no longer asked about; what could not be moved is, with the reason.
function settleAll(choices, outcome) {
  const reasons = new Map(outcome.not_done.map(({ path, reason }) => [path, reason]));
  const named = new Set([...choices.move, ...choices.not_duplicates].flatMap(({ image, kept }) => [image, kept]));
  for (const group of asked) {
    const failed = group.pictures.filter((image) => reasons.has(images[image].path) || reasons.has(images[image].now));
    group.problem = failed.map((image) => `${images[image].path}: ${reasons.get(images[image].path) || reasons.get(images[image].now)}`).join(" ");
    group.isSettled = group.isSettled || (!failed.length && !isLeftOpen(group) && group.pictures.every((image) => named.has(images[image].id)));
    refresh(group);
  }
  history.length = 0;
  save();
}

function showOutcome(outcome) {
  const lines = [[outcome.moved, "picture", "moved to Duplicates"], [outcome.put_back, "picture", "put back"], [outcome.remembered, "pair", "remembered as no duplicates"]];
  const body = [make("ul", {}, ...lines.filter(([number]) => number).map(([number, noun, words]) => make("li", {}, `${count(number, noun)} ${words}.`)))];
  if (outcome.not_done.length) {
    body.push(make("p", { className: "problem" }, `${count(outcome.not_done.length, "picture")} not moved:`),
      make("ul", {}, ...outcome.not_done.map(({ path, reason }) => make("li", {}, make("span", { className: "path" }, path), ` ${reason}`))));
  }
  if (outcome.moved) body.push(make("p", {}, "This takes the moves back: ", commandOf(outcome.undo)));
  if (outcome.remembered) body.push(make("p", {}, "This shows what is remembered, to be forgotten if you like: ", commandOf(data.memory)));
  body.push(make("p", { className: "muted" }, "To change something of it, load this page again."));
  showAbove("Applied", ...body).querySelector("h2").focus();
}

// -- keys --------------------------------------------------------------------------------------------------------------

const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
const CHOICES = { n: (group) => apart(group), k: (group) => keeping(group, here.picture), 0: (group) => leftOpen(group) };

function walkBy([rows, pictures]) {
  const row = shown.indexOf(here.group), next = shown[Math.max(0, Math.min(shown.length - 1, row + rows))];
  focusOn(next, Math.max(0, rows ? 0 : here.picture + pictures));
}

// Whether the groups are what a key is meant for: they have the focus, or nothing has and they are seen.
function isAtGroups() {
  const active = document.activeElement;
  if (groups.contains(active)) return true;
  const { top, bottom } = groups.getBoundingClientRect();
  return (active === document.body || active === null) && top < innerHeight / 2 && bottom > 0;
}

function choiceOf(pressed, group) {
  if (!group.tab) return null;
  if (pressed in CHOICES) return CHOICES[pressed];
  return /^[1-9]$/.test(pressed) && Number(pressed) <= group.pictures.length ? () => keeping(group, Number(pressed) - 1) : null;
}

// What a key does; null where it is not meant for the desk.
function actionOf(pressed) {
  if (pressed === "?") return showKeys;
  if (pressed === "u") return takeBack;
  if (pressed === "g") return goToNext;
  if (pressed === "a") return showChoices;
  if (!shown.length || !isAtGroups()) return null;
  const { group, picture } = here, active = document.activeElement, isInside = groups.contains(active);
  const wanted = choiceOf(pressed, group);
  // The first key only shows which group is at hand: nothing is decided about one that nobody has looked at.
  if (!isInside) return wanted || pressed in ARROWS ? () => focusOn(group, picture) : null;
  if (pressed in ARROWS) return () => walkBy(ARROWS[pressed]);
  if (pressed === " ") return group.tab && active.classList.contains("tile") ? () => choosing(group, toggled(group, picture)) : null;
  return wanted && (() => settle(group, wanted(group)));
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || document.querySelector("dialog[open]")) return;
  if (event.target.closest("input, select, textarea, [contenteditable]")) return;
  const action = actionOf(event.key.length === 1 ? event.key.toLowerCase() : event.key);
  if (!action) return;
  event.preventDefault();
  action();
});
// A button is pressed when its key is let go; that of a picture is for Enter.
document.addEventListener("keyup", (event) => {
  if (event.key === " " && event.target.closest(".slot .tile")) event.preventDefault();
});
