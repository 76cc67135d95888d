// What the inbox does around the live line: keys, tabs, search, the open conversation, clocks.

const body = document.body;
const $ = (id) => document.getElementById(id);
const texts = $("texts").dataset;
const tell = (name, detail) => document.dispatchEvent(new CustomEvent(`pt:${name}`, { detail }));

// ------------------------------------------------------------------ clocks
class PtTime extends HTMLElement {
  static all = new Set();
  connectedCallback() { PtTime.all.add(this); }
  disconnectedCallback() { PtTime.all.delete(this); }
  tick(now) {
    const { since, until, over } = this.dataset;
    const seconds = Math.max(0, Math.floor((since ? now - Date.parse(since) : Date.parse(until) - now) / 1000));
    const two = (n) => String(n).padStart(2, "0");
    let said = `${Math.floor(seconds / 3600)}h ${two(Math.floor(seconds / 60) % 60)}m`;
    if (seconds >= 48 * 3600) said = `${Math.floor(seconds / 86400)}d`;
    else if ((since || over) && seconds < 3600) said = `${two(Math.floor(seconds / 60))}:${two(seconds % 60)}`;
    if (until && !seconds) { said = over || texts.closed; this.parentElement.className = "chip bad"; }
    if (this.textContent !== said) this.textContent = said;
  }
}
customElements.define("pt-time", PtTime);
setInterval(() => { const now = Date.now(); for (const clock of PtTime.all) clock.tick(now); }, 1000);

// ------------------------------------------------------------------ the contact as a drawer
document.addEventListener("click", (event) => {
  if (event.target.closest("#drawer")) drawer();
  else if (body.dataset.panel === "open" && !event.target.closest("#panel")) drawer(false);
});

function drawer(open = body.dataset.panel !== "open") {
  body.dataset.panel = open ? "open" : "";
  $("drawer")?.setAttribute("aria-expanded", String(open));
}

// ------------------------------------------------------------------ the open conversation
let shown = null;

function arrive() {
  const open = $("open");
  if (open === shown) return;
  const first = shown === null;
  if (shown?.dataset.pk === open.dataset.pk) keepWhy(shown, open);
  shown = open;
  const pk = open.dataset.pk;
  document.querySelector(".app").dataset.view = pk ? "conv" : "list";
  drawer(false);
  for (const link of document.querySelectorAll("#list [aria-current]")) link.removeAttribute("aria-current");
  $(`row-${pk}`)?.firstElementChild.setAttribute("aria-current", "true");
  const log = $("log");
  if (log) {
    const unread = $("unread-line");
    log.scrollTop = unread ? Math.max(0, unread.offsetTop - log.offsetTop - 60) : log.scrollHeight;
    log.addEventListener("scroll", () => scrolled(log), { passive: true });
    log.addEventListener("load", () => stay(log), { capture: true });
    new MutationObserver((changes) => grew(log, changes)).observe(log, { childList: true });
    height = log.scrollHeight;
    atEnd = true;
    document.title = `${$("ct").textContent} · PyTake`;
    if (!first && matchMedia("(width >= 760px)").matches) $("b")?.focus({ preventScroll: true });
  }
  if (!first) tell("view", { since: open.dataset.cursor });
  looked();
}

// Older messages came in above: what was being read stays where it is.
let height = 0, atEnd = true;
function grew(log, changes) {
  const older = changes.some((change) => [...change.removedNodes].some((node) => node.id === "earlier"));
  if (older) log.scrollTop += log.scrollHeight - height;
  height = log.scrollHeight;
}

// A picture comes after its bubble: who was at the end still is.
function stay(log) {
  if (atEnd) log.scrollTop = log.scrollHeight;
  height = log.scrollHeight;
}

function scrolled(log) {
  const left = log.scrollHeight - log.scrollTop - log.clientHeight;
  if (log.scrollHeight === height) atEnd = left < 120; // else a picture has just come: stay() follows
  if (left < 60) $("jump").hidden = true;
  if (log.scrollTop < 80) $("earlier")?.querySelector("a")?.click();
}

document.addEventListener("click", (event) => {
  if (event.target.closest("#jump")) { $("log").scrollTop = $("log").scrollHeight; $("jump").hidden = true; }
});

// The one who has the conversation and sees it has read it.
let looking = 0;
function looked() {
  clearTimeout(looking);
  const open = $("open");
  if (!open?.dataset.mine || document.hidden) return;
  const row = $(`row-${open.dataset.pk}`);
  if (!(row?.querySelector(".un") || Number(open.dataset.unread))) return;
  looking = setTimeout(() => {
    open.dataset.unread = "0";
    fetch(open.dataset.seen, { method: "POST", headers: { "X-CSRFToken": body.dataset.csrf } }).catch(() => {});
  }, 600);
}
document.addEventListener("pt:changed", looked);
document.addEventListener("visibilitychange", looked);

// ------------------------------------------------------------------ why it is here
/** A panel that is drawn anew keeps what was unfolded; opening it asks for fresh reasons. */
function keepWhy(old, fresh) {
  const was = old.querySelector("#why[open]"), is = fresh.querySelector("#why");
  if (!was || !is) return;
  is.lastElementChild.replaceChildren(...was.lastElementChild.childNodes);
  is.open = true;
}
document.addEventListener("pt:redrawn", ({ detail }) => keepWhy(detail.old, detail.fresh));

