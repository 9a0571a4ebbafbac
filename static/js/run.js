// The curves of a run, drawn as they come.

import { Canvas, Run, controls, drawChart, follow } from "./curves.js";

const every = 1500; // ms
const source = document.querySelector("[data-curves]")?.dataset.curves;
const charts = JSON.parse(document.querySelector("script[data-charts]")?.textContent ?? "[]");

const isWaiting = () => ["queued", "waiting"].includes(document.querySelector("#run-head .badge")?.textContent.trim());

if (source) {
  const metrics = [...new Set(["time", ...charts.flatMap((chart) => chart.curves.map(([metric]) => metric))])];
  const runs = [new Run({ source, metrics, points: 600 })];
  const places = [...document.querySelectorAll("[data-curve]")];
  const canvas = new Canvas(places, (place) => drawChart(place, charts[Number(place.dataset.curve)], runs, look));
  const look = controls(document.querySelector("[data-look]"), () => canvas.refresh());
  follow(runs, () => canvas.refresh(), every);
} else if (isWaiting()) {
  // It has not begun: the page has room for its curves once it has. At once, so that no click on
  // what has just appeared is lost.
  document.addEventListener("touchstone:fresh", () => isWaiting() || location.reload());
}
