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
  const button = form.querySelector("[data-import-button]");
  const then = form.elements.namedItem("bad_lines");
  const name = () => {
    button.textContent = then.value === "check" ? "Check the file" : "Import";
  };
  then.addEventListener("change", name);
  name(); // the browser may keep an earlier choice
  input.multiple = true; // without this script the form sends one
  form.addEventListener("submit", (event) => {
    const bar = form.querySelector("[data-upload-progress]");
    if (input.files.length > 1) {
      event.preventDefault();
      sendAll([...input.files], bar);
      return;
    }
    button.textContent = "Uploading …";
    bar.removeAttribute("value"); // the browser sends the form itself: how far it is, only it knows
    bar.hidden = false;
  });

  // Each of several files becomes an import of its own; the list of the page shows them.
  const sendAll = async (files, bar) => {
    const problem = form.querySelector("[data-upload-problem]");
    problem.textContent = "";
    button.disabled = true;
    bar.hidden = false;
    for (const [number, file] of files.entries()) {
      button.textContent = `Uploading ${number + 1} of ${files.length} …`;
      bar.value = number / files.length;
      const query = new URLSearchParams({
        filename: file.name,
        format: form.elements.namedItem("format").value,
        dry_run: then.value === "check",
        skip_bad_lines: then.value === "skip",
      });
      const headers = { "Content-Type": "application/octet-stream" };
      try {
        await api("POST", `${form.dataset.import}?${query}`, undefined, { headers, body: file });
      } catch (error) {
        const left = new DataTransfer(); // those before it have arrived
        for (const each of files.slice(number)) left.items.add(each);
        input.files = left.files;
        problem.textContent = `${file.name}: ${error.message}`;
        bar.hidden = true;
        button.disabled = false;
        name();
        return;
      }
    }
    location.reload();
  };
}

const state = document.querySelector("[data-import-state]");
if (state) {
  const sentence = state.querySelector("[data-import-sentence]");
  const show = shareOf(state);
  const follow = async () => {
    try {
      const { data } = await api("GET", state.dataset.importState);
      if (state.dataset.until ? data[state.dataset.until] : !["queued", "running"].includes(data.state)) {
        location.reload();
        return;
      }
      sentence.textContent = said(data);
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

function said(data) {
  if (data.undo_requested_at) return `Taking it back: ${(data.undone.tasks ?? 0).toLocaleString("en")} tasks removed so far.`;
  if (data.state === "queued") return "Waiting for a worker.";
  if (data.waits_for) return `Waits for the import of ${data.waits_for}.`;
  return data.dry_run ? "Checking the file." : "Reading the file.";
}

// In the list: what is not over yet tells how far it is.
for (const row of document.querySelectorAll("[data-pending]")) {
  const follow = async () => {
    try {
      const { data } = await api("GET", row.dataset.pending);
      const isOver = !["queued", "running"].includes(data.state);
      const what = data.dry_run ? `check ${data.state}` : data.state;
      const waits = data.dry_run && data.state === "succeeded";
      row.querySelector("[data-state] > .badge").textContent = waits ? "checked, waits for you" : what;
      row.querySelector("[data-rows]").textContent = `${data.rows_read.toLocaleString("en")} read`;
      if (isOver) return;
    } catch {
      // the next round tries again
    }
    setTimeout(follow, 1500);
  };
  setTimeout(follow, 500);
}