let again = 0;
function askWhy() {
  clearTimeout(again);
  again = 0;
  if ($("why")?.open && !document.hidden && $("offline").hidden) $("why").dispatchEvent(new Event("pt:ask"));
}
document.addEventListener("toggle", ({ target }) => { if (target.id === "why") askWhy(); }, true);
// Whatever happens at the desk may be the reason; a busy one is asked every other second.
document.addEventListener("pt:changed", () => { again ||= setTimeout(askWhy, 2000); });
setInterval(askWhy, 20000); // hours, presences and skills change without a line

// Fresh reasons leave unfolded what was, and the focus where it was.
let unfolded = [], focused = "";
document.addEventListener("htmx:before:swap", ({ detail }) => {
  if (detail.ctx.sourceElement.id !== "why") return;
  unfolded = [...$("why").querySelectorAll(".why-here details[open]")].map((one) => one.id);
  focused = document.activeElement.closest(".why-here details")?.id ?? "";
});
document.addEventListener("htmx:after:swap", ({ detail }) => {
  if (detail.ctx.sourceElement.id !== "why") return;
  for (const id of unfolded) $(id)?.setAttribute("open", "");
  $(focused)?.firstElementChild.focus({ preventScroll: true });
});

// ------------------------------------------------------------------ htmx
// Watching the page, not the requests: the element that asked is often gone when its answer stands.
new MutationObserver(() => { if ($("open") !== shown) arrive(); }).observe(document.querySelector(".app"), { childList: true });
document.addEventListener("htmx:after:history:push", ({ detail }) => {
  history.replaceState(history.state, "", `${detail.path.split("?")[0]}?tab=${body.dataset.tab}`);
});

// ------------------------------------------------------------------ the list
let asked = 0;
async function list() {
  const mine = ++asked;
  const query = new URLSearchParams({ tab: body.dataset.tab, q: body.dataset.q, only: body.dataset.only });
  try {
    const answer = await fetch(`${body.dataset.rows}?${query}`, { headers: { "HX-Request": "true" } });
    if (answer.status === 401) return tell("logged-out");
    if (!answer.ok || mine !== asked) return;
    $("list").innerHTML = await answer.text();
    window.htmx.process($("list"));
    $(`row-${$("open").dataset.pk}`)?.firstElementChild.setAttribute("aria-current", "true");
    tell("view", { since: answer.headers.get("X-Cursor") });
  } catch { tell("toast", { text: $("toasts").dataset.failed, css: "bad" }); }
}
document.addEventListener("pt:reload-list", list);

function look(tab, q, only = body.dataset.only) {
  Object.assign(body.dataset, { tab, q, only });
  if (!only) $("only")?.remove();
  for (const link of document.querySelectorAll(".tabs [data-tab]")) link.toggleAttribute("aria-current", link.dataset.tab === tab);
  document.querySelector(`.tabs [data-tab="${tab}"]`)?.setAttribute("aria-current", "page");
  document.querySelector(".search [name=tab]").value = tab;
  const query = new URLSearchParams({ tab, ...(q && { q }), ...(only && { only }) });
  history.replaceState(history.state, "", `${location.pathname}?${query}`);
  list();
}

document.querySelector(".pane .tabs").addEventListener("click", (event) => {
  const link = event.target.closest("[data-tab]");
  if (!link || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  look(link.dataset.tab, body.dataset.q, "");
});
document.querySelector("#only [data-all]")?.addEventListener("click", (event) => { event.preventDefault(); look(body.dataset.tab, body.dataset.q, ""); });
let typing = 0;
$("q").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => look(body.dataset.tab, $("q").value.trim()), 250);
});
$("q").form.addEventListener("submit", (event) => { event.preventDefault(); look(body.dataset.tab, $("q").value.trim()); });

// ------------------------------------------------------------------ keys
document.querySelector(".skip").addEventListener("click", (event) => {
  if (!$("b")) return;
  event.preventDefault();
  $("b").focus();
});

function step(by) {
  const links = [...document.querySelectorAll("#list > li[data-pk] > a")];
  const here = links.findIndex((link) => link === document.activeElement || link.hasAttribute("aria-current"));
  const next = links[Math.max(0, Math.min(links.length - 1, here + by))];
  next?.focus();
  next?.click();
}

const keys = {
  p: () => $("pull")?.click(),
  j: () => step(1),
  k: () => step(-1),
  "/": () => $("q").focus(),
  ".": () => tell("release"),
  r: () => document.querySelector("pt-composer")?.write("reply"),
  n: () => document.querySelector("pt-composer")?.write("note"),
};
document.addEventListener("keydown", (event) => {
  const inField = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key === "Escape") {
    if (inField) event.target.blur();
    drawer(false);
    return;
  }
  if (inField || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const key = event.key.toLowerCase();
  const act = keys[key] ?? (/^[a-z]$/.test(key) && document.querySelector(`[data-key="${key}"]`) && (() => document.querySelector(`[data-key="${key}"]`).click()));
  if (!act) return;
  event.preventDefault();
  act();
});

arrive();
