// The phones: sends forms without leaving the page and polls for what the desk answered.
(() => {
  "use strict";
  const root = document.querySelector("[data-simulator]");
  if (!root || !root.dataset.poll) return;

  const EVERY = 700;
  const SLOWEST = 8000;
  const PHOTO_SIDE = 1280;
  const PHOTO_BYTES = 900 * 1024;
  const notices = root.querySelector("[data-notices]");
  const phones = () => [...root.querySelectorAll("[data-phone]")];
  const token = () => root.querySelector("input[name=csrfmiddlewaretoken]").value;
  let focused = null;
  let pause = EVERY;
  let timer = 0;
  let polling = null;

  // ---------------------------------------------------------------- talking to the server
  async function call(url, body, headers = {}) {
    return fetch(url, {
      method: "POST",
      body,
      redirect: "manual",
      headers: { Accept: "application/json", "X-CSRFToken": token(), ...headers },
    });
  }

  async function ask() {
    const known = {};
    for (const phone of phones()) known[phone.dataset.phone] = phone.dataset.revision;
    const seen = document.hasFocus() ? focused : null;
    const answer = await call(root.dataset.poll, JSON.stringify({ phones: known, focused: seen }), {
      "Content-Type": "application/json",
    });
    if (answer.type === "opaqueredirect" || answer.status === 403) return location.reload();
    if (!answer.ok) throw new Error(String(answer.status));
    const told = await answer.json();
    told.phones.forEach(show);
    if (told.reload) location.reload();
  }

  // One poll at a time; a wish during a poll is met by the next one.
  function poll() {
    clearTimeout(timer);
    if (document.hidden) return Promise.resolve();
    polling ??= ask()
      .then(() => {
        if (pause !== EVERY) say("");
        pause = EVERY;
      })
      .catch(() => {
        pause = Math.min(pause * 2, SLOWEST);
        say(root.dataset.lost);
      })
      .finally(() => {
        polling = null;
        timer = setTimeout(poll, pause);
      });
    return polling;
  }

  // ---------------------------------------------------------------- showing
  function show({ id, revision, html }) {
    const phone = root.querySelector(`[data-phone="${CSS.escape(id)}"]`);
    if (!phone) return;
    const chat = phone.querySelector("[data-chat]");
    const open = [...chat.querySelectorAll("details[open]")].map((one) => one.closest("[data-message]").dataset.message);
    const atEnd = chat.scrollHeight - chat.scrollTop - chat.clientHeight < 80;
    const before = chat.scrollTop;
    const held = chat.contains(document.activeElement);
    chat.innerHTML = html;
    if (held) chat.focus({ preventScroll: true });
    for (const message of open) {
      const details = chat.querySelector(`[data-message="${CSS.escape(message)}"] details`);
      if (details) details.open = true;
    }
    chat.scrollTop = atEnd ? chat.scrollHeight : before;
    phone.dataset.revision = revision;
  }

  function say(text) {
    notices.replaceChildren();
    if (!text) return;
    const line = document.createElement("p");
    line.className = "sim-notice";
    line.textContent = text;
    notices.append(line);
  }

  // ---------------------------------------------------------------- photos
  // A camera's photo is made small enough for the platform; what cannot be read is left to the server to refuse.
  async function smaller(file) {
    if (file.size <= PHOTO_BYTES) return file;
    try {
      const picture = await createImageBitmap(file);
      const scale = Math.min(1, PHOTO_SIDE / Math.max(picture.width, picture.height));
      const canvas = document.createElement("canvas");
      canvas.width = Math.round(picture.width * scale);
      canvas.height = Math.round(picture.height * scale);
      canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
      const made = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.8));
      return made ? new File([made], "photo.jpg", { type: "image/jpeg" }) : file;
    } catch {
      return file;
    }
  }

  // ---------------------------------------------------------------- forms
  async function send(form, button) {
    const data = new FormData(form);
    if (button?.name) {
      // A tap on a button or a place is a message of its own; the text stays in its field.
      data.delete("text");
      data.delete("photo");
      data.append(button.name, button.value);
    }
    const photo = data.get("photo");
    if (photo instanceof File && photo.size) data.set("photo", await smaller(photo));
    else data.delete("photo");
    if (!button?.name) form.elements.text.value = "";
    form.elements.photo.value = "";
    form.querySelectorAll("details[open]").forEach((menu) => (menu.open = false));
    await post(form, data, (told) => told.detail || root.dataset.refused);
  }

  async function post(form, data, sentence) {
    try {
      const answer = await call(form.action, data);
      if (answer.type === "opaqueredirect") return location.reload();
      const told = answer.ok ? {} : await answer.json().catch(() => ({}));
      say(answer.ok ? "" : sentence(told));
      if (answer.ok && "reload" in form.dataset) return location.reload();
    } catch {
      say(root.dataset.lost);
    }
    if (polling) await polling;
    return poll();
  }

  root.addEventListener("submit", (event) => {
    const form = event.target;
    event.preventDefault();
    if ("say" in form.dataset) return send(form, event.submitter);
    const data = new FormData(form);
    if (event.submitter?.name) data.append(event.submitter.name, event.submitter.value);
    return post(form, data, (told) => told.detail || root.dataset.lost);
  });

  root.addEventListener("change", (event) => {
    const form = event.target.form;
    if (event.target.name === "photo" && event.target.files.length) {
      form.elements.text.value = form.elements.text.value.trim();
      form.requestSubmit();
    } else if (form && "switches" in form.dataset) {
      form.requestSubmit();
    }
  });

  // ---------------------------------------------------------------- looking at a phone means reading it
  root.addEventListener("focusin", (event) => {
    focused = event.target.closest("[data-phone]")?.dataset.phone ?? null;
  });
  root.addEventListener("focusout", (event) => {
    if (!event.relatedTarget && document.hasFocus()) focused = null;
  });
  document.addEventListener("click", (event) => {
    for (const menu of root.querySelectorAll(".sim-menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") root.querySelectorAll(".sim-menu[open]").forEach((menu) => (menu.open = false));
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) poll();
  });

  for (const chat of root.querySelectorAll("[data-chat]")) chat.scrollTop = chat.scrollHeight;
  root.dataset.ready = "";
  poll();
})();
