// The charts of a project's dashboard: each answers the question in its title.

import { drawAll, plain, shorten } from "./charts.js";

const percent = { tickformat: ".0%", range: [0, 1.02] };

function interval(rows, colour) {
  return {
    type: "data", symmetric: false, color: colour, thickness: 1.5, width: 0,
    array: rows.map((row) => (row.high === null ? 0 : row.high - row.value)),
    arrayminus: rows.map((row) => (row.low === null ? 0 : row.value - row.low)),
  };
}

const spread = (row) => (row.low === null ? "" : ` (${Math.round(100 * row.low)}–${Math.round(100 * row.high)} %)`);

// Agreement of each day; low days are red, changes of settings and guidelines are triangles above.
function agreement({ band, days: all, marks }, colour, wide) {
  const rows = all.filter((row) => row.value !== null).map((row) => ({ ...row, at: `${row.day}T12:00` }));
  const kinds = [
    [rows.filter((row) => row.low === null), { color: colour.surface, line: { color: colour.muted, width: 1.5 }, size: 8 }],
    [rows.filter((row) => row.low !== null && !row.low_day), { color: colour.main, size: 8 }],
    [rows.filter((row) => row.low !== null && row.low_day), { color: colour.bad, size: 11 }],
  ];
  const about = (row) => `${row.day}: ${Math.round(100 * row.value)} %${spread(row)}, ${row.tasks} tasks shared`;
  const sure = rows.filter((row) => row.low !== null);
  const top = 1.06;
  return {
    traces: [
      { type: "scatter", mode: "lines", x: sure.map((row) => row.at), y: sure.map((row) => row.value), line: { color: colour.main, width: 1 }, opacity: 0.5, hoverinfo: "skip" },
      ...kinds.map(([part, marker]) => ({
        type: "scatter", mode: "markers", x: part.map((row) => row.at), y: part.map((row) => row.value), marker, hoverinfo: "text",
        customdata: part.map((row) => row.day), text: part.map(about), error_y: interval(part, marker.color === colour.surface ? colour.muted : marker.color),
      })),
      {
        type: "scatter", mode: "markers+text", x: marks.map((mark) => mark.at), y: marks.map(() => top), hoverinfo: "text",
        marker: { symbol: "triangle-down", size: 10, color: colour.accent }, textposition: "middle right", textfont: { color: colour.muted, size: 11 },
        hovertext: marks.map((mark) => plain(mark.what)), text: marks.map((mark) => (mark.version ? `v${mark.version}` : "")), customdata: marks.map((mark) => mark.at.slice(0, 10)),
      },
    ],
    layout: {
      yaxis: { ...percent, range: [Math.min(0.35, ...rows.map((row) => row.low ?? row.value)) - 0.05, marks.length ? 1.12 : 1.03], tickvals: [0, 0.25, 0.5, 0.75, 1] },
      xaxis: { type: "date", tickformat: "%d %b", nticks: wide ? 12 : 5 }, hovermode: "closest",
      shapes: [
        { type: "rect", xref: "paper", x0: 0, x1: 1, y0: band[0], y1: band[1], fillcolor: colour.goodSoft, line: { width: 0 }, layer: "below" },
        { type: "line", xref: "paper", x0: 0, x1: 1, y0: 0.5, y1: 0.5, line: { color: colour.strong, dash: "dot", width: 1 } },
        ...marks.map((mark) => ({ type: "line", yref: "paper", y0: 0, y1: 0.96, x0: mark.at, x1: mark.at, line: { color: colour.accent, dash: "dot", width: 1 } })),
      ],
    },
  };
}

// A day's people: what they agree in usually (hollow) and on this day.
function people(rows, colour, wide) {
  const place = rows.map((_, index) => index);
  const names = rows.map((row) => plain(shorten(row.name, wide ? 24 : 12)));
  const known = rows.map((row, index) => ({ ...row, index })).filter((row) => row.usual !== null);
  return {
    traces: [
      {
        type: "scatter", mode: "markers", x: known.map((row) => row.usual), y: known.map((row) => row.index), hoverinfo: "text",
        marker: { color: colour.surface, size: 10, line: { color: colour.muted, width: 2 } },
        text: known.map((row) => `${plain(row.name)}, usually: ${Math.round(100 * row.usual)} %`),
      },
      {
        type: "scatter", mode: "markers", x: rows.map((row) => row.value), y: place, hoverinfo: "text", error_x: interval(rows, colour.muted),
        marker: { color: rows.map((row) => (row.fallen ? colour.bad : colour.main)), size: 10 },
        text: rows.map((row) => `${plain(row.name)}, on this day: ${Math.round(100 * row.value)} %${spread(row)}, ${row.tasks} tasks`),
      },
    ],
    layout: {
      height: Math.max(200, 70 + 28 * rows.length), xaxis: { ...percent, range: [-0.02, 1.02] },
      yaxis: { tickvals: place, ticktext: names, range: [-0.7, rows.length - 0.3], showgrid: false, zeroline: false },
      shapes: [{ type: "line", yref: "paper", y0: 0, y1: 1, x0: 0.5, x1: 0.5, line: { color: colour.strong, dash: "dot", width: 1 } }],
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

drawAll({ agreement, days, gold, people });

// A day is opened by a click; the table below has the same days as links.
const trend = document.querySelector('[data-chart="agreement"]');
if (trend?.on) {
  const { address } = JSON.parse(document.querySelector('[data-chart-data="agreement"]').textContent);
  trend.on("plotly_click", ({ points }) => {
    const day = points.find((point) => point.customdata)?.customdata;
    if (day) location.assign(address.replace("DAY", day));
  });
}
