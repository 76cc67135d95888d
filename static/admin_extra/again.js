// The next chunk of a long act: the form is sent as if somebody pressed its button.
document.querySelector("form[data-again]")?.submit();
