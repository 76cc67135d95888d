// Writing: drafts, the key that sends, optimistic bubbles, an outbox that survives a lost connection.

import { Files } from "./attach.js";

const body = document.body;
const $ = (id) => document.getElementById(id);
const texts = $("texts").dataset;
const tell = (name, detail) => document.dispatchEvent(new CustomEvent(`pt:${name}`, { detail }));
const OUTBOX = `pt:outbox:${body.dataset.me}`;
const draftKey = (pk, kind) => `pt:draft:${body.dataset.me}:${pk}:${kind}`;

// ------------------------------------------------------------------ what waits for the line
const waiting = () => JSON.parse(localStorage.getItem(OUTBOX) ?? "[]");
const keep = (list) => localStorage.setItem(OUTBOX, JSON.stringify(list));
const drop = (id) => keep(waiting().filter((one) => one.client_id !== id));

function bubble(one) {
  const id = `m-${one.client_id}`;
  if ($(id) || $("open")?.dataset.pk !== one.pk) return;
  const node = $("tpl-bubble").content.firstElementChild.cloneNode(true);
  node.id = id;
  node.querySelector(".text").textContent = [...(one.files ?? []).map((file) => file.name), one.text].filter(Boolean).join("\n");
  node.querySelector("time").textContent = texts.just;
  $("log").append(node);
  $("log").scrollTop = $("log").scrollHeight;
}

function settle(id, html) {
  const template = document.createElement("template");
  template.innerHTML = html.trim();
  const fresh = template.content.firstElementChild, old = $(id);
  // A live frame may have been faster: what it put there is newer than this answer.
  if (old && !old.classList.contains("sending")) return;
  if (old) old.replaceWith(fresh);
  else $("log")?.append(fresh);
  window.htmx?.process(fresh);
}

async function post(url, fields, files = []) {
  const sent = new URLSearchParams(fields);
  for (const file of files) sent.append("media", file.id);
  return fetch(url, { method: "POST", headers: { Accept: "application/json", "X-CSRFToken": body.dataset.csrf }, body: sent });
}

let sending = Promise.resolve();
/** Send one answer; the same client_id again has no second effect, so a lost answer is simply asked for again. */
function send(one) {
  sending = sending.then(async () => {
    let answer;
    try {
      answer = await post(one.url, { text: one.text, client_id: one.client_id, last_seen_seq: one.last_seen_seq, ...(one.force && { force: "1" }) }, one.files);
    } catch { return later(one); } // no line: it stays in the outbox
    if (answer.status >= 500) return later(one);
    drop(one.client_id);
    if (answer.ok) return settle(`m-${one.client_id}`, (await answer.json()).html);
    $(`m-${one.client_id}`)?.remove();
    if (answer.status === 401) { give(one); return tell("logged-out"); }
    const said = await answer.json().catch(() => ({}));
    if (said.code === "stale_view") return stale(one, said.missed);
    give(one);
    tell("toast", { text: said.detail ?? $("toasts").dataset.failed, css: "bad" });
  });
  return sending;
}

function later(one) {
  if (!one.told) tell("toast", { text: texts.kept });
  setTimeout(() => { if (waiting().some((other) => other.client_id === one.client_id)) send({ ...one, told: true }); }, 5000);
}

/** The text goes back to where it was written: nothing typed is ever lost. */
function give(one) {
  localStorage.setItem(draftKey(one.pk, "reply"), one.text);
  const composer = document.querySelector("pt-composer");
  if (composer?.dataset.pk !== one.pk) return;
  composer.restore();
  composer.files?.back(one.files ?? []);
}

function stale(one, missed) {
  const composer = document.querySelector("pt-composer");
  if (composer?.dataset.pk === one.pk) composer.stale(one, missed);
  else give(one);
}

document.addEventListener("pt:online", () => { for (const one of waiting()) { bubble(one); send(one); } });

// ------------------------------------------------------------------ the element
class PtComposer extends HTMLElement {
  connectedCallback() {
    this.addEventListener("click", (event) => this.clicked(event));
    this.addEventListener("input", (event) => this.draft(event.target));
    this.addEventListener("keydown", (event) => this.key(event));
    this.addEventListener("submit", (event) => this.submitted(event));
    const form = this.querySelector("form[data-upload]");
    this.files = form && new Files(this, form);
    this.restore();
    for (const one of waiting()) bubble(one);
    this.sized = new ResizeObserver(() => document.documentElement.style.setProperty("--foot", `${this.offsetHeight}px`));
    this.sized.observe(this);
  }

