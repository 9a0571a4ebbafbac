// The charts of one person's page: each answers the question in its title.

import { drawAll, mix } from "./charts.js";

const share = (value) => `${Math.round(100 * value)} %`;
const named = (text) => ({ text, font: { size: 13 } });
const percent = { tickformat: ".0%", range: [0, 1.02] };

function posterior({ threshold, curve, mean, low, high }, colour) {
  const line = (points, more) => ({
    type: "scatter", mode: "lines", x: points.map(([x]) => x), y: points.map(([, y]) => y), hoverinfo: "skip", ...more,
  });
  const below = curve.filter(([x]) => x <= threshold);
  const top = Math.max(...curve.map(([, y]) => y));
  return {
    traces: [
      line(below, { fill: "tozeroy", fillcolor: mix(colour.bad, colour.surface, 0.65), line: { width: 0 } }),
      line(curve, { line: { color: colour.main, width: 2 } }),
      {
        type: "scatter", mode: "markers", x: [mean], y: [-0.06 * top], marker: { color: colour.main, size: 9 }, hoverinfo: "text",
        text: `Estimate ${share(mean)} (${share(low)} to ${share(high)})`,
        error_x: { type: "data", symmetric: false, array: [high - mean], arrayminus: [mean - low], color: colour.main, thickness: 1.5, width: 0 },
      },
    ],
    layout: {
      xaxis: { tickformat: ".0%", range: [0, 1], title: named("accuracy on gold") },
      yaxis: { showticklabels: false, ticks: "", showgrid: false, zeroline: true, range: [-0.13 * top, 1.08 * top] },
      margin: { l: 12, b: 48 },
      shapes: [{ type: "line", yref: "paper", y0: 0, y1: 1, x0: threshold, x1: threshold, line: { color: colour.bad, dash: "dash", width: 1.5 } }],
    },
  };
}

// Agreement with peers and gold passed, by week or by hour.
function spans({ others, spans: all }, colour, axis) {
  const rows = all.filter((row) => row.peer_agreement.value !== null);
  const gold = all.filter((row) => row.gold_seen > 0);
  const shapes = others === null ? [] : [
    { type: "line", xref: "paper", x0: 0, x1: 1, y0: others, y1: others, line: { color: colour.strong, dash: "dot", width: 1.5 } },
  ];
  return {
    traces: [
      {
        type: "scatter", mode: axis.mode, name: "with peers", x: rows.map((row) => row.key), y: rows.map((row) => row.peer_agreement.value),
        marker: { color: colour.main, size: 8 }, line: { color: colour.main, width: 2 }, hoverinfo: "text",
        text: rows.map(({ key, n, peer_agreement: { value, low, high } }) => `${key}: ${share(value)} (${share(low)} to ${share(high)}) of ${n} tasks`),
        error_y: {
          type: "data", symmetric: false, color: colour.main, thickness: 1.5, width: 0,
          array: rows.map((row) => row.peer_agreement.high - row.peer_agreement.value),
          arrayminus: rows.map((row) => row.peer_agreement.value - row.peer_agreement.low),
        },
      },
      {
        type: "scatter", mode: "markers", name: "gold", x: gold.map((row) => row.key), y: gold.map((row) => row.gold_passed / row.gold_seen),
        marker: { symbol: "diamond", color: colour.good, size: 9 }, hoverinfo: "text",
        text: gold.map((row) => `${row.key}: passes ${row.gold_passed} of ${row.gold_seen} gold questions`),
      },
    ],
    layout: {
      yaxis: percent, shapes,
      xaxis: { type: "category", categoryorder: "array", categoryarray: all.map((row) => row.key), ...axis.ticks(all.map((row) => row.key)) },
    },
  };
}

const weeks = (data, colour) => spans(data, colour, {
  mode: "lines+markers", ticks: (keys) => ({ tickvals: keys, ticktext: keys.map((key) => key.slice(5)) }),
});
const hours = (data, colour) => spans(data, colour, {
  mode: "markers", ticks: (keys) => ({ tickvals: keys, ticktext: keys, title: named("hour (UTC)") }),
});

