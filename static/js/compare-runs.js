// Curves of several runs over each other, and the table of settings with all or only what differs.

import { Canvas, Run, controls, drawChart, follow } from "./curves.js";

const every = 2000; // ms
const charts = JSON.parse(document.querySelector("script[data-charts]")?.textContent ?? "[]");
const rows = [...document.querySelectorAll("[data-run]")];
const metrics = [...new Set(["time", ...charts.flatMap((chart) => chart.curves.map(([metric]) => metric))])];
const points = Math.max(120, Math.round(1600 / rows.length)); // of each curve: many are drawn over each other
const runs = rows.map((row) => new Run({ source: row.dataset.run, name: row.dataset.name, metrics, points }));
const dark = matchMedia("(prefers-color-scheme: dark)");

// The style sheet has the colours; the table is the legend of every chart.
function paint() {
  rows.forEach((row, place) => { runs[place].colour = getComputedStyle(row.querySelector(".swatch")).backgroundColor; });
}

const isShown = (run) => rows[runs.indexOf(run)].querySelector("input").checked;

function drawOne(place) {
  const has = drawChart(place, charts[Number(place.dataset.curve)], runs.filter(isShown), look);
  const known = runs.some((run) => charts[Number(place.dataset.curve)].curves.some(([metric]) => run.curves.get(metric)?.step.length));
  place.closest("section").hidden = !has && !known && runs.every((run) => run.attempt !== null);
}

const canvas = new Canvas([...document.querySelectorAll("[data-curve]")], drawOne);
const look = controls(document.querySelector("[data-look]"), () => canvas.refresh());

if (runs.length) {
  paint();
  dark.addEventListener("change", () => { paint(); canvas.refresh(); });
  document.querySelector("[data-runs]").addEventListener("change", () => canvas.refresh());
  follow(runs, () => canvas.refresh(), every);
}

document.querySelector("[data-all-settings]")?.addEventListener("change", ({ target }) => {
  for (const row of document.querySelectorAll("[data-same]")) row.hidden = !target.checked;
});
