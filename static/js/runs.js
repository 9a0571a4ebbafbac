// The list of runs: which are chosen to be compared, also when the list is renewed.

const form = document.querySelector("#compare");
const boxes = () => [...document.querySelectorAll('#run-list input[name="run"]')];
const chosen = new Set();

function show() {
  form.querySelector("[data-chosen]").textContent = chosen.size < 2 ? "Tick two to ten runs in the list."
    : chosen.size > 10 ? `${chosen.size} are chosen; at most ten fit beside each other.` : `${chosen.size} are chosen.`;
  form.querySelector("button").setAttribute("aria-disabled", String(chosen.size < 2 || chosen.size > 10));
}

function note() {
  for (const box of boxes()) chosen[box.checked ? "add" : "delete"](box.value);
  show();
}

document.addEventListener("change", ({ target }) => { if (target.name === "run") note(); });
document.addEventListener("touchstone:fresh", () => {
  for (const box of boxes()) box.checked = chosen.has(box.value);
});
form.addEventListener("submit", (event) => { if (chosen.size < 2 || chosen.size > 10) event.preventDefault(); });
note(); // what the browser remembers of an earlier visit
