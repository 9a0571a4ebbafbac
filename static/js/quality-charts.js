// The charts of a project's dashboard: each answers the question in its title.

import { drawAll, mix, plain, shorten } from "./charts.js";

const percent = { tickformat: ".0%", range: [0, 1.02] };

function interval(rows, colour) {
  return {
    type: "data", symmetric: false, color: colour, thickness: 1.5, width: 0,
    array: rows.map((row) => (row.high === null ? 0 : row.high - row.value)),
    arrayminus: rows.map((row) => (row.low === null ? 0 : row.value - row.low)),
  };
}

const spread = (row) => (row.low === null ? "" : ` (${Math.round(100 * row.low)}–${Math.round(100 * row.high)} %)`);

function weeks({ band, weeks: all }, colour) {
  const rows = all.filter((row) => row.value !== null);
  const sure = rows.filter((row) => row.low !== null);
  const dots = (part, marker) => ({
    type: "scatter", x: part.map((row) => row.week), y: part.map((row) => row.value), marker: { size: 8, ...marker }, hoverinfo: "text",
    text: part.map((row) => `${row.week}: ${Math.round(100 * row.value)} %${spread(row)}, ${row.tasks} tasks`),
  });
  return {
    traces: [
      { ...dots(sure, { color: colour.main }), mode: "lines+markers", line: { color: colour.main, width: 2 }, error_y: interval(sure, colour.main) },
      { ...dots(rows.filter((row) => row.low === null), { color: colour.surface, line: { color: colour.muted, width: 1.5 } }), mode: "markers" },
    ],
    layout: {
      yaxis: { ...percent, range: [Math.min(0.3, ...rows.map((row) => row.value)) - 0.05, 1.02] },
      xaxis: {
        type: "category", categoryorder: "array", categoryarray: rows.map((row) => row.week),
        tickvals: rows.map((row) => row.week), ticktext: rows.map((row) => row.week.slice(5)),
      },
      shapes: [
        { type: "rect", xref: "paper", x0: 0, x1: 1, y0: band[0], y1: band[1], fillcolor: colour.goodSoft, line: { width: 0 }, layer: "below" },
        { type: "line", xref: "paper", x0: 0, x1: 1, y0: 0.5, y1: 0.5, line: { color: colour.strong, dash: "dot", width: 1 } },
      ],
    },
  };
}

function days(rows, colour) {
  return {
    traces: [{
      type: "bar", x: rows.map((row) => row.day), y: rows.map((row) => row.number), marker: { color: colour.main },
      hovertemplate: "%{x}: %{y}<extra></extra>",
    }],
    layout: { xaxis: { type: "date", tickformat: "%d %b" }, yaxis: { rangemode: "tozero", tickformat: ",d" }, bargap: 0.25 },
  };
}

function gold({ threshold, people }, colour, wide) {
  const shade = { good: colour.good, warned: colour.warn, failed: colour.bad };
  const names = people.map((row) => plain(shorten(row.name, wide ? 24 : 14)));
  return {
    traces: [{
      type: "scatter", mode: "markers", x: people.map((row) => row.value), y: people.map((_, place) => place),
      marker: { color: people.map((row) => shade[row.standing]), size: 10 }, error_x: interval(people, colour.muted),
      text: people.map((row) => `${plain(row.name)}: ${row.passed} of ${row.seen} right, estimate ${Math.round(100 * row.value)} %${spread(row)}`),
      hoverinfo: "text",
    }],
    layout: {
      height: Math.max(288, 70 + 26 * people.length), xaxis: percent,
      yaxis: { tickvals: people.map((_, place) => place), ticktext: names, range: [-0.7, people.length - 0.3], showgrid: false },
      shapes: [{ type: "line", yref: "paper", y0: 0, y1: 1, x0: threshold, x1: threshold, line: { color: colour.bad, dash: "dash", width: 1.5 } }],
    },
  };
}

function matrix({ names, percent: shares, tasks }, colour, wide) {
  const labels = names.map((name) => plain(shorten(name, wide ? 18 : 9)));
  const place = names.map((_, index) => index);
  const few = names.length <= (wide ? 12 : 6);
  return {
    traces: [{
      type: "heatmap", z: shares, x: place, y: place, zmin: 0, zmax: 1, xgap: 2, ygap: 2, hoverongaps: false,
      colorscale: [[0, colour.sunken], [1, mix(colour.main, colour.surface, 0.45)]],
      textfont: { color: colour.text },
      colorbar: { tickformat: ".0%", thickness: 10, outlinewidth: 0, len: 0.9 },
      text: shares.map((row) => row.map((share) => (share === null || !few ? "" : `${Math.round(100 * share)}`))), texttemplate: "%{text}",
      customdata: shares.map((row, i) => row.map((_, j) => `${plain(names[i])} and ${plain(names[j])}: ${tasks[i][j]} tasks`)),
      hovertemplate: "%{customdata}, %{z:.0%} the same<extra></extra>",
    }],
    layout: {
      height: Math.max(300, 110 + 26 * names.length),
      xaxis: { tickvals: place, ticktext: labels, showgrid: false, zeroline: false, tickangle: names.length > 5 ? -45 : 0 },
      yaxis: { tickvals: place, ticktext: labels, showgrid: false, zeroline: false, autorange: "reversed" },
    },
  };
}

drawAll({ weeks, days, gold, matrix });
