// The menu at the foot of the rail: arrow keys, focus, and closing after a choice. Escape is the popover's own.

const menu = document.getElementById("me-menu");
const items = () => [...menu.querySelectorAll("[role^=menuitem]")];
const moves = {
  ArrowDown: (here, last) => (here === last ? 0 : here + 1),
  ArrowUp: (here, last) => (here <= 0 ? last : here - 1),
  Home: () => 0,
  End: (here, last) => last,
};

menu.addEventListener("toggle", ({ newState }) => {
  if (newState === "open") (menu.querySelector("[aria-checked=true]") ?? items()[0]).focus();
});
menu.addEventListener("keydown", (event) => {
  const move = moves[event.key], all = items();
  if (!move) return;
  event.preventDefault();
  all[move(all.indexOf(document.activeElement), all.length - 1)].focus();
});
menu.addEventListener("click", ({ target }) => {
  if (target.closest("[role^=menuitem]")) setTimeout(() => menu.hidePopover());
});
