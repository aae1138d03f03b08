// -- the dialog that shows a pair ------------------------------------------------------------------------------------

const dialog = document.getElementById("pair");

function pane(title, image, orientation) {
  const shown = images[image];
  const path = shown.link ? make("a", { href: shown.link, className: "path" }, shown.now) : make("span", { className: "path" }, shown.now);
  const moved = shown.link === null ? "no longer there" : shown.now === shown.path ? null : `was ${shown.path}`;
  return make("figure", {}, make("span", { className: "stage" }, sheet(image, orientation, null, false)),
    make("figcaption", {}, make("b", {}, title), path, " ", moved && make("span", { className: "muted" }, moved),
      make("span", { className: "muted" }, ` ${shown.width} × ${shown.height} · ${bytes(shown.bytes)}`), turned(orientation)));
}

function mapPane(member) {
  const drawn = sheet(member.image, member.orientation, member, true), map = drawn.querySelector("canvas");
  if (map) drawMap(map);
  return make("figure", {}, make("span", { className: "stage" }, drawn),
    make("figcaption", {}, make("b", {}, "Difference"), map
      ? "The SSIM map of the two pictures as shown here: the deeper the colour, the less they agree there."
      : "There is no map where one of the pictures is not here.",
      make("span", { className: "legend" }, "alike", make("i"), "different")));
}

function openPair(member) {
  const at = walk.indexOf(member), undecided = state.tab === "near" || state.tab === "review";
  const step = (by) => () => openPair(walk[(at + by + walk.length) % walk.length]);
  dialog.replaceChildren(
    make("div", { className: "head" }, make("b", {}, `SSIM ${score(member.ssim)} · detail ${score(member.detail)} · local ${score(member.local)}`),
      make("button", { type: "button", onclick: step(-1), ariaLabel: "Pair before" }, "←"),
      make("button", { type: "button", onclick: step(1), ariaLabel: "Next pair" }, "→"),
      make("button", { type: "button", onclick: () => dialog.close(), ariaLabel: "Close" }, "✕")),
    make("div", { className: "panes" },
      pane(undecided ? "First" : "Kept", member.kept, 1),
      pane(undecided ? "Second" : member.action[0].toUpperCase() + member.action.slice(1), member.image, member.orientation),
      mapPane(member)),
    make("p", { className: "about muted" }, member.reason || `It matches ${images[member.kept].path}, which is kept.`));
  dialog.onkeydown = (event) => {
    if (event.key === "ArrowLeft") step(-1)();
    if (event.key === "ArrowRight") step(1)();
  };
  if (!dialog.open) dialog.showModal();
}

dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
