// The editor of the guidelines: what is written is kept on the server and shown as it will look,
// a moment after each change. Where the server cannot have it, this browser keeps it.

import { fragmentOf } from "./annotate-html.js";
import { api } from "./api.js";

const form = document.querySelector("[data-editor]");
const preview = form.querySelector("[data-preview]");
const status = form.querySelector("[data-status]");
const rescue = document.querySelector("[data-rescue]");
const text = form.elements.text;
const { draft: address, key } = form.dataset;
const wait = 700; // ms after the last change
let timer = 0;
let isPending = false;
let asked = 0;

function keepHere() {
  try {
    localStorage.setItem(key, text.value);
  } catch {
    // a browser that keeps nothing: the text is still on the page
  }
}

async function save() {
  const mine = ++asked;
  isPending = false;
  try {
    const { data } = await api("POST", address, undefined, { body: new FormData(form) });
    if (mine !== asked) return;
    preview.replaceChildren(fragmentOf(data.html));
    localStorage.removeItem(key);
    const isNews = data.newest_version > Number(form.elements.version.value);
    status.textContent = isNews
      ? `Draft saved. Somebody has just published version ${data.newest_version}: you will see both before yours is published.`
      : "Draft saved.";
  } catch (problem) {
    if (mine !== asked) return;
    keepHere();
    status.textContent = problem.status === 401
      ? "Not saved: you are signed out. Sign in in another tab and write on; this browser keeps your text."
      : `Not saved: ${problem.message} This browser keeps your text.`;
  }
}

form.addEventListener("input", () => {
  clearTimeout(timer);
  isPending = true;
  status.textContent = "";
  timer = setTimeout(save, wait);
});
form.addEventListener("submit", () => {
  clearTimeout(timer);
  if (isPending) keepHere(); // in case she is signed out by now
});

const kept = localStorage.getItem(key);
if (kept === text.value) localStorage.removeItem(key);
else if (kept !== null) {
  rescue.hidden = false;
  rescue.querySelector("[data-rescue-take]").addEventListener("click", () => {
    text.value = kept;
    rescue.hidden = true;
    text.focus();
    save();
  });
  rescue.querySelector("[data-rescue-forget]").addEventListener("click", () => {
    localStorage.removeItem(key);
    rescue.hidden = true;
  });
}
