// What board and wall share: the live line, running clocks, notes, forms that answer with a sentence, the dialog.

import { morph, parse } from "../inbox/morph.js";

const body = document.body;
export const $ = (id) => document.getElementById(id);
export const texts = $("texts").dataset;
const state = { socket: null, tries: 0, failures: 0, heard: Date.now(), touched: false, dead: false, tag: "", polling: false, held: null };

// ------------------------------------------------------------------ clocks
class PtTime extends HTMLElement {
  static all = new Set();
  connectedCallback() { PtTime.all.add(this); this.tick(Date.now()); }
  disconnectedCallback() { PtTime.all.delete(this); }
  tick(now) {
    const { since, until, over, form } = this.dataset;
    const seconds = Math.max(0, Math.floor((since ? now - Date.parse(since) : Date.parse(until) - now) / 1000));
    const minutes = Math.floor(seconds / 60), two = (n) => String(n).padStart(2, "0");
    let said = `${Math.floor(minutes / 60)}h ${two(minutes % 60)}m`;
    if (minutes >= 48 * 60) said = `${Math.floor(minutes / 1440)}d`;
    else if (minutes < 60) said = form === "short" ? `${minutes}m` : `${two(minutes)}:${two(seconds % 60)}`;
    if (until && !seconds) { said = over || said; this.parentElement.className = "chip bad"; }
    if (this.textContent !== said) this.textContent = said;
  }
}
customElements.define("pt-time", PtTime);

function tick() {
  const now = Date.now(), age = Math.floor((now - state.heard) / 1000), old = age > 10;
  for (const clock of PtTime.all) clock.tick(now);
  $("live").className = `chip ${old ? "warn" : "ok"}`;
  const said = old ? texts.age.replace("{n}", age) : texts.live;
  if ($("age").textContent !== said) $("age").textContent = said;
}
setInterval(tick, 1000);

// ------------------------------------------------------------------ parts of the page
// A column stands where its number says.
function place(node) {
  const row = $("columns");
  if (!row || !node || node.dataset.sort === undefined) return;
  const next = [...row.children].find((other) => other !== node && other.dataset.sort > node.dataset.sort) ?? null;
  if (node.parentNode !== row || node.nextElementSibling !== next) row.insertBefore(node, next);
}

function apply(frame) {
  const active = document.activeElement, part = active?.closest("[data-part]")?.id;
  for (const op of frame.ops) {
    const old = $(op.target);
    if (op.op === "remove") { old?.remove(); continue; }
    const fresh = parse(op.html);
    if (old && op.target.startsWith("me-")) { old.replaceWith(fresh); window.htmx?.process(fresh); } // the viewer's own menu is htmx's
    else if (old) morph(old, fresh);
    else $("columns")?.append(fresh);
    place($(op.target));
  }
  if (frame.whole) {
    const sent = new Set(frame.ops.map((op) => op.target));
    for (const node of document.querySelectorAll("[data-part]")) if (!sent.has(node.id)) node.remove();
  }
  if (document.querySelector(".col")) document.querySelector("#columns > .empty")?.remove();
  // A card that went away hands the focus to the name of its column.
  if (part && document.activeElement !== active) {
    (active.isConnected ? active : $(part)?.querySelector("h2[tabindex]"))?.focus({ preventScroll: true });
  }
  tick();
}

function take(frame) {
  state.heard = Date.now();
  if (state.held) state.held.push(frame);
  else apply(frame);
}

// While a card is dragged nothing moves under the pointer.
export function hold() { state.held ??= []; }
export function release() {
  const held = state.held ?? [];
  state.held = null;
  held.forEach(apply);
}

