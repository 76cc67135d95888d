// Copying an address on a channel's set-up page; without a clipboard (plain http) the text is selected and copied.
for (const button of document.querySelectorAll("[data-copy]")) {
  const field = document.getElementById(button.dataset.copy);
  const title = button.firstChild.textContent;
  button.hidden = false;
  button.addEventListener("click", async () => {
    field.select();
    try {
      await navigator.clipboard.writeText(field.value);
    } catch {
      document.execCommand("copy");
    }
    button.firstChild.textContent = button.dataset.done;
    setTimeout(() => { button.firstChild.textContent = title; }, 2000);
  });
}
