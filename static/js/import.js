// Uploads with progress and by dropping a file; a running import shows how far it is.

import { api } from "./api.js";
import { shareOf } from "./share.js";

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
  form.addEventListener("submit", () => {
    const button = form.querySelector("button[type=submit]");
    button.textContent = "Uploading …";
    const bar = form.querySelector("[data-upload-progress]");
    bar.removeAttribute("value"); // the browser sends the form itself: how far it is, only it knows
    bar.hidden = false;
  });
}

const state = document.querySelector("[data-import-state]");
if (state) {
  const sentence = state.querySelector("[data-import-sentence]");
  const show = shareOf(state);
  const follow = async () => {
    try {
      const { data } = await api("GET", state.dataset.importState);
      if (!["queued", "running"].includes(data.state)) {
        location.reload();
        return;
      }
      sentence.textContent = data.state === "queued" ? "Waiting for a worker." : "Reading the file.";
      show(data.state === "running" ? data.bytes_read : 0, data.bytes);
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
