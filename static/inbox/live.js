// The page's line to the ledger: one socket, one cursor, frames that replace by DOM id.
// A frame may come late, twice or after a long absence without harm; what was missed is read from the cursor.

import { morph, parse } from "./morph.js";

const body = document.body;
const $ = (id) => document.getElementById(id);
const text = (name) => $("texts")?.dataset[name] ?? "";
const state = {
  cursor: body.dataset.cursor, socket: null, tries: 0, failures: 0, heard: 0, dead: false, catchingUp: false, polling: 0, pinged: 0,
};
const held = new Map(); // rows that wait until the pointer leaves the list

const tell = (name, detail) => document.dispatchEvent(new CustomEvent(`pt:${name}`, { detail }));
const opened = () => $("open")?.dataset.pk ?? "";
const query = () => new URLSearchParams({
  since: state.cursor, tab: body.dataset.tab, q: body.dataset.q, only: body.dataset.only, open: opened(), lang: body.dataset.lang,
  presence: $("me-presence")?.dataset.stamp ?? "",
});

// ------------------------------------------------------------------ frames
function replace(old, fresh) {
  const active = document.activeElement;
  const inside = active !== body && old.contains(active);
  const focus = inside && (active.id ? `#${CSS.escape(active.id)}` : active.dataset.key ? `[data-key="${active.dataset.key}"]` : active.tagName);
  old.replaceWith(fresh);
  tell("redrawn", { old, fresh });
  if (focus) (fresh.matches(focus) ? fresh : fresh.querySelector(focus))?.focus({ preventScroll: true });
  window.htmx?.process(fresh);
}

function place(list, fresh) {
  const next = [...list.children].find((row) => row.dataset.sort !== undefined && row !== fresh && row.dataset.sort < fresh.dataset.sort);
  const more = $("more");
  if (fresh.isConnected && fresh.nextElementSibling === (next ?? more)) return;
  if (!next && more && !fresh.isConnected) return; // it belongs to a page of the list that is not loaded yet
  const focused = fresh.contains(document.activeElement) ? document.activeElement : null;
  list.insertBefore(fresh, next ?? more);
  focused?.focus({ preventScroll: true });
}

function putRow(fresh, toTop) {
  const list = $("list"), old = $(fresh.id);
  if (!list) return;
  if (fresh.dataset.pk === opened()) fresh.firstElementChild.setAttribute("aria-current", "true");
  if (old) morph(old, fresh); // a row that is just being pressed stays the same link
  if (list.matches(":hover") && (toTop || !old)) {
    held.set(fresh.id, fresh); // nothing jumps under the pointer
    const pill = $("newer");
    pill.hidden = false;
    pill.firstElementChild.textContent = text("newer").replace("{n}", held.size);
    return;
  }
  $("empty")?.remove();
  place(list, old ?? fresh);
  if (!old) window.htmx?.process(fresh);
}

function release() {
  const list = $("list");
  for (const [id, row] of held) {
    place(list, $(id) ?? row);
    window.htmx?.process($(id));
  }
  held.clear();
  $("newer").hidden = true;
}

function putItem(fresh, seq) {
  const log = $("log");
  if (!log) return;
  const old = $(fresh.id);
  if (old) return replace(old, fresh);
  const items = [...log.querySelectorAll(":scope > .item[data-seq]")];
  if (items.length && seq < Number(items[0].dataset.seq) && $("earlier")) return; // on a page not loaded yet
  const before = items.find((item) => Number(item.dataset.seq) > seq);
  if (before) before.before(fresh);
  else log.append(fresh);
  fresh.classList.add("row-in");
  day(fresh);
  window.htmx?.process(fresh);
}

function day(item) {
  let previous = item.previousElementSibling;
  while (previous && !previous.dataset.day) previous = previous.previousElementSibling;
  if (previous?.dataset.day === item.dataset.day) return;
  const label = Object.assign(document.createElement("span"), { className: "day", textContent: item.dataset.dayText });
  label.dataset.day = item.dataset.day;
  item.before(label);
}

function apply(frame) {
  const log = $("log"), here = opened();
  const atEnd = log && log.scrollHeight - log.scrollTop - log.clientHeight < 120;
  let inbound = false;
  for (const op of frame.ops) {
    if (op.scope && op.scope !== here) continue; // meant for a conversation that is no longer open
    const target = $(op.target);
    if (op.op === "text") { if (target && target.textContent !== op.html) target.textContent = op.html; continue; }
    if (op.op === "remove") { held.delete(op.target); target?.remove(); continue; }
    const fresh = parse(op.html);
    if (!fresh) continue;
    if (op.target.startsWith("row-")) putRow(fresh, op.op === "top");
    else if (op.op === "morph") {
      const same = op.target === "composer" && target?.dataset.mode === fresh.dataset.mode; // a draft is being written
      if (same) tell("foot", { foot: target, fresh });
      if (target && !same && target.outerHTML !== fresh.outerHTML) replace(target, fresh);
    } else {
      inbound ||= !target && fresh.matches(".m.i2");
      putItem(fresh, Number(fresh.dataset.seq));
    }
    // Only what stands in the log counts as seen: the server stops answers of somebody who has not seen a colleague's.
    if (op.op === "upsert" && op.scope && log && op.seq > Number(log.dataset.lastSeq)) log.dataset.lastSeq = Math.floor(op.seq);
  }
  if (atEnd) log.scrollTop = log.scrollHeight;
  else if (inbound && $("jump")) $("jump").hidden = false;
  tell("changed", { inbound });
}

