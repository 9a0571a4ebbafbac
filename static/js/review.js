// The review of a task by keyboard; everything here can be done without it.

const OFF = "touchstone:review-keys-off";
const form = document.querySelector("[data-settle]");
const panel = document.querySelector("[data-review-keys]");
const toggle = panel?.querySelector("input");

function areOff() {
  try {
    return localStorage.getItem(OFF) === "yes";
  } catch {
    return false;
  }
}

function remember(off) {
  try {
    localStorage.setItem(OFF, off ? "yes" : "no");
  } catch {
    // Without storage they are as they are until the page is left.
  }
}

const isWriting = (target) => target.closest("input:not([type=radio], [type=checkbox]), textarea, select, [contenteditable]");

function act(key) {
  const answer = form?.querySelector(`input[name="answer"][value="${CSS.escape(key)}"]`);
  if (answer) {
    answer.checked = true;
    answer.focus();
    return true;
  }
  const place = /^[a-j]$/i.test(key) && form?.querySelector(`#place-${key.toUpperCase()}`);
  const aim = place || (key.toLowerCase() === "r" && form?.querySelector("#reason"));
  if (aim) {
    aim.focus();
    return true;
  }
  const next = key.toLowerCase() === "n" && document.querySelector("[data-key-next]");
  if (next) next.click();
  return Boolean(next);
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && form?.contains(event.target)) {
    event.preventDefault();
    form.requestSubmit(form.querySelector("[data-then-next]"));
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || (toggle ? !toggle.checked : areOff())) return;
  if (isWriting(event.target)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (act(event.key)) event.preventDefault();
});

if (panel) {
  panel.hidden = false;
  toggle.checked = !areOff();
  toggle.addEventListener("change", () => remember(!toggle.checked));
}
