// Pages beside the ranking page: what still waits in this browser goes out from here as well.

import { Queue } from "./annotate-queue.js";

const holder = document.querySelector("[data-user]");
const badge = document.querySelector("[data-queue]");

function say(text) {
  badge.hidden = !text;
  badge.textContent = text;
}

new Queue({
  user: holder.dataset.user,
  changed: (waiting) => say(waiting ? `${waiting} waiting to be sent` : ""),
  sent: () => {},
  refused: (entry, problem) => problem.status === 422 || say(`An answer was not taken: ${problem.message}`),
  signedOut: () => say("Sign in again to send what waits here"),
});
