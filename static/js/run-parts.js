// Parts of a run's page are renewed whole: what was opened stays open, and the log where it is read.

const open = new Set(); // ids of details
let at = null; // of the log, from its top; null follows the end

function showLog() {
  const lines = document.querySelector("#run-said-lines");
  if (lines) lines.scrollTop = at ?? lines.scrollHeight;
}

document.addEventListener("toggle", ({ target }) => {
  if (!target.id || !target.isConnected) return;
  open[target.open ? "add" : "delete"](target.id);
  if (target.id === "run-said") showLog();
}, true);

document.addEventListener("scroll", ({ target }) => {
  if (target.id === "run-said-lines") at = target.scrollTop + target.clientHeight >= target.scrollHeight - 4 ? null : target.scrollTop;
}, true);

document.addEventListener("touchstone:fresh", () => {
  for (const part of document.querySelectorAll("[data-live] details[id]")) part.open = open.has(part.id);
  showLog();
});
