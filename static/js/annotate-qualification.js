// The pages of the qualification: Enter goes on from wherever the focus is, G shows the guidelines.

import { shortcutsAreOn } from "./annotate-keys.js";

const isPressable = (element) => element.closest("a[href], button, summary, input, textarea, select, dialog");
const onward = document.querySelector("[data-go-on]");
const guidelines = document.getElementById("guidelines-dialog");

document.querySelectorAll("[data-keys]").forEach((hint) => (hint.hidden = !shortcutsAreOn()));

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.isComposing) return;
  if (document.querySelector("dialog[open]")) return;
  if (event.key === "Enter" && onward && !isPressable(event.target)) {
    event.preventDefault();
    onward.click();
  } else if (event.key.toLowerCase() === "g" && guidelines && shortcutsAreOn() && !isPressable(event.target)) {
    event.preventDefault();
    guidelines.showModal();
  }
});

document.addEventListener("click", (event) => {
  if (guidelines && event.target.closest('[data-open="guidelines-dialog"]')) {
    event.preventDefault();
    guidelines.showModal();
  }
});
