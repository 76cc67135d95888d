// What every page with the rail shares: short notes, the dialog, and what is said when a request fails.

const $ = (id) => document.getElementById(id);
const toasts = $("toasts"), dialog = $("dialog"), texts = toasts.dataset;
const tell = (name, detail) => document.dispatchEvent(new CustomEvent(`pt:${name}`, { detail }));

// ------------------------------------------------------------------ notes
function toast(text, css = "info") {
  if (!text) return;
  const node = $("tpl-toast").content.firstElementChild.cloneNode(true);
  node.firstElementChild.textContent = text;
  node.classList.add(css);
  toasts.append(node);
}

// A note about what a dialog asked for would lie below it: only the top layer is above.
function shown() {
  if (toasts.matches(":popover-open")) toasts.hidePopover();
  if (toasts.firstElementChild) toasts.showPopover();
}

function added(nodes) {
  for (const node of nodes) if (node.classList?.contains("toast")) setTimeout(() => node.remove(), 8000);
  shown();
}
toasts.popover = "manual"; // without script they just stand there
new MutationObserver((changes) => added(changes.flatMap((change) => [...change.addedNodes]))).observe(toasts, { childList: true });
added(toasts.children);
document.addEventListener("pt:toast", ({ detail }) => toast(detail.text, detail.css));

// ------------------------------------------------------------------ the dialog
new MutationObserver(() => {
  const title = dialog.querySelector("h2[id]");
  if (title) dialog.setAttribute("aria-labelledby", title.id);
  if (!dialog.firstElementChild || dialog.open) return;
  dialog.showModal();
}).observe(dialog, { childList: true });
dialog.addEventListener("close", () => dialog.replaceChildren());

document.addEventListener("click", (event) => {
  const closer = event.target.closest("[data-close]");
  if (!closer) return;
  event.preventDefault();
  (closer.closest(".toast") ?? { remove: () => closer.closest("dialog")?.close() }).remove();
});

// What it asked for is done: it closes. An answer into the dialog is the next question, a refusal leaves it open.
const asked = new WeakSet();
document.addEventListener("htmx:before:request", ({ detail }) => {
  if (dialog.contains(detail.ctx.sourceElement)) asked.add(detail.ctx);
});
document.addEventListener("htmx:finally:request", ({ detail: { ctx } }) => {
  if (asked.has(ctx) && ctx.response?.raw.ok && ctx.hx?.retarget !== "#dialog") dialog.close();
});

// ------------------------------------------------------------------ requests that fail
document.addEventListener("htmx:response:error", ({ detail }) => {
  const status = detail?.ctx?.response?.status;
  if (status === 401 && $("logged-out")) tell("logged-out");
  else if (status === 401) location.reload();
  else if (status === 403) toast(texts.forbidden, "bad");
  else if (status !== 409) toast(texts.failed, "bad");
});
document.addEventListener("htmx:error", () => toast(texts.failed, "bad"));
