// What a run takes of its machine, while somebody looks; and the log, which stays open as it grows.

import { api } from "./api.js";
import { colours, draw } from "./charts.js";

const every = 5000; // ms
const place = document.querySelector("[data-resources]");
const final = ["succeeded", "failed", "cancelled"];
let items = [];
let isFollowed = false;

function line(name, values, colour, dash = "solid", more = "") {
  return {
    type: "scatter", mode: "lines", x: items.map((item) => item.at), y: values, line: { color: colour, width: 2, dash },
    hovertemplate: `%{x|%H:%M:%S}: %{y:.2~f}${more}<br>${name}<extra></extra>`,
  };
}

const known = (name) => items.some((item) => item[name] !== null);
const gigabytes = (name) => items.map((item) => (item[name] === null ? null : item[name] / 1e9));

function drawAll() {
  if (!globalThis.Plotly || !place.open || !items.length) return;
  const colour = colours();
  const shared = { xaxis: { type: "date" }, yaxis: { rangemode: "tozero" } };
  const [cpu, memory] = ["cpu", "memory"].map((name) => place.querySelector(`[data-resource="${name}"]`));
  const hasGpu = known("gpu_memory");
  for (const words of place.querySelectorAll("[data-has-gpu]")) words.hidden = !hasGpu;
  draw(cpu, [
    line("cores", items.map((item) => item.cpu), colour.main),
    ...(hasGpu ? [line("GPU", items.map((item) => item.gpu), colour.accent, "dot")] : []),
  ], shared, colour);
  draw(memory, [
    line("memory of its processes", gigabytes("rss"), colour.main, "solid", " GB"),
    line("memory of the machine", gigabytes("memory_total"), colour.strong, "solid", " GB"),
    ...(hasGpu ? [line("on the GPU", gigabytes("gpu_memory"), colour.accent, "dot", " GB"), line("of the GPU", gigabytes("gpu_total"), colour.muted, "dot", " GB")] : []),
  ], shared, colour);
}

async function follow() {
  if (!place.open) {
    isFollowed = false;
    return;
  }
  try {
    if (!document.hidden) {
      const { data } = await api("GET", place.dataset.resources);
      items = data.items;
      for (const chart of place.querySelectorAll("[data-resource]")) chart.classList.toggle("chart-empty", !items.length);
      drawAll();
      if (final.includes(data.state)) return;
    }
  } catch {
    // The server restarts, or the network is away: look again.
  }
  setTimeout(follow, every);
}

place?.addEventListener("toggle", () => {
  if (place.open && !isFollowed) {
    isFollowed = true;
    follow();
  }
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);

// The part with the log is renewed as a whole: whether it is open, and where it is read, stays.
let isOpen = false;
let at = null; // from the top; null follows the end
document.addEventListener("toggle", ({ target }) => {
  if (target.id === "run-said") isOpen = target.open;
  if (target.id === "run-said" && isOpen) showLog();
}, true);
document.addEventListener("scroll", ({ target }) => {
  if (target.id === "run-said-lines") at = target.scrollTop + target.clientHeight >= target.scrollHeight - 4 ? null : target.scrollTop;
}, true);

function showLog() {
  const lines = document.querySelector("#run-said-lines");
  if (lines) lines.scrollTop = at ?? lines.scrollHeight;
}

document.addEventListener("touchstone:fresh", () => {
  const said = document.querySelector("#run-said");
  if (!said || said.open === isOpen) return;
  said.open = isOpen;
  showLog();
});
