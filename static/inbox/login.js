// Small helps of the log-in page: show the password, warn about Caps Lock.
const password = document.getElementById("id_password"), show = document.getElementById("show"), caps = document.getElementById("caps");
show.hidden = false;
show.addEventListener("click", () => {
  const shown = password.type === "text";
  password.type = shown ? "password" : "text";
  show.setAttribute("aria-pressed", String(!shown));
  show.textContent = shown ? show.dataset.show : show.dataset.hide;
});
for (const name of ["keydown", "keyup"]) password.addEventListener(name, (event) => { caps.hidden = !event.getModifierState?.("CapsLock"); });
