// Files for the next answer: chosen, pasted, dropped or recorded. Each goes up at once and waits in the composer.

const $ = (id) => document.getElementById(id);
const tell = (name, detail) => document.dispatchEvent(new CustomEvent(`pt:${name}`, { detail }));
const toast = (text) => tell("toast", { text, css: "bad" });

function readable(bytes) {
  if (bytes < 1e6) return `${Math.max(1, Math.round(bytes / 1024))} KB`;
  return `${(bytes / 1048576).toLocaleString(document.documentElement.lang, { maximumFractionDigits: 1 })} MB`;
}

export class Files {
  constructor(composer, form) {
    Object.assign(this, { composer, form, list: form.querySelector("[data-files]"), texts: form.querySelector("[data-file-texts]").dataset });
    this.over = new AbortController();
    const on = (target, name, act) => target.addEventListener(name, act, { signal: this.over.signal });
    const pick = form.querySelector("[data-pick]"), record = form.querySelector("[data-record]");
    form.querySelector("[data-attach]").hidden = false;
    on(form.querySelector("[data-attach]"), "click", () => pick.click());
    on(pick, "change", () => { this.take(pick.files); pick.value = ""; });
    on(form, "paste", (event) => {
      if (!event.clipboardData.files.length) return;
      event.preventDefault();
      this.take(event.clipboardData.files);
    });
    const zone = composer.closest(".conv"), holds = (event) => event.dataTransfer?.types.includes("Files");
    on(zone, "dragover", (event) => { if (holds(event)) { event.preventDefault(); zone.classList.add("dropping"); } });
    on(zone, "dragleave", (event) => { if (!zone.contains(event.relatedTarget)) zone.classList.remove("dropping"); });
    on(zone, "drop", (event) => {
      if (!holds(event)) return;
      event.preventDefault();
      zone.classList.remove("dropping");
      this.take(event.dataTransfer.files);
    });
    if (record && window.MediaRecorder && navigator.mediaDevices) {
      record.hidden = false;
      on(record, "click", () => this.record(record));
    }
  }

  /** The composer left the page: nobody hears the microphone any more. */
  end() {
    this.over.abort();
    if (this.recorder) { this.recorder.onstop = null; this.recorder.stop(); this.hush(); }
  }

  get rows() { return [...this.list.children]; }
  get busy() { return Boolean(this.recorder) || this.rows.some((row) => row.dataset.state !== "ok" && row.dataset.state !== "bad"); }
  get broken() { return this.rows.some((row) => row.dataset.state === "bad"); }

  take(files) {
    for (const file of files) {
      if (this.rows.length >= Number(this.list.dataset.files)) return toast(this.texts.many);
      this.send(file);
    }
    this.form.querySelector("textarea").focus();
  }

  /** What the message takes along; the composer is empty afterwards. */
  hand() {
    const given = this.rows.map((row) => row.file);
    this.list.replaceChildren();
    this.changed();
    return given;
  }

  /** The message did not go: its files stand where they stood. */
  back(given) { for (const file of given) this.show(this.row(file.name, file.kind, file.url), file); }

  changed() {
    this.list.hidden = !this.rows.length;
    this.form.querySelector("textarea").required = !this.rows.length;
  }

  row(name, kind, source) {
    const row = $("tpl-file").content.firstElementChild.cloneNode(true);
    row.querySelector("b").textContent = name;
    row.querySelector("button").setAttribute("aria-label", `${this.texts.remove}: ${name}`);
    row.querySelector("button").addEventListener("click", () => { row.call?.abort(); row.remove(); this.changed(); this.form.querySelector("textarea").focus(); });
    const shown = { image: "img", voice: "audio", audio: "audio" }[kind];
    if (shown && source) {
      const node = document.createElement(shown);
      Object.assign(node, shown === "img" ? { alt: "" } : { controls: true });
      node.src = source;
      row.querySelector("[data-shown]").replaceChildren(node);
    }
    this.list.append(row);
    this.changed();
    return row;
  }

  send(file, voice = false) {
    const kind = voice ? "voice" : file.type.split("/")[0];
    const row = this.row(file.name, kind, URL.createObjectURL(file));
    row.querySelector("small").textContent = readable(file.size);
    if (file.size > Number(this.form.dataset.most)) return this.refuse(row, this.texts.big.replace("{size}", readable(Number(this.form.dataset.most))));
    row.dataset.state = "up";
    const call = row.call = new XMLHttpRequest(), body = new FormData();
    body.append("file", file);
    if (voice) body.append("voice", "1");
    call.open("POST", this.form.dataset.upload);
    call.setRequestHeader("X-CSRFToken", document.body.dataset.csrf);
    call.setRequestHeader("Accept", "application/json");
    call.responseType = "json";
    call.upload.onprogress = (event) => { row.querySelector("progress").value = event.loaded / event.total; };
    call.onerror = () => this.refuse(row, $("toasts").dataset.failed);
    call.onload = () => {
      if (call.status === 401) tell("logged-out");
      if (call.status === 201) this.show(row, call.response);
      else this.refuse(row, call.response?.detail ?? $("toasts").dataset.failed);
    };
    call.send(body);
  }

  show(row, file) {
    row.file = file;
    row.dataset.state = file.state;
    row.querySelector("progress").hidden = file.state !== "pending";
    if (file.state === "pending") {
      row.querySelector("progress").removeAttribute("value");
      row.querySelector("small").textContent = this.texts.preparing;
      setTimeout(() => this.ask(row), 700);
    } else if (file.state === "ok") row.querySelector("small").textContent = readable(file.size);
    else this.refuse(row, file.detail);
  }

  /** A voice note is being converted: ask until it is done. */
  async ask(row) {
    if (!row.isConnected) return;
    try {
      const answer = await fetch(row.file.check, { headers: { Accept: "application/json" } });
      if (answer.ok) return this.show(row, await answer.json());
    } catch { /* no line: asked again */ }
    setTimeout(() => this.ask(row), 2000);
  }

  refuse(row, why) {
    row.dataset.state = "bad";
    row.querySelector("progress").hidden = true;
    row.querySelector("small").textContent = why;
  }

  async record(button) {
    if (this.recorder) return this.recorder.stop();
    let line;
    try {
      line = await navigator.mediaDevices.getUserMedia({ audio: true });
    } catch { return toast(this.texts.deaf); }
    if (this.over.signal.aborted) return line.getTracks().forEach((track) => track.stop());
    const parts = [], recorder = new MediaRecorder(line);
    Object.assign(this, { recorder, line, button });
    recorder.ondataavailable = (event) => parts.push(event.data);
    recorder.onstop = () => {
      this.hush();
      const type = recorder.mimeType.split(";")[0];
      this.send(new File(parts, `${this.texts.voice}.${type.split("/")[1] || "webm"}`, { type }), true);
    };
    recorder.start();
    button.setAttribute("aria-pressed", "true");
    const clock = document.createElement("pt-time");
    clock.dataset.since = new Date().toISOString();
    button.querySelector("[data-clock]").replaceChildren(clock);
  }

  hush() {
    for (const track of this.line.getTracks()) track.stop();
    this.recorder = null;
    this.button.setAttribute("aria-pressed", "false");
    this.button.querySelector("[data-clock]").replaceChildren();
  }
}
