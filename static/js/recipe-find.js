// Choices of a recipe beyond the boxes that are shown: looked up while one types, taken as a box.

import { api } from "./api.js";

const wait = 150; // ms after the last letter

for (const input of document.querySelectorAll("[data-find]")) {
  const list = input.list;
  const said = input.parentElement.querySelector("[data-find-said]");
  const boxes = input.closest("details").querySelector("[data-boxes]");
  const field = input.name;
  let found = [];
  let timer = 0;
  let asked = 0;
  input.removeAttribute("name"); // without this script what is typed counts as it is

  const shown = (choice) => (choice.hint ? `${choice.label} (${choice.hint})` : choice.label);

  function take(choice) {
    const known = [...boxes.querySelectorAll("input")].find((box) => box.value === choice.value);
    if (known) known.checked = true;
    else boxes.append(box(choice));
    said.textContent = `${choice.label} is ticked.`;
    input.value = "";
    list.replaceChildren();
    found = [];
    boxes.dispatchEvent(new Event("input", { bubbles: true }));
  }

  function box(choice) {
    const label = document.createElement("label");
    const check = document.createElement("input");
    const text = document.createElement("span");
    label.className = "check";
    Object.assign(check, { type: "checkbox", name: field, value: choice.value, checked: true });
    text.textContent = `${choice.label} `;
    if (choice.hint) {
      const hint = document.createElement("span");
      hint.className = "hint";
      hint.textContent = choice.hint;
      text.append(hint);
    }
    label.append(check, text);
    return label;
  }

  async function look() {
    const mine = ++asked;
    const search = input.value.trim();
    if (!search) {
      list.replaceChildren();
      said.textContent = "";
      return;
    }
    try {
      const { data } = await api("GET", `${input.dataset.find}?${new URLSearchParams({ search })}`);
      if (mine !== asked) return;
      found = data;
    } catch (problem) {
      if (mine === asked) said.textContent = problem.message;
      return;
    }
    list.replaceChildren(...found.map((choice) => Object.assign(document.createElement("option"), { value: shown(choice) })));
    said.textContent = found.length ? `${found.length === 20 ? "20 or more" : found.length} found: choose one, or press Enter for the first.` : "None contains that.";
  }

  input.addEventListener("input", (event) => {
    event.stopPropagation(); // nothing is chosen yet, so there is nothing to count
    const isPicked = event.inputType === undefined || event.inputType === "insertReplacementText";
    const whole = found.find((choice) => shown(choice) === input.value);
    if (isPicked && whole) {
      take(whole);
      return;
    }
    clearTimeout(timer);
    timer = setTimeout(look, wait);
  });

  input.addEventListener("keydown", async (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault(); // it would freeze the snapshot
    clearTimeout(timer);
    await look();
    if (found.length) take(found[0]);
  });
}
