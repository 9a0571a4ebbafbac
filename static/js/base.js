// On every page: times in the reader's zone, copy boxes, forms that cannot be sent twice, the tab we are on.

import { localiseTimes } from "./times.js";

export { localiseTimes };

function offerCopy(box) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "btn btn-small";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(box.textContent.trim());
    button.textContent = "Copied";
  });
  box.after(button);
}

function sendOnce(event) {
  const form = event.target;
  if (event.defaultPrevented || form.method !== "post") return;
  const now = String(event.timeStamp); // a second copy of this module hears the same event
  if (form.dataset.sent && form.dataset.sent !== now) event.preventDefault();
  form.dataset.sent = now;
}

function begin() {
  // On a phone the tabs are wider than the window: show where we are.
  document.querySelector(".tabs [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });
  localiseTimes();
  document.querySelectorAll("[data-copy]").forEach(offerCopy);
  document.addEventListener("submit", sendOnce);
  // A page that comes back from the history must be usable again.
  addEventListener("pageshow", () => document.querySelectorAll("form[data-sent]").forEach((form) => delete form.dataset.sent));
}

// The page names this module with a version, others import it without: to a browser these are two,
// and the second would take a form's first submission for one too many.
if (!document.documentElement.dataset.base) {
  document.documentElement.dataset.base = "begun";
  begin();
}
