// The launch form: only the fields of the chosen base; what the run would be; a rehearsal of it.

import { api } from "./api.js";
import { inWords, showCheck, showProblems } from "./launch-check.js";

const form = document.querySelector("[data-launch]");
const estimate = document.querySelector("[data-estimate]");
const place = document.querySelector("[data-check]");
const button = document.querySelector("[data-check-button]");
const quiet = 500; // ms without typing before the estimate is asked for
const every = 1000; // ms between two looks at a rehearsal

const fields = () => ({ body: new URLSearchParams(new FormData(form)) });
let asked = 0; // what comes back later than a newer question is not shown
let watched = null; // the rehearsal that the page waits for

function show() {
  const chosen = new FormData(form).get("base");
  for (const field of form.querySelectorAll("[data-for-base]")) field.hidden = field.dataset.forBase !== chosen;
  form.elements.model.required = chosen === "model";
}

const isIncomplete = () => [...form.elements].some((field) => field.validity?.valueMissing);

const number = (value) => value.toLocaleString("en-US");

async function showEstimate() {
  const mine = ++asked;
  if (isIncomplete()) {
    estimate.textContent = "Once nothing is missing, it says here what the run would be.";
    estimate.classList.remove("is-wrong");
    return;
  }
  try {
    const { data } = await api("POST", estimate.dataset.estimate, undefined, fields());
    if (mine !== asked) return;
    const time = data.seconds === null
      ? "No run like it has ended yet, so there is no telling how long: check it."
      : `About ${inWords(data.seconds)}, as ${data.runs === 1 ? "an earlier run" : `${data.runs} earlier runs`} like it took.`;
    estimate.textContent = `${number(data.rows)} rows, about ${number(data.steps)} steps. ${time}`;
    estimate.classList.remove("is-wrong");
  } catch (problem) {
    if (mine !== asked) return;
    const [first] = problem.body?.problems ?? [];
    estimate.textContent = first ? `${first[0].replace("config.", "")}${first[0] ? ": " : ""}${first[1]}` : problem.message;
    estimate.classList.add("is-wrong");
  }
}

let waiting = null;

function changed() {
  show();
  place.querySelector("[data-result]")?.setAttribute("data-stale", "");
  clearTimeout(waiting);
  waiting = setTimeout(showEstimate, quiet);
}

async function follow(id) {
  if (watched !== id) return;
  try {
    const { data } = await api("GET", `${place.dataset.check}/${id}`);
    if (watched !== id) return;
    showCheck(place, data, form);
    if (data.finished_at) {
      watched = null;
      button.disabled = false;
      return;
    }
  } catch {
    // The server restarts, or the network is away: look again.
  }
  setTimeout(() => follow(id), every);
}

async function check() {
  button.disabled = true;
  try {
    const { data } = await api("POST", button.dataset.checkButton, undefined, fields());
    watched = data.id;
    follow(data.id);
  } catch (problem) {
    button.disabled = false;
    showProblems(place, problem.body?.problems ?? [["", problem.message]], form);
  }
}

if (form) {
  form.addEventListener("change", changed);
  form.addEventListener("input", changed);
  button.addEventListener("click", check);
  button.hidden = false;
  show();
  showEstimate();
}
