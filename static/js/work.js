// The page of the work in progress: keeps itself fresh, and draws the hours from their table.

import "./live.js";
import { colours, draw } from "./charts.js";

const chart = document.getElementById("work-hours");
const wide = matchMedia("(min-width: 640px)");
let drawn = "";

function hours() {
  return [...document.querySelectorAll("#work-hour-rows tr")].map((row) => ({
    at: new Date(row.querySelector("time").dateTime),
    number: Number(row.querySelector(".num").textContent),
  }));
}

const clock = (at) => at.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });

function show(isNew = true) {
  if (!chart) return;
  if (!globalThis.Plotly) {
    chart.textContent = "The chart could not be drawn; the numbers are below.";
    return;
  }
  const rows = hours();
  const data = JSON.stringify(rows);
  if (!isNew && data === drawn) return;
  drawn = data;
  const colour = colours();
  const bars = {
    type: "bar", x: rows.map((row) => row.at.toISOString()), y: rows.map((row) => row.number), marker: { color: colour.main },
    text: rows.map((row) => `from ${clock(row.at)}: ${row.number}`), textposition: "none", hoverinfo: "text",
  };
  const few = rows.filter((_, place) => place % (wide.matches ? 6 : 12) === 0);
  draw(chart, [bars], {
    xaxis: { type: "category", tickvals: few.map((row) => row.at.toISOString()), ticktext: few.map((row) => clock(row.at)) },
    yaxis: { rangemode: "tozero", tickformat: ",d", range: [0, Math.max(4, ...rows.map((row) => row.number * 1.1))] }, bargap: 0.25,
  }, colour);
}

show();
document.addEventListener("touchstone:fresh", () => show(false));
for (const look of [matchMedia("(prefers-color-scheme: dark)"), wide]) look.addEventListener("change", () => show());
