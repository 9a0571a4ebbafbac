// The figures of a project's rounds, drawn: win rates, agreement and reward accuracy.

import { drawAll } from "./charts.js";

const percent = { tickformat: ".0%", range: [0, 1.02] };

function points(rows, colour, name, symbol = "circle") {
  const known = rows.filter(Boolean);
  const about = (row) => `${Math.round(100 * row.value) / 100}${row.low === null || row.low === undefined ? "" : ` (${row.low.toFixed(2)}–${row.high.toFixed(2)})`}`;
  return {
    type: "scatter", mode: "lines+markers", name, hoverinfo: "text", x: known.map((row) => row.round), y: known.map((row) => row.value),
    line: { color: colour, width: 1.5 }, marker: { color: colour, size: 9, symbol }, text: known.map((row) => `Round ${row.round}: ${name} ${about(row)}`),
    error_y: {
      type: "data", symmetric: false, color: colour, thickness: 1.5, width: 4,
      array: known.map((row) => (row.high ?? row.value) - row.value), arrayminus: known.map((row) => row.value - (row.low ?? row.value)),
    },
  };
}

const xaxis = (rounds) => ({ tickvals: rounds, ticktext: rounds.map((number) => `Round ${number}`), range: [Math.min(...rounds) - 0.4, Math.max(...rounds) + 0.4] });

function win({ rounds, win: rows }, colour) {
  return {
    traces: [{ ...points(rows, colour.main, "preferred"), mode: "markers" }],
    layout: {
      xaxis: xaxis(rounds), yaxis: percent,
      shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: 0.5, y1: 0.5, line: { color: colour.strong, dash: "dot", width: 1.5 } }],
    },
  };
}

function trust({ rounds, agreement, accuracy, ceiling }, colour) {
  const least = Math.min(0, ...agreement.filter(Boolean).map((row) => row.low ?? row.value));
  return {
    traces: [
      points(agreement, colour.main, "agreement α"),
      points(accuracy, colour.accent, "reward model right", "diamond"),
      {
        type: "scatter", mode: "lines+markers", name: "at best", x: rounds, y: ceiling, hovertemplate: "Round %{x}: at best %{y:.2f}<extra></extra>",
        line: { color: colour.muted, dash: "dash", width: 1.5 }, marker: { color: colour.muted, size: 6 },
      },
    ],
    layout: { xaxis: xaxis(rounds), yaxis: { range: [least - 0.02, 1.02] }, showlegend: true, legend: { orientation: "h", y: 1.14 }, margin: { t: 30 } },
  };
}

drawAll({ win, trust });
