// Keeps the parts of a page marked `data-live` fresh for as long as one of them says `data-alive`.

import { localiseTimes } from "./times.js";

// A page whose figures change slowly asks for more time between two looks.
const every = Number(document.querySelector("[data-every]")?.dataset.every ?? 2000); // ms

// The same page again, as a document: parsed by the browser, so that no text becomes HTML here.
function again() {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("GET", location.href);
    request.responseType = "document";
    request.timeout = 20_000;
    request.onload = () => (request.status === 200 && request.response ? resolve(request.response) : reject());
    request.onerror = reject;
    request.ontimeout = reject;
    request.send();
  });
}

// What has the focus in a part: it keeps it, by its id; without one the part waits.
const focusIn = (part) => (part.contains(document.activeElement) && document.activeElement !== document.body ? document.activeElement : null);

function replaceParts(fresh) {
  for (const part of document.querySelectorAll("[data-live]")) {
    const next = fresh.getElementById(part.id);
    if (!next) continue;
    const focused = focusIn(part);
    const again = focused?.id ? fresh.getElementById(focused.id) : null;
    if (focused && !again) continue;
    document.adoptNode(next);
    localiseTimes(next);
    if (next.isEqualNode(part)) continue;
    part.replaceWith(next);
    again?.focus({ preventScroll: true });
  }
  document.dispatchEvent(new Event("touchstone:fresh"));
}

async function keepFresh() {
  try {
    if (!document.hidden) replaceParts(await again());
  } catch {
    // The server restarts, or the network is away: look again.
  }
  if (document.querySelector("[data-alive]")) setTimeout(keepFresh, every);
}

setTimeout(keepFresh, every);
