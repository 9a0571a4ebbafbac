// The pages of the qualification: Enter goes on wherever the focus is, and her keys for the guidelines
// and for her last answers do what they do on the ranking page.

import { Keymap, showKeys } from "./annotate-keymap.js";

const isPressable = (element) => element.closest("a[href], button, summary, input, textarea, select, dialog");
const onward = document.querySelector("[data-go-on]");
const guidelines = document.getElementById("guidelines-dialog");

const keymap = new Keymap(JSON.parse(document.querySelector("[data-preferences]").dataset.preferences));

showKeys(keymap);
document.querySelectorAll("[data-keys]").forEach((hint) => (hint.hidden = !keymap.isOn));

const moves = {
  guidelines: () => guidelines?.showModal(),
  undo: () => document.querySelector("[data-history-link]")?.click(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.getModifierState("AltGraph") || event.repeat || event.isComposing) return;
  if (document.querySelector("dialog[open]")) return;
  const isWriting = event.target.closest("input, textarea, select");
  const move = keymap.isOn && !isWriting && moves[keymap.actionOf(event)?.id];
  if (move) move();
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
