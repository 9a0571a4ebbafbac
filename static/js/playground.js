// The playground: answers that grow while they are written, their tokens, and the keys.

import { api } from "./api.js";
import { localiseTimes } from "./base.js";
import { showTokens } from "./playground-tokens.js";

const announce = document.querySelector("[data-announce]");
const open = () => document.querySelector("[data-turn]");

// -- the stream -----------------------------------------------------------------------------

function listen(turn) {
  const source = new EventSource(turn.dataset.events);
  source.addEventListener("piece", (event) => {
    const { answer, text } = JSON.parse(event.data);
    const stream = turn.querySelector(`[data-answer="${answer}"] [data-stream]`);
    stream?.append(text); // a text node: what a model writes is no markup
  });
  source.addEventListener("standing", (event) => {
    const standing = JSON.parse(event.data);
    if (standing.answers) tell(turn, standing);
  });
  source.addEventListener("end", () => {
    source.close();
    refresh(turn.id);
  });
  source.addEventListener("error", () => {
    // The browser comes back by itself, unless the server refused.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => refresh(turn.id), 1000);
  });
}

function tell(turn, standing) {
  for (const [id, state] of Object.entries(standing.answers)) {
    const answer = turn.querySelector(`[data-answer="${id}"]`);
    if (!answer?.querySelector("[data-stream]")) continue;
    const isLoading = standing.loading.includes(id) && !answer.querySelector("[data-stream]").textContent;
    answer.querySelector("[data-badge]").textContent = state === "queued" ? "waiting" : isLoading ? "loading" : "writing";
    answer.querySelector("[data-standing]").textContent = inWords(state, isLoading, standing);
    const isWritten = state === "succeeded" || state === "cancelled" || state === "failed";
    if (isWritten && !standing.is_final) answer.querySelector("[data-badge]").textContent = "written";
    if (isWritten && standing.unread) answer.querySelector("[data-standing]").textContent = "It is read and scored.";
  }
}

function inWords(state, isLoading, standing) {
  if (state === "queued") {
    if (!standing.has_worker) return "No worker is running, so nobody can answer. Start one with “touchstone worker”.";
    return standing.ahead ? `${standing.ahead} asked before you. It waits its turn.` : "It waits for a worker.";
  }
  return isLoading ? "The model is being loaded. The next answers come faster." : "";
}

// The same page again, as a document: parsed by the browser, so that no text becomes HTML here.
function again() {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("GET", location.href);
    request.responseType = "document";
    request.timeout = 20_000;
    request.onload = () => (request.status === 200 && request.response ? resolve(request.response) : reject());
    request.onerror = request.ontimeout = reject;
    request.send();
  });
}

async function refresh(id) {
  let fresh;
  try {
    fresh = await again();
  } catch {
    setTimeout(() => refresh(id), 1000); // the server restarts, or the network is away
    return;
  }
  for (const part of [id, "composer"]) {
    const [old, next] = [document.getElementById(part), fresh.getElementById(part)];
    if (!old || !next) continue;
    document.adoptNode(next);
    localiseTimes(next);
    const seen = old.querySelector(".play-switch:checked");
    const same = seen && next.querySelector(`.play-switch[value="${seen.value}"]`);
    if (same) same.checked = true;
    old.replaceWith(next);
    offerTokens(next);
  }
  const turn = document.getElementById(id);
  if (turn?.matches("[data-turn]")) listen(turn);
  else if (announce) announce.textContent = said(turn);
  if (document.activeElement === document.body) document.getElementById("message")?.focus({ preventScroll: true });
}

function said(turn) {
  const states = [...(turn?.querySelectorAll("[data-answer]") ?? [])].map((answer) => answer.dataset.state);
  if (states.includes("failed")) return "An answer failed.";
  return states.includes("cancelled") ? "Stopped." : "The answers are written.";
}

// -- stopping -------------------------------------------------------------------------------

let isStopping = false;

async function stop(options) {
  const turn = open();
  if (!turn?.dataset.stop || isStopping) return;
  isStopping = true;
  const button = turn.querySelector("[data-stop-button]");
  if (button) button.textContent = "Stopping …";
  try {
    await api("POST", turn.dataset.stop, undefined, options);
  } catch {
    if (button) button.textContent = "Stop";
  }
  isStopping = false;
}

document.addEventListener("submit", (event) => {
  const isStop = event.target.querySelector?.("[data-stop-button]");
  if (!isStop) return;
  event.preventDefault();
  stop();
});
// Whoever leaves does not read on: the model need not write on.
addEventListener("pagehide", () => stop({ keepalive: true }));

// -- keys -----------------------------------------------------------------------------------

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && open()) {
    event.preventDefault();
    stop();
  }
  const form = event.target.closest?.("form[data-ask]");
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && form) {
    event.preventDefault();
    form.requestSubmit();
  }
});

// -- tokens ---------------------------------------------------------------------------------

function offerTokens(root) {
  for (const button of root.querySelectorAll("[data-show-tokens]")) {
    button.hidden = false;
    button.addEventListener("click", () => showTokens(button.closest("[data-answer]"), button));
  }
}

offerTokens(document);
const turn = open();
if (turn) listen(turn);
