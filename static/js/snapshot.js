// A snapshot that is being frozen: show it as soon as it has ended.

import { api } from "./api.js";

const waiting = document.querySelector("[data-poll]");
const every = 1500; // ms
const shown = document.querySelector(".page-head .badge").textContent.trim();

function showFar({ done, total }) {
  if (!total) return;
  const bar = waiting.querySelector("[data-far]");
  bar.max = total;
  bar.value = done;
  waiting.querySelector("[data-far-said]").textContent = `${done.toLocaleString("en")} of ${total.toLocaleString("en")} prompts`;
}

async function look() {
  try {
    const { data } = await api("GET", waiting.dataset.poll);
    showFar(data.progress);
    const isFreezing = data.state === "running";
    if (["succeeded", "failed", "cancelled"].includes(data.state) || isFreezing !== (shown === "freezing")) {
      location.reload();
      return;
    }
  } catch {
    // The server restarts, or the network is away: look again.
  }
  setTimeout(look, every);
}

setTimeout(look, every);
