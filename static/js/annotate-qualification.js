// The pages of the qualification: Enter goes on wherever the focus is, G shows the guidelines, U the
// history, as on the ranking page.

const isPressable = (element) => element.closest("a[href], button, summary, input, textarea, select, dialog");
const onward = document.querySelector("[data-go-on]");
const guidelines = document.getElementById("guidelines-dialog");

const hasKeys = document.querySelector("[data-single-keys]").dataset.singleKeys === "yes";

document.querySelectorAll("[data-keys]").forEach((hint) => (hint.hidden = !hasKeys));

const keys = {
  g: () => guidelines?.showModal(),
  u: () => document.querySelector("[data-history-link]")?.click(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.isComposing) return;
  if (document.querySelector("dialog[open]")) return;
  const isWriting = event.target.closest("input, textarea, select");
  const act = hasKeys && !isWriting && keys[event.key.toLowerCase()];
  if (act) act();
  else if (event.key === "Enter" && onward && !isPressable(event.target)) onward.click();
  else return;
  event.preventDefault();
});

document.addEventListener("click", (event) => {
  if (guidelines && event.target.closest('[data-open="guidelines-dialog"]')) {
    event.preventDefault();
    guidelines.showModal();
  }
});
