// The agent writes an answer: the server is told, seldom enough; a worker tells the customer's phone.

const AGAIN = 20e3; // the phone shows it for 25 seconds
let told = { url: "", at: -AGAIN };

document.addEventListener("input", ({ target }) => {
  const open = document.getElementById("open");
  if (target.id !== "b" || !open?.dataset.mine || !target.value.trim()) return;
  const url = open.dataset.typing, now = performance.now();
  if (told.url === url && now - told.at < AGAIN) return;
  told = { url, at: now };
  fetch(url, { method: "POST", headers: { "X-CSRFToken": document.body.dataset.csrf } }).catch(() => {});
});
