// Around the answer: the foot changes when the window closes, templates are previewed, a draft can go out later.

const body = document.body;
const $ = (id) => document.getElementById(id);
const LAST_HOUR = 3600e3;
const draftKey = (pk) => `pt:draft:${body.dataset.me}:${pk}:reply`;

// ------------------------------------------------------------------ the window closes while one looks
let asked = 0;
function watch() {
  const foot = $("composer"), until = Date.parse(foot?.dataset.until ?? "");
  if (!until) return;
  const left = until - Date.now(), bar = foot.querySelector("[data-closing]");
  if (bar) bar.hidden = left > LAST_HOUR;
  if (left > 0 || Date.now() - asked < 5000) return; // a page's clock may run ahead of the server's
  asked = Date.now();
  window.htmx.ajax("GET", foot.dataset.foot, { target: "#composer", swap: "outerHTML" });
}
setInterval(watch, 1000);

// The customer wrote: the foot stays, for a draft is being written, but it has longer to go.
document.addEventListener("pt:foot", ({ detail: { foot, fresh } }) => {
  foot.dataset.until = fresh.dataset.until;
  const clock = foot.querySelector("[data-closing] pt-time");
  if (clock && fresh.dataset.until) clock.dataset.until = fresh.dataset.until;
});

// ------------------------------------------------------------------ templates
const BLANK = /\{\{\s*(\w+)\s*\}\}/g;
document.addEventListener("input", ({ target }) => {
  const form = target.closest?.("form[data-template]");
  if (!form) return;
  const values = Object.fromEntries(new FormData(form)), preview = form.querySelector(".preview");
  preview.textContent = preview.dataset.body.replace(BLANK, (blank, name) => values[`v-${name}`]?.trim() || blank);
});

// ------------------------------------------------------------------ a draft that goes out later
function along(file) {
  const row = document.createElement("li"), name = document.createElement("b"), field = document.createElement("input");
  name.textContent = file.name;
  Object.assign(field, { type: "hidden", name: "media", value: file.id });
  row.append(name, field);
  return row;
}

new MutationObserver(() => {
  const form = $("dialog").querySelector("form[data-later]"), area = form?.elements.text;
  if (!area || area.value || form.dataset.filled) return;
  form.dataset.filled = "1";
  area.value = localStorage.getItem(draftKey(form.dataset.later)) ?? "";
  const ready = $("composer")?.files?.rows.filter((row) => row.dataset.state === "ok") ?? [];
  const list = form.querySelector("[data-later-files]");
  for (const { file } of ready) list.append(along(file));
  list.hidden = !ready.length;
  area.required = !ready.length;
}).observe($("dialog"), { childList: true });

document.addEventListener("htmx:before:swap", ({ detail: { ctx } }) => {
  const pk = ctx.sourceElement?.dataset?.later;
  if (pk && ctx.response?.raw.ok) localStorage.removeItem(draftKey(pk));
});
