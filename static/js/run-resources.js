// What a run takes of its machine, while somebody looks.

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
  const shared = { xaxis: { type: "date", nticks: 5, tickangle: 0 }, yaxis: { rangemode: "tozero" } };
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
