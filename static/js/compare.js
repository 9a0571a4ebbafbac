// A comparison at work: its progress is kept fresh, and its end shows the whole page.

import "./live.js";

document.addEventListener("touchstone:fresh", () => {
  if (document.querySelector("[data-alive]")) return;
  location.reload();
});