async function take(frame) {
  if (frame.reset) {
    if (frame.ops) apply(frame);
    return reset(frame.cursor);
  }
  if (frame.events && state.catchingUp && frame.events > 1) {
    const said = text("updates").replace("{n}", frame.events);
    $("live-status").textContent = said;
    tell("toast", { text: said });
  }
  state.catchingUp = false;
  apply(frame);
  if (frame.cursor) state.cursor = frame.cursor;
}

async function reset(cursor) {
  state.cursor = cursor; // read before the page is, so nothing falls between
  tell("reload-list");
  if (opened()) window.htmx.ajax("GET", location.pathname, { target: "#open", swap: "outerHTML" });
  connect();
}

// ------------------------------------------------------------------ the socket
function connect() {
  if (state.dead) return;
  const old = state.socket;
  state.socket = null;
  old?.close();
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(`${scheme}//${location.host}/ws/inbox/?${query()}`);
  state.socket = socket;
  socket.onopen = () => {
    state.heard = Date.now();
    setTimeout(() => { if (socket === state.socket) state.catchingUp = false; }, 3000); // nothing was missed
  };
  socket.onmessage = (event) => {
    if (socket !== state.socket) return;
    state.heard = Date.now();
    online();
    const said = JSON.parse(event.data);
    if (said.ops || said.reset) take(said);
  };
  socket.onclose = (event) => {
    if (socket !== state.socket) return;
    state.socket = null;
    if (event.code === 4401) return loggedOut();
    offline();
    // Full jitter: after a restart not all pages come back in the same moment.
    setTimeout(connect, Math.min(15000, 400 * 2 ** state.tries++) * (0.4 + Math.random() * 0.6));
  };
  // A quiet desk sends no frame: the answer to a ping proves that the line works.
  socket.addEventListener("open", ping);
}

function online() {
  if (state.failures) tell("online");
  state.tries = state.failures = 0;
  $("offline").hidden = true;
}

function offline() {
  state.failures += 1;
  state.catchingUp = true;
  if (state.failures > 1) $("offline").hidden = false;
  if (state.failures >= 3) sync();
}

function loggedOut() {
  state.dead = true;
  if (!$("logged-out").open) $("logged-out").showModal();
}

async function sync() {
  if (state.polling || state.dead) return;
  state.polling = 1;
  try {
    const answer = await fetch(`${body.dataset.sync}?${query()}`, { headers: { Accept: "application/json" } });
    if (answer.status === 401) return loggedOut();
    if (answer.ok) { $("offline").hidden = true; await take(await answer.json()); tell("online"); }
  } catch { /* still away: the socket's own retries go on */ } finally { state.polling = 0; }
}

setInterval(() => {
  const socket = state.socket;
  if (socket?.readyState === 1) {
    if (Date.now() - state.heard > 40000) socket.close();
    else if (Date.now() - state.pinged > 18000) ping();
  } else if (state.failures >= 3) sync();
}, 5000);

// ------------------------------------------------------------------ somebody is there
let touched = 0; // the last key, click or touch; a pointer that rests while the page moves below it is none
for (const kind of ["keydown", "pointerdown", "pointermove", "wheel", "touchstart"]) {
  addEventListener(kind, (event) => {
    if (kind !== "pointermove" || event.movementX || event.movementY) touched = Date.now();
  }, { capture: true, passive: true });
}

/** Keeps the line alive, and says whether anybody touched this page since the last time. */
function ping() {
  if (state.socket?.readyState !== 1) return;
  state.socket.send(JSON.stringify({ ping: 1, active: !document.hidden && touched > state.pinged }));
  state.pinged = Date.now();
}

// ------------------------------------------------------------------ the page
document.addEventListener("visibilitychange", () => { if (!document.hidden) sync(); });
document.addEventListener("pt:view", ({ detail }) => {
  // The part that was just read is older than what the socket has told: rewind to it.
  if (state.socket?.readyState === 1) state.socket.send(JSON.stringify({ open: opened(), tab: body.dataset.tab, q: body.dataset.q, only: body.dataset.only, since: detail.since }));
});
document.addEventListener("pt:logged-out", loggedOut);
window.addEventListener("online", connect);
$("list")?.addEventListener("pointerleave", release);
$("newer")?.addEventListener("click", release);
document.addEventListener("pt:release", release);
connect();
