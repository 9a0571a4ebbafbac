// The form for new responses: how many prompts fit, as the choice changes, and no field that
// does not count.

import { api } from "./api.js";

const form = document.getElementById("writing");
const WAIT = 250; // ms after the last change

// What is chosen, as the API takes it.
function selection() {
  const data = new FormData(form);
  const shares = [...data.entries()].filter(([name, value]) => name.startsWith("share.") && value !== "");
  return {
    tags: data.getAll("tags"),
    unjudged: data.has("unjudged"),
    sources: Object.fromEntries(shares.map(([name, value]) => [name.slice("share.".length), Number(value)])),
  };
}

let asked = 0;
async function count() {
  const own = ++asked;
  const place = document.getElementById("fitting");
  try {
    const { data } = await api("POST", form.dataset.count, selection());
    if (own !== asked) return;
    const number = document.createElement("strong");
    number.textContent = data.prompts.toLocaleString();
    place.replaceChildren(number, data.prompts === 1 ? " prompt fits." : " prompts fit.");
  } catch (problem) {
    if (own === asked) place.textContent = problem.message;
  }
}

function show() {
  const chosen = new FormData(form).get("by");
  for (const part of form.querySelectorAll("[data-for-by]")) part.hidden = !part.dataset.forBy.split(" ").includes(chosen);
}

if (form) {
  let timer;
  form.addEventListener("input", (event) => {
    show();
    if (!["tags", "unjudged"].includes(event.target.name) && !event.target.name.startsWith("share.")) return;
    clearTimeout(timer);
    timer = setTimeout(count, WAIT);
  });
  show();
}
