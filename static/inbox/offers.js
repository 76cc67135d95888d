// What is on offer: its seconds run down here. Who got it, and that it is over, is said by the server's frames.

class PtLeft extends HTMLElement {
  static all = new Set();
  connectedCallback() {
    // By the server's clock: this one may be wrong by minutes.
    this.end = performance.now() + Date.parse(this.dataset.expires) - Date.parse(this.dataset.now);
    PtLeft.all.add(this);
    this.tick();
  }
  disconnectedCallback() { PtLeft.all.delete(this); }
  tick() {
    const seconds = Math.max(0, Math.ceil((this.end - performance.now()) / 1000));
    const said = `${String(Math.floor(seconds / 60)).padStart(2, "0")}:${String(seconds % 60).padStart(2, "0")}`;
    if (this.textContent !== said) this.textContent = said;
    this.parentElement.classList.toggle("bad", seconds <= 10);
    if (!seconds) over(this.closest(".offer"));
  }
}
customElements.define("pt-left", PtLeft);
setInterval(() => { for (const left of PtLeft.all) left.tick(); }, 500);

/** Its time is up. When the frame that takes it away does not come, it goes all the same. */
function over(offer) {
  if (offer.classList.contains("over")) return;
  offer.classList.add("over");
  for (const button of offer.querySelectorAll("button")) button.disabled = true;
  setTimeout(() => {
    offer.remove();
    const offers = document.getElementById("offers");
    if (!offers.querySelector(".offer")) offers.hidden = true;
  }, 1500);
}

// Time chosen by hand is meant, whichever choice was marked before.
document.addEventListener("focusin", ({ target }) => {
  const own = target.closest(".own-time")?.closest("form").querySelector("[value=own]");
  if (own) own.checked = true;
});