  disconnectedCallback() {
    this.files?.end();
    this.sized.disconnect();
    if (!$("composer")) document.documentElement.style.removeProperty("--foot");
  }

  get pk() { return this.dataset.pk; } // never remembered: an answer must not go to the wrong person
  get kind() { return this.classList.contains("noting") ? "note" : "reply"; }
  area(kind) { return this.querySelector(`form[data-form=${kind}] textarea`); }

  write(kind) {
    this.classList.toggle("noting", kind === "note");
    for (const tab of this.querySelectorAll("[data-kind]")) tab.setAttribute("aria-pressed", String(tab.dataset.kind === kind));
    this.area(kind)?.focus();
  }

  restore() {
    for (const kind of ["reply", "note"]) {
      const area = this.area(kind), kept = localStorage.getItem(draftKey(this.pk, kind));
      if (area && kept) area.value = kept;
    }
  }

  draft(area) {
    if (area.tagName !== "TEXTAREA") return;
    const key = draftKey(this.pk, this.kind);
    if (area.value) localStorage.setItem(key, area.value);
    else localStorage.removeItem(key);
    const state = this.querySelector("[data-draft-state]");
    if (state) state.textContent = area.value ? texts.saved : "";
  }

  clicked(event) {
    const tab = event.target.closest("[data-kind]");
    if (tab) this.write(tab.dataset.kind);
    if (event.target.closest("[data-keys]")) {
      const next = body.dataset.sendKey === "enter" ? "ctrl-enter" : "enter";
      body.dataset.sendKey = next;
      document.cookie = `send_key=${next};path=/;max-age=31536000;samesite=lax`;
    }
  }

  key(event) {
    if (event.key !== "Enter" || event.isComposing || event.target.tagName !== "TEXTAREA") return;
    const plain = !event.shiftKey && !event.ctrlKey && !event.metaKey && !event.altKey;
    if ((event.ctrlKey || event.metaKey) || (plain && body.dataset.sendKey === "enter")) {
      event.preventDefault();
      event.target.form.requestSubmit();
    }
  }

  submitted(event) {
    const form = event.target.closest("form[data-form]");
    if (!form) return;
    event.preventDefault();
    const area = form.querySelector("textarea"), written = area.value.trim();
    if (!written && (form.dataset.form === "note" || !this.files?.rows.length)) return;
    if (form.dataset.form === "note") return this.saveNote(form, area, written);
    if (this.files?.busy || this.files?.broken) return tell("toast", { text: this.files.texts[this.files.busy ? "busy" : "broken"] });
    const one = {
      files: this.files?.hand() ?? [],
      client_id: crypto.randomUUID?.() ?? String(Math.random()).slice(2) + Date.now(), pk: this.pk, url: form.action, text: written,
      last_seen_seq: $("log").dataset.lastSeq,
    };
    keep([...waiting(), one]);
    this.clear(area);
    bubble(one);
    send(one);
  }

  clear(area) {
    area.value = "";
    this.draft(area);
  }

  async saveNote(form, area, written) {
    try {
      const answer = await post(form.action, { text: written });
      if (!answer.ok) throw new Error();
      this.clear(area);
      const said = await answer.json();
      if (!$(said.id)) { settle(said.id, said.html); $("log").scrollTop = $("log").scrollHeight; }
    } catch { tell("toast", { text: $("toasts").dataset.failed, css: "bad" }); }
  }

  stale(one, missed = []) {
    const bar = this.querySelector("[data-stale]"), last = missed.at(-1) ?? {};
    bar.querySelector("span").textContent = texts.stale.replace("{who}", last.who || texts.someone).replace("{text}", last.text ?? "");
    bar.hidden = false;
    const done = () => { bar.hidden = true; };
    bar.querySelector("[data-force]").onclick = () => { done(); const again = { ...one, force: true }; keep([...waiting(), again]); bubble(again); send(again); };
    bar.querySelector("[data-drop]").onclick = done;
    bar.querySelector("[data-force]").focus();
  }
}
customElements.define("pt-composer", PtComposer);
for (const one of waiting()) send(one);