// ------------------------------------------------------------------ the line
function connect() {
  if (state.dead) return;
  const query = new URLSearchParams({ page: body.dataset.page, department: body.dataset.department, lang: body.dataset.lang, presence: $("me-presence")?.dataset.stamp ?? "" });
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const socket = state.socket = new WebSocket(`${scheme}//${location.host}/ws/wall/?${query}`);
  socket.onmessage = (event) => {
    const said = JSON.parse(event.data);
    if (!said.ops) return;
    state.tries = state.failures = 0;
    take(said);
  };
  socket.onclose = (event) => {
    if (event.code === 4401) return loggedOut();
    state.failures += 1;
    // Full jitter: after a restart not all walls come back in the same moment.
    setTimeout(connect, Math.min(15000, 400 * 2 ** state.tries++) * (0.4 + Math.random() * 0.6));
  };
}

function loggedOut() {
  state.dead = true;
  if (!$("logged-out").open) $("logged-out").showModal();
}

// Without a socket the page asks; an answer that says "as before" is as good as a new one.
async function poll() {
  if (state.polling || state.dead) return;
  state.polling = true;
  try {
    const query = new URLSearchParams({ fragment: 1, department: body.dataset.department });
    const answer = await fetch(`${location.pathname}?${query}`, { cache: "no-store", headers: { Accept: "application/json", "If-None-Match": state.tag } });
    if (answer.status === 401) return loggedOut();
    if (answer.status === 304) state.heard = Date.now();
    if (!answer.ok) return;
    state.tag = answer.headers.get("ETag") ?? "";
    take(await answer.json());
  } catch { /* still away: the socket's own tries go on */ } finally { state.polling = false; }
}

setInterval(() => { if (state.socket?.readyState !== 1 && state.failures >= 2) poll(); }, 5000);
for (const type of ["keydown", "pointerdown", "touchstart"]) addEventListener(type, () => { state.touched = true; }, { capture: true, passive: true });
setInterval(() => {
  if (state.socket?.readyState !== 1 || body.hasAttribute("data-tv")) return; // a screen on the wall is nobody's presence
  state.socket.send(JSON.stringify({ ping: 1, active: state.touched }));
  state.touched = false;
}, 15000);

// ------------------------------------------------------------------ the department
export function show(department) {
  const select = $("filter").elements.department;
  select.value = body.dataset.department = department;
  const query = new URLSearchParams(location.search);
  if (department) query.set("department", department);
  else query.delete("department");
  history.replaceState(null, "", `${location.pathname}${query.size ? `?${query}` : ""}`);
  $("place").textContent = department ? ` · ${select.selectedOptions[0].textContent}` : "";
  state.tag = "";
  if (state.socket?.readyState === 1) state.socket.send(JSON.stringify({ department }));
  else poll();
}
$("filter").addEventListener("change", (event) => show(event.target.value));

// ------------------------------------------------------------------ notes, forms, the dialog
export const toast = (text, css = "info") => document.dispatchEvent(new CustomEvent("pt:toast", { detail: { text, css } }));
const notes = $("toasts").dataset;

export async function send(address, fields) {
  try {
    const answer = await fetch(address, { method: "POST", body: fields, headers: { Accept: "application/json", "X-CSRFToken": body.dataset.csrf } });
    if (answer.status === 401) return loggedOut();
    if (answer.status === 403) return toast(notes.forbidden, "bad");
    if (!answer.ok && answer.status !== 409) return toast(notes.failed, "bad");
    const said = await answer.json();
    if (said.go) return location.assign(said.go);
    toast(said.detail, answer.ok ? said.css : "bad");
  } catch { toast(notes.failed, "bad"); }
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("[data-act]")) return;
  event.preventDefault();
  $("dialog").close();
  send(form.action, new FormData(form, event.submitter));
});

document.addEventListener("click", async (event) => {
  const opener = event.target.closest("[data-menu]");
  if (!opener || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  try {
    const answer = await fetch(`${opener.href}?fragment=1`);
    if (!answer.ok) return toast(notes.failed, "bad");
    $("dialog").replaceChildren(parse(await answer.text()));
  } catch { toast(notes.failed, "bad"); }
});
document.addEventListener("pt:logged-out", loggedOut);

// Single keys work only outside fields and dialogs.
export function onKey(key, act) {
  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== key || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, textarea, select, dialog")) return;
    event.preventDefault();
    act();
  });
}

connect();
