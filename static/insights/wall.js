// The wall as a screen: full screen, larger, without chrome, one department after another.
import { $, onKey, show } from "./live.js";

const body = document.body;
const TURN = Number(body.dataset.turn) * 1000;
let turning = 0, awake = null;

function turn() {
  const slugs = [...$("filter").elements.department.options].map((option) => option.value);
  if (slugs.length > 2) show(slugs[(slugs.indexOf(body.dataset.department) + 1) % slugs.length]);
}

function tv(on) {
  body.toggleAttribute("data-tv", on);
  $("tv").setAttribute("aria-pressed", String(on));
  $("place").hidden = !on;
  const query = new URLSearchParams(location.search);
  if (on) query.set("tv", "1");
  else query.delete("tv");
  history.replaceState(null, "", `${location.pathname}${query.size ? `?${query}` : ""}`);
  clearInterval(turning);
  if (on) turning = setInterval(turn, TURN);
  stayAwake(on);
}

async function stayAwake(on) {
  try {
    if (on) awake ??= await navigator.wakeLock.request("screen");
    else { await awake?.release(); awake = null; }
  } catch { /* the browser has no such thing, or not here */ }
}

function toggle() {
  const on = !body.hasAttribute("data-tv");
  tv(on);
  if (on) document.documentElement.requestFullscreen?.().catch(() => {});
  else if (document.fullscreenElement) document.exitFullscreen();
}

$("tv").addEventListener("click", toggle);
onKey("f", toggle);
onKey("escape", () => tv(false));
document.addEventListener("fullscreenchange", () => { if (!document.fullscreenElement) tv(false); });
if (body.hasAttribute("data-tv")) { show(body.dataset.department); tv(true); }
