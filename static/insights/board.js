// Dragging cards on the board. Everything it does is in the menu of each card, too.
import { $, hold, onKey, release, send, texts, toast } from "./live.js";

const body = document.body;
let dragged = null; // {pk, queue, priority}

document.addEventListener("dragstart", (event) => {
  const card = event.target.closest?.(".card-q[draggable]");
  if (!card) return;
  dragged = { pk: card.dataset.pk, queue: card.closest(".col").dataset.queue, priority: card.dataset.priority };
  event.dataTransfer.setData("text/plain", card.dataset.pk);
  event.dataTransfer.effectAllowed = "move";
  hold();
  setTimeout(() => body.toggleAttribute("data-dragging", true)); // changing the page now would end the drag
});

document.addEventListener("dragover", (event) => {
  const column = dragged && event.target.closest?.(".col");
  if (!column) return;
  event.preventDefault();
  mark(event.target.closest("[data-drop]") ?? column);
});

document.addEventListener("drop", (event) => {
  const column = dragged && event.target.closest?.(".col");
  if (!column) return;
  event.preventDefault();
  const named = event.target.closest("[data-drop]")?.dataset.drop;
  drop(column.dataset.queue, named, event.target.closest(".card-q")?.dataset.priority);
});

document.addEventListener("dragend", () => {
  dragged = null;
  body.toggleAttribute("data-dragging", false);
  mark(null);
  release();
});

function mark(node) {
  for (const other of document.querySelectorAll(".over")) if (other !== node) other.classList.remove("over");
  node?.classList.add("over");
}

// Another column keeps its priority unless it is dropped on one; in its own it takes that of the card it is dropped on.
function drop(queue, named, neighbours) {
  const fields = new FormData(), address = `/queues/cards/${dragged.pk}`;
  const priority = named ?? (queue === dragged.queue ? neighbours : undefined);
  if (priority) fields.set("priority", priority);
  if (queue !== dragged.queue) {
    fields.set("queue", queue);
    send(`${address}/move/`, fields);
  } else if (priority && priority !== dragged.priority) send(`${address}/priority/`, fields);
  else toast(texts.ageOrder);
}

onKey("p", () => $("pull-next")?.click());
