// Pages beside the ranking page: what still waits in this browser goes out from here as well.

import { Queue } from "./annotate-queue.js";
import { isDone, keepAsDraft, refusalOf } from "./annotate-rescue.js";

const holder = document.querySelector("[data-user]");
const badge = document.querySelector("[data-queue]");

function say(text) {
  badge.hidden = !text;
  badge.textContent = text;
}

async function refused(entry, problem) {
  const isAnother = problem.body?.errors?.[0]?.current; // she has answered otherwise elsewhere
  if (!isAnother && (await isDone(entry.assignment))) return; // it was there already
  const link = document.createElement("a");
  link.href = `/assignments/${entry.assignment}`;
  link.textContent = "Go back to it";
  const notice = document.createElement("p");
  notice.className = "notice notice-warn";
  notice.setAttribute("role", "alert");
  notice.append(`${refusalOf(entry, problem, await keepAsDraft(entry))} `, link);
  holder.after(notice);
}

new Queue({
  user: holder.dataset.user,
  changed: (waiting) => say(waiting ? `${waiting} waiting to be sent` : ""),
  sent: () => {},
  refused,
  signedOut: () => say("Sign in again to send what waits here"),
});
