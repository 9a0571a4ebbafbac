// The curves of a run, drawn as they come.

import { api } from "./api.js";
import { colours, draw, plain } from "./charts.js";

const every = 1500; // ms
const source = document.querySelector("[data-curves]")?.dataset.curves;
const charts = JSON.parse(document.querySelector("script[data-charts]")?.textContent ?? "[]");
const places = [...document.querySelectorAll("[data-curve]")];
const more = document.querySelector("[data-more]");
const dark = matchMedia("(prefers-color-scheme: dark)");
const final = ["succeeded", "failed", "cancelled"];

const isWaiting = () => ["queued", "waiting"].includes(document.querySelector("#run-head .badge")?.textContent.trim());

let steps = new Map(); // step → its metrics
let attempt = null;

function traces(chart, colour) {
  const shades = [colour.main, colour.accent, colour.muted];
  return chart.curves.flatMap(([metric, label], place) => {
    const x = [];
    const y = [];
    for (const [step, values] of steps) {
      if (typeof values[metric] !== "number") continue;
      x.push(step);
      y.push(values[metric]);
    }
    if (!x.length) return [];
    const sparse = metric.startsWith("eval_") || x.length < 3;
    return [{
      type: x.length > 2000 ? "scattergl" : "scatter", mode: sparse ? "lines+markers" : "lines", x, y, name: plain(label),
      line: { color: shades[place % shades.length], width: 2 }, marker: { size: 7 },
      hovertemplate: `step %{x}: %{y:${chart.percent ? ".1%" : ".4g"}} ${plain(label)}<extra></extra>`,
    }];
  });
}

function layout(chart, colour, drawn) {
  const dotted = { type: "line", xref: "paper", x0: 0, x1: 1, y0: chart.line, y1: chart.line, line: { color: colour.strong, dash: "dot", width: 1 } };
  return {
    showlegend: drawn.length > 1, legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" }, margin: { t: drawn.length > 1 ? 34 : 8 },
    xaxis: { title: { text: "step", standoff: 6 }, rangemode: "tozero" },
    yaxis: chart.percent ? { tickformat: ".0%", ...(chart.whole ? { range: [0, 1.02] } : { rangemode: "tozero" }) } : {},
    shapes: chart.line === null ? [] : [dotted],
  };
}

function drawAll() {
  if (!globalThis.Plotly) return;
  const colour = colours();
  for (const place of places) {
    if (more && more.contains(place) && !more.open) continue;
    const chart = charts[Number(place.dataset.curve)];
    const drawn = traces(chart, colour);
    if (drawn.length) {
      place.classList.remove("chart-empty");
      draw(place, drawn, layout(chart, colour, drawn), colour);
    } else if (!place.classList.contains("chart-empty")) {
      globalThis.Plotly.purge(place);
      place.classList.add("chart-empty");
    }
  }
}

// Asks from the step before the last: an evaluation is logged after the step it belongs to.
async function fetchNew() {
  const last = Math.max(-1, ...[...steps.keys()].slice(-1));
  const { data } = await api("GET", `${source}?after_step=${Math.max(-1, last - 1)}`);
  if (attempt !== null && data.attempt !== attempt) steps = new Map();
  const isNew = data.attempt !== attempt || data.items.length > 0;
  attempt = data.attempt;
  for (const { step, ...values } of data.items) steps.set(step, values);
  if (isNew) drawAll();
  return data;
}

async function follow() {
  let pause = every;
  try {
    const data = document.hidden ? null : await fetchNew();
    if (data?.next_cursor) pause = 0;
    else if (data && final.includes(data.state)) return;
  } catch {
    // The server restarts, or the network is away: look again.
  }
  setTimeout(follow, pause);
}

if (source) {
  follow();
  dark.addEventListener("change", drawAll);
  more?.addEventListener("toggle", drawAll);
} else if (isWaiting()) {
  // It has not begun: the page has room for its curves once it has.
  const look = setInterval(() => {
    if (isWaiting()) return;
    clearInterval(look);
    location.reload();
  }, 1000);
}
