// The recipe editor: counts what the recipe gives, a moment after each change.

import { api } from "./api.js";

const form = document.querySelector("[data-recipe]");
const result = form.querySelector("[data-result]");
const part = (name) => result.querySelector(`[data-${name}]`);
const wait = 350; // ms after the last change
let timer = 0;
let asked = 0;

part("without-script").hidden = true;

function element(tag, text, className = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = className;
  return made;
}

function row({ name, about, train, test }) {
  const line = document.createElement("tr");
  const first = document.createElement("td");
  first.append(element("code", name), document.createElement("br"), element("span", about, "small muted"));
  line.append(first, element("td", train.toLocaleString("en"), "num"), element("td", test.toLocaleString("en"), "num"));
  return line;
}

function show(seen) {
  const errors = seen.errors ?? [];
  part("errors").hidden = !errors.length;
  part("errors").replaceChildren(
    ...errors.map(({ field, message }) => element("p", field ? `${field}: ${message}` : message)),
  );
  part("summary").hidden = errors.length > 0;
  part("sample").hidden = !seen.sample;
  if (errors.length) return;
  part("headline").textContent = seen.headline;
  part("agreement").textContent = seen.agreement;
  part("configs").replaceChildren(...seen.configs.map(row));
  const lines = seen.left_out.length ? seen.left_out : ["Nothing."];
  part("left-out").replaceChildren(...lines.map((line) => element("li", line)));
  part("sample").textContent = seen.sample ?? "";
}

async function count() {
  const mine = ++asked;
  const fields = new FormData(form);
  fields.delete("form_token");
  part("status").textContent = "Counting…";
  try {
    const { data } = await api("GET", `${form.dataset.preview}?${new URLSearchParams(fields)}`);
    if (mine === asked) show(data);
  } catch (problem) {
    if (mine === asked) show({ errors: [{ message: problem.message }] });
  } finally {
    if (mine === asked) part("status").textContent = "";
  }
}

function countSoon(event) {
  if (event.target.name === "name") return;
  clearTimeout(timer);
  timer = setTimeout(count, wait);
}

form.addEventListener("input", countSoon);
part("summary").hidden = !part("errors").hidden;
