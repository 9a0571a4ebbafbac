// Uploads with progress and by dropping a file; a running import shows how far it is.

import { api } from "./api.js";

const form = document.querySelector("[data-import]");
if (form) {
  const zone = form.querySelector("[data-drop]");
  const input = form.querySelector("input[type=file]");
  form.querySelector("[data-drop-hint]").hidden = false;
  for (const kind of ["dragenter", "dragover"]) {
    zone.addEventListener(kind, (event) => {
      event.preventDefault();
      zone.classList.add("is-over");
    });
  }
  for (const kind of ["dragleave", "drop"]) {
    zone.addEventListener(kind, () => zone.classList.remove("is-over"));
  }
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files.length) input.files = event.dataTransfer.files;
  });
  const button = form.querySelector("[data-import-button]");
  const then = form.elements.namedItem("bad_lines");
  const name = () => {
    button.textContent = then.value === "check" ? "Check the file" : "Import";
  };
  then.addEventListener("change", name);
  name(); // the browser may keep an earlier choice
  form.addEventListener("submit", () => {
    button.textContent = "Uploading …";
    const bar = form.querySelector("[data-upload-progress]");
    bar.removeAttribute("value"); // the browser sends the form itself: how far it is, only it knows
    bar.hidden = false;
  });
}

const state = document.querySelector("[data-import-state]");
if (state) {
  const sentence = state.querySelector("[data-import-sentence]");
  const follow = async () => {
    try {
      const { data } = await api("GET", state.dataset.importState);
      if (state.dataset.until ? data[state.dataset.until] : !["queued", "running"].includes(data.state)) {
        location.reload();
        return;
      }
      sentence.textContent = said(data);
      for (const figure of document.querySelectorAll("[data-figure]")) {
        figure.textContent = data[figure.dataset.figure].toLocaleString("en");
      }
    } catch (problem) {
      sentence.textContent = problem.message;
    }
    setTimeout(follow, 1000);
  };
  setTimeout(follow, 500);
}

function said(data) {
  if (data.undo_requested_at) return `Taking it back: ${(data.undone.tasks ?? 0).toLocaleString("en")} tasks removed so far.`;
  if (data.state === "queued") return "Waiting for a worker.";
  if (data.waits_for) return `Waits for the import of ${data.waits_for}.`;
  return data.dry_run ? "Checking the file." : "Reading the file.";
}
