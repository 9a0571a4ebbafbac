// The charts of the answers: how sure they are, and whether a majority says the same.

import { drawAll } from "./charts.js";

function certainty({ confidence, histogram }, colour) {
  const step = 1 / histogram.length;
  const first = Math.min(Math.floor(0.5 / step), Math.max(0, histogram.findIndex((number) => number > 0)));
  const rows = histogram.map((number, index) => ({ number, from: index * step })).slice(first);
  const share = (value) => `${Math.round(100 * value)}`;
  return {
    traces: [{
      type: "bar", x: rows.map((row) => row.from + step / 2), y: rows.map((row) => row.number), width: step * 0.9,
      marker: { color: rows.map((row) => (row.from + step / 2 >= confidence ? colour.main : colour.warn)) },
      text: rows.map((row) => `${share(row.from)}–${share(row.from + step)} % sure: ${row.number} ${row.number === 1 ? "task" : "tasks"}`),
      textposition: "none", hoverinfo: "text",
    }],
    layout: {
      xaxis: { range: [rows[0].from, 1], tickformat: ".0%", showgrid: false }, yaxis: { rangemode: "tozero", tickformat: ",d" },
      shapes: [{ type: "line", yref: "paper", y0: 0, y1: 1, x0: confidence, x1: confidence, line: { color: colour.text, dash: "dash", width: 1.5 } }],
    },
  };
}

function methods(counts, colour, wide) {
  const rows = [
    [wide ? "says the same" : "the same", counts.same, colour.main],
    [wide ? "is even; the model decides" : "even, decided", counts.resolved, colour.good],
    [wide ? "is even, and so is the model" : "even, open", counts.unresolved - counts.resolved, colour.warn],
    [wide ? "says something else" : "another", counts.differ, colour.bad],
  ];
  const all = Math.max(1, rows.reduce((sum, [, number]) => sum + number, 0));
  return {
    traces: [{
      type: "bar", orientation: "h", x: rows.map(([, number]) => number), y: rows.map((_, index) => index),
      marker: { color: rows.map(([, , shade]) => shade) },
      text: rows.map(([, number]) => `${number.toLocaleString("en")} (${Math.round((100 * number) / all)} %)`),
      textposition: "auto", cliponaxis: false, hoverinfo: "none",
    }],
    layout: {
      height: 288, xaxis: { rangemode: "tozero", tickformat: ",d", nticks: 5 }, bargap: 0.35,
      yaxis: { tickvals: rows.map((_, index) => index), ticktext: rows.map(([name]) => name), autorange: "reversed", showgrid: false },
    },
  };
}

drawAll({ certainty, methods });