// 1, 2, 5, 10 … for a logarithmic axis, as whole numbers.
const marks = [-1, 0, 1, 2, 3, 4, 5].flatMap((power) => [1, 2, 5].map((digit) => Number(`${digit}e${power}`)));
const steps = { tickvals: marks, ticktext: marks.map((mark) => mark.toLocaleString("en")) };

function speed({ points, reading }, colour) {
  const characters = points.map(([x]) => x);
  const seconds = points.map(([, y]) => y);
  const ends = [Math.min(...characters), Math.max(...characters)];
  const hurried = points.map(([x, y]) => y * reading < x);
  return {
    traces: [
      {
        type: "scatter", mode: "markers", x: characters, y: seconds, hoverinfo: "text",
        marker: { color: hurried.map((fast) => (fast ? colour.bad : colour.main)), symbol: hurried.map((fast) => (fast ? "x" : "circle")), size: 6, opacity: 0.65 },
        text: points.map(([x, y]) => `${x.toLocaleString("en")} characters in ${y} s`),
      },
      { type: "scatter", mode: "lines", x: ends, y: ends.map((x) => x / reading), line: { color: colour.bad, dash: "dash", width: 1.5 }, hoverinfo: "skip" },
    ],
    layout: {
      xaxis: { type: "log", title: named("characters to read"), ...steps },
      yaxis: { type: "log", title: named("seconds"), ...steps },
      margin: { b: 48 },
    },
  };
}

function places({ places: numbers }, colour) {
  const total = numbers.reduce((sum, number) => sum + number, 0);
  const names = numbers.map((_, place) => "ABCDEFGHIJ"[place]);
  return {
    traces: [{
      type: "bar", x: names.map((_, place) => place), y: numbers.map((number) => number / total), marker: { color: colour.main }, hoverinfo: "text",
      hovertext: numbers.map((number, place) => `${names[place]}: ${number} of ${total}`),
    }],
    layout: {
      yaxis: percent, bargap: 0.4,
      xaxis: {
        showgrid: false, tickvals: names.map((_, place) => place),
        ticktext: numbers.map((number, place) => `${names[place]}: ${share(number / total)}`),
      },
      shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: 1 / numbers.length, y1: 1 / numbers.length, line: { color: colour.text, dash: "dot", width: 1.5 } }],
    },
  };
}

// Her share with its interval, and that of the others, question by question.
function beside(rows, colour, wide) {
  const known = rows.filter((row) => row.value !== null).reverse();
  const at = known.map((_, place) => place);
  return {
    traces: [
      {
        type: "scatter", mode: "markers", x: known.map((row) => row.value), y: at, marker: { color: colour.main, size: 10 }, hoverinfo: "text",
        text: known.map((row) => `${row.label}: ${share(row.value)} (${share(row.low)} to ${share(row.high)}), n = ${row.n}`),
        error_x: {
          type: "data", symmetric: false, color: colour.main, thickness: 1.5, width: 0,
          array: known.map((row) => row.high - row.value), arrayminus: known.map((row) => row.value - row.low),
        },
      },
      {
        type: "scatter", mode: "markers", x: known.map((row) => row.others), y: at, hoverinfo: "text",
        marker: { symbol: "line-ns-open", color: colour.text, size: 16, line: { width: 3 } },
        text: known.map((row) => `${row.label}, ${row.beside}: ${row.others === null ? "not known" : share(row.others)}`),
      },
    ],
    layout: {
      height: 60 + 40 * known.length, xaxis: { ...percent, range: [-0.02, 1.02] },
      yaxis: { tickvals: at, ticktext: known.map((row) => (wide ? row.label : row.short)), range: [-0.6, known.length - 0.4], showgrid: false, zeroline: false },
    },
  };
}

drawAll({ beside, posterior, weeks, hours, speed, places });
