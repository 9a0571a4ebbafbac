// The recipe editor: counts what the recipe gives, a moment after each change.

const form = document.querySelector("[data-recipe]");
const status = form.querySelector("[data-status]");
const bar = form.querySelector("[data-bar]"); // what it gives, on a small screen
const wait = 200; // ms after the last change
let timer = 0;
let asked = 0;
let running = null;

form.querySelector("[data-without-script]").hidden = true;

const result = () => document.getElementById("recipe-result");

// The counts as a part of a page: parsed by the browser, so that no text becomes HTML here.
function counts({ glance }) {
  const fields = new FormData(form);
  fields.delete("form_token");
  if (glance) fields.set("glance", "yes");
  running?.abort();
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    running = request;
    request.open("GET", `${form.dataset.counts}?${new URLSearchParams(fields)}`);
    request.responseType = "document";
    request.onload = () => {
      const part = request.status === 200 ? request.response?.getElementById("recipe-result") : null;
      if (part) resolve(part);
      else reject(new Error(request.status === 401 || request.status === 403 ? "Sign in again to count." : "The server could not count this. Try again."));
    };
    request.onerror = () => reject(new Error("The server did not answer. Check your connection."));
    request.send();
  });
}

function show(part) {
  const open = [...result().querySelectorAll("details[open]")].map((details) => details.id);
  document.adoptNode(part);
  for (const details of part.querySelectorAll("details")) details.open = open.includes(details.id);
  result().replaceWith(part);
  bar.textContent = part.querySelector("[data-headline]")?.textContent ?? "The recipe has a mistake";
  showMistakes(part);
}

// Each mistake stands at its field as well.
function showMistakes(part) {
  const wrong = new Map([...part.querySelectorAll("[data-field]")].map(({ dataset }) => [dataset.field, dataset.message]));
  for (const place of form.querySelectorAll("[data-problem]")) {
    const name = place.dataset.problem;
    place.hidden = !wrong.has(name);
    place.textContent = wrong.get(name) ?? "";
    const input = document.getElementById(name);
    if (!input) continue;
    if (wrong.has(name)) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  }
}

async function count() {
  const mine = ++asked;
  result().setAttribute("aria-busy", "true");
  status.textContent = "Counting…";
  try {
    for (const glance of [true, false]) {
      const part = await counts({ glance });
      if (mine !== asked) return;
      show(part);
      if (!("estimated" in part.dataset)) break;
      if (glance) status.textContent = "An estimate; counting on…";
    }
    status.textContent = "";
  } catch (problem) {
    if (mine !== asked) return;
    status.textContent = problem.message;
    result().removeAttribute("aria-busy");
  }
}

function countSoon(event) {
  if (event.target.name === "name") return;
  clearTimeout(timer);
  timer = setTimeout(count, wait);
}

form.addEventListener("input", countSoon);
// To save the recipe leaves the page where it is: the form can still be sent.
form.addEventListener("submit", ({ submitter }) => {
  if (submitter?.hasAttribute("formaction")) setTimeout(() => delete form.dataset.sent);
});
if ("estimated" in result().dataset) count();
