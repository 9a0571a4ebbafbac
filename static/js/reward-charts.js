// How good a reward model is: shares with their intervals, and whether it can be taken at its word.

import { drawAll, plain, shorten } from "./charts.js";

const percent = (value) => `${Math.round(100 * value)} %`;
const spread = (row) => (row.low === null ? "" : ` (${Math.round(100 * row.low)}–${Math.round(100 * row.high)} %)`);

function interval(rows, colour) {
  return {
    type: "data", symmetric: false, color: colour, thickness: 1.5, width: 0,
    array: rows.map((row) => (row.high === null ? 0 : row.high - row.value)),
    arrayminus: rows.map((row) => (row.low === null ? 0 : row.value - row.low)),
  };
}

function shares({ rows, line }, colour, wide) {
  const place = rows.map((_, index) => index);
  const least = Math.min(line ?? 0.5, ...rows.map((row) => row.low ?? row.value));
  return {
    traces: [{
      type: "scatter", mode: "markers", x: rows.map((row) => row.value), y: place, error_x: interval(rows, colour.main), hoverinfo: "text",
      marker: { size: 10, color: colour.main },
      text: rows.map((row) => `${plain(row.label)}: ${percent(row.value)}${spread(row)}, ${row.n} pairs`),
    }],
    layout: {
      height: Math.max(224, 70 + 34 * rows.length), xaxis: { tickformat: ".0%", dtick: wide ? 0.1 : 0.2, tick0: 0, range: [Math.max(-0.02, least - 0.06), 1.03] },
      yaxis: {
        tickvals: place, ticktext: rows.map((row) => plain(shorten(row.label, wide ? 30 : 24))), range: [rows.length - 0.4, -0.6],
        showgrid: false, zeroline: false,
      },
      shapes: line === null ? [] : [{ type: "line", yref: "paper", y0: 0, y1: 1, x0: line, x1: line, line: { color: colour.strong, dash: "dot", width: 1 } }],
    },
  };
}

function calibration({ bins }, colour) {
  const most = Math.max(1, ...bins.map((row) => row.n));
  return {
    traces: [{
      type: "scatter", mode: "lines+markers", x: bins.map((row) => row.claimed), y: bins.map((row) => row.held), error_y: interval(bins.map((row) => ({ ...row, value: row.held })), colour.muted),
      line: { color: colour.main, width: 1 }, hoverinfo: "text",
      marker: { color: colour.main, opacity: 1, size: bins.map((row) => 6 + 14 * Math.sqrt(row.n / most)), line: { color: colour.surface, width: 1 } },
      text: bins.map((row) => `claims ${percent(row.claimed)}, holds ${percent(row.held)}${spread(row)}, ${row.n} pairs`),
    }],
    layout: {
      height: 288,
      xaxis: { tickformat: ".0%", range: [0.48, 1.03], title: { text: "it claims", standoff: 6 } },
      yaxis: { tickformat: ".0%", range: [Math.min(0.4, ...bins.map((row) => row.low - 0.04)), 1.04], title: { text: "people say so" } },
      shapes: [{ type: "line", x0: 0.5, y0: 0.5, x1: 1, y1: 1, line: { color: colour.strong, dash: "dot", width: 1.5 } }],
    },
  };
}

const kinds = Object.fromEntries(["standing", "people", "agreement", "strength", "length", "ensemble"].map((name) => [name, shares]));
const drawn = () => document.querySelector("[data-evaluation] [data-chart]");

let seen = null;
function look() {
  if (!drawn() || drawn() === seen) return;
  seen = drawn();
  drawAll({ ...kinds, calibration }, seen.closest("[data-evaluation]"));
}

look();
document.addEventListener("touchstone:fresh", look); // the run has ended while somebody watched
