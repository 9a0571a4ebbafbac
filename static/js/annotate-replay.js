// Pages beside the ranking page: what still waits in this browser goes out from here as well.

import { asControl } from "./annotate-html.js";
import { Queue } from "./annotate-queue.js";
import { isDone, keepAsDraft, refusalOf, tell } from "./annotate-rescue.js";

const holder = document.querySelector("[data-user]");
const badge = document.querySelector("[data-queue]");

function say(text) {
  badge.hidden = !text;
  badge.textContent = text;
}

async function refused(entry, problem) {
  const isAnother = problem.body?.errors?.[0]?.current; // she has answered otherwise elsewhere
  if (!isAnother && (await isDone(entry.assignment))) return; // it was there already
  const back = asControl({ text: "Go back to it", href: `/assignments/${entry.assignment}` });
  tell(entry.assignment, refusalOf(entry, problem, await keepAsDraft(entry)), back);
}

new Queue({
  user: holder.dataset.user,
  changed: (waiting) => say(waiting ? `${waiting} waiting to be sent` : ""),
  sent: () => {},
  refused,
  signedOut: () => say("Sign in again to send what waits here"),
});
