// A comparison of two models: how sure it is, where A is better, and what a reward model says.

import { colours, draw, mix, plain, shorten } from "./charts.js";

const wide = matchMedia("(min-width: 640px)");
const dark = matchMedia("(prefers-color-scheme: dark)");
const percent = (value) => `${Math.round(100 * value)} %`;
const spread = (row) => (row.low === null ? "" : ` (${Math.round(100 * row.low)}–${Math.round(100 * row.high)})`);
const half = (colour, axis) => ({
  type: "line", line: { color: colour.strong, dash: "dot", width: 1.5 },
  ...(axis === "x" ? { x0: 0.5, x1: 0.5, yref: "paper", y0: 0, y1: 1 } : { y0: 0.5, y1: 0.5, xref: "paper", x0: 0, x1: 1 }),
});

function path(rows, colour) {
  const x = rows.map((row) => row.n);
  const bound = (key) => ({ type: "scatter", mode: "lines", x, y: rows.map((row) => row[key]), line: { width: 0 }, hoverinfo: "skip" });
  return {
    traces: [
      bound("low"),
      { ...bound("high"), fill: "tonexty", fillcolor: mix(colour.main, colour.surface, 0.8) },
      {
        type: "scatter", mode: "lines", x, y: rows.map((row) => row.rate), line: { color: colour.main, width: 2.5 }, hoverinfo: "text",
        text: rows.map((row) => `${row.n} prompts: ${percent(row.rate)}${spread(row)}`),
      },
    ],
    layout: {
      height: 300, shapes: [half(colour, "y")], xaxis: { title: { text: "prompts judged", standoff: 6 }, rangemode: "tozero" },
      yaxis: { tickformat: ".0%", range: [-0.02, 1.02], title: { text: "A wins" } },
    },
  };
}

function rates(rows, colour) {
  const place = rows.map((_, index) => index);
  const shade = { all: colour.main, length: colour.accent, tag: colour.muted };
  const bar = (row, key) => (row[key] === null ? 0 : Math.abs(row[key] - row.value));
  return {
    traces: ["all", "length", "tag"].map((kind) => {
      const mine = place.filter((index) => rows[index].kind === kind);
      return {
        type: "scatter", mode: "markers", x: mine.map((index) => rows[index].value), y: mine, hoverinfo: "text", marker: { size: 10, color: shade[kind] },
        error_x: {
          type: "data", symmetric: false, color: shade[kind], thickness: 2, width: 0,
          array: mine.map((index) => bar(rows[index], "high")), arrayminus: mine.map((index) => bar(rows[index], "low")),
        },
        text: mine.map((index) => `${plain(rows[index].label)}: ${percent(rows[index].value)}${spread(rows[index])}, ${rows[index].n} prompts`),
      };
    }),
    layout: {
      height: Math.max(240, 80 + 34 * rows.length), shapes: [half(colour, "x")], xaxis: { tickformat: ".0%", range: [-0.02, 1.02], title: { text: "A wins", standoff: 6 } },
      yaxis: {
        tickvals: place, ticktext: rows.map((row) => plain(shorten(row.label, wide.matches ? 26 : 18))), range: [rows.length - 0.4, -0.6],
        showgrid: false, zeroline: false,
      },
    },
  };
}

function best(curves, colour) {
  const shades = [colour.main, colour.accent];
  return {
    traces: curves.map(({ name, points }, index) => ({
      type: "scatter", mode: "lines+markers", name: plain(shorten(name, 24)), x: points.map((point) => point.n), y: points.map((point) => point.value), hoverinfo: "text",
      line: { color: shades[index], width: 2 }, marker: { size: 8 },
      error_y: {
        type: "data", symmetric: false, color: shades[index], thickness: 1.5, width: 0,
        array: points.map((point) => (point.high === null ? 0 : point.high - point.value)), arrayminus: points.map((point) => (point.low === null ? 0 : point.value - point.low)),
      },
      text: points.map((point) => `${plain(name)}, best of ${point.n}: ${point.value.toFixed(2)}, at most ${point.kl.toFixed(2)} nats away`),
    })),
    layout: {
      height: 300, showlegend: curves.length > 1, legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" }, margin: { t: curves.length > 1 ? 34 : 8 },
      xaxis: { type: "log", tickvals: curves[0].points.map((point) => point.n), title: { text: "n", standoff: 6 } }, yaxis: { title: { text: "score of the best" } },
    },
  };
}

// Many dots share a height: each is moved by a little that is always the same for its place in the list.
const apart = (index) => 0.05 * (((index * 0.618034) % 1) - 0.5);

function gaps(rows, colour) {
  const most = Math.max(1, ...rows.map((row) => row.votes));
  const agrees = (row) => (row.gap > 0) === (row.said > 0.5) || row.said === 0.5;
  return {
    traces: [{
      type: "scatter", mode: "markers", x: rows.map((row) => row.gap), y: rows.map((row, index) => row.said + apart(index)), hoverinfo: "text",
      marker: { color: rows.map((row) => (agrees(row) ? colour.main : colour.bad)), opacity: 0.65, size: rows.map((row) => 5 + 5 * Math.sqrt(row.votes / most)) },
      text: rows.map((row) => `score ${row.gap >= 0 ? "+" : "−"}${Math.abs(row.gap).toFixed(2)} for A; people ${percent(row.said)} for A of ${row.votes} votes`),
    }],
    layout: {
      height: 300, shapes: [half(colour, "y"), { ...half(colour, "x"), x0: 0, x1: 0 }],
      xaxis: { title: { text: "score of A less that of B", standoff: 6 } }, yaxis: { tickformat: ".0%", range: [-0.08, 1.08], tickvals: [0, 0.25, 0.5, 0.75, 1], title: { text: "people for A" } },
    },
  };
}

const kinds = { path, rates, best, gaps };
let seen = "";

function look(again) {
  const text = document.querySelector("#evaluation-data").textContent;
  if (text === seen && again !== true) return;
  const data = JSON.parse(text);
  const places = Object.fromEntries([...document.querySelectorAll("[data-chart]")].map((each) => [each.dataset.chart, each]));
  // The first judgement has come: the page has room for its charts now.
  if (seen && Object.keys(data).some((name) => !places[name])) location.reload();
  seen = text;
  const colour = colours();
  for (const [name, place] of Object.entries(places)) {
    if (!data[name]) continue;
    if (!globalThis.Plotly) {
      place.textContent = "The chart could not be drawn; the numbers are below.";
      continue;
    }
    const { traces, layout } = kinds[name](data[name], colour);
    draw(place, traces, layout, colour);
  }
}

look();
document.addEventListener("touchstone:fresh", look);
dark.addEventListener("change", () => look(true));
wide.addEventListener("change", () => look(true));
