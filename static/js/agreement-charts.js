// The charts of agreement: a dot and its interval per part, and every two people.

import { drawAll, mix, plain, shorten } from "./charts.js";

const shown = (value, isShare) => (isShare ? `${Math.round(100 * value)} %` : value.toFixed(2));

function spread(row, isShare) {
  return row.low === null ? "" : ` (${shown(row.low, isShare)} to ${shown(row.high, isShare)})`;
}

function interval(rows, colour) {
  return {
    type: "data", symmetric: false, color: colour, thickness: 1.5, width: 0,
    array: rows.map((row) => (row.high === null ? 0 : row.high - row.value)),
    arrayminus: rows.map((row) => (row.low === null ? 0 : row.value - row.low)),
  };
}

function valueAxis({ rows, isShare, chance }) {
  const lows = rows.map((row) => row.low ?? row.value);
  const least = Math.min(...lows, chance ?? 1, isShare ? 0.5 : 0);
  return { tickformat: isShare ? ".0%" : ".1f", range: [least - 0.05, 1.04] };
}

// The band of what is usual and the line of chance, across a chart whose values run along `axis`.
function marks({ band, chance }, colour, axis) {
  const across = axis === "y" ? "x" : "y";
  const span = (from, to) => ({ [`${across}ref`]: "paper", [`${across}0`]: 0, [`${across}1`]: 1, [`${axis}0`]: from, [`${axis}1`]: to });
  const shapes = [];
  if (band) shapes.push({ type: "rect", ...span(...band), fillcolor: colour.goodSoft, line: { width: 0 }, layer: "below" });
  if (chance !== null) shapes.push({ type: "line", ...span(chance, chance), line: { color: colour.strong, dash: "dot", width: 1 } });
  return shapes;
}

function overTime(data, colour) {
  const { rows, isShare } = data;
  const dots = (part, marker) => ({
    type: "scatter", x: part.map((row) => row.label), y: part.map((row) => row.value), marker: { size: 8, ...marker }, hoverinfo: "text",
    text: part.map((row) => `${row.label}: ${shown(row.value, isShare)}${spread(row, isShare)}, ${row.tasks} tasks`),
  });
  const sure = rows.filter((row) => row.low !== null);
  const labels = rows.map((row) => row.label);
  const every = Math.max(1, Math.ceil(labels.length / 10));
  const ticks = labels.filter((_, place) => (labels.length - 1 - place) % every === 0);
  return {
    traces: [
      { ...dots(sure, { color: colour.main }), mode: "lines+markers", line: { color: colour.main, width: 1.5 }, error_y: interval(sure, colour.main) },
      { ...dots(rows.filter((row) => row.low === null), { color: colour.surface, line: { color: colour.muted, width: 1.5 } }), mode: "markers" },
    ],
    layout: {
      yaxis: valueAxis(data),
      xaxis: {
        type: "category", categoryorder: "array", categoryarray: labels, tickvals: ticks, ticktext: ticks.map((label) => label.slice(5)), showgrid: false,
      },
      shapes: marks(data, colour, "y"),
    },
  };
}

const LOW = 224;
const USUAL = 288;

function dots(data, colour, wide, least = USUAL) {
  const { rows, isShare } = data;
  const few = (row) => row.low === null;
  return {
    traces: [{
      type: "scatter", mode: "markers", x: rows.map((row) => row.value), y: rows.map((_, place) => place), error_x: interval(rows, colour.main),
      marker: {
        size: 10, color: rows.map((row) => (few(row) ? colour.surface : colour.main)),
        line: { width: 1.5, color: rows.map((row) => (few(row) ? colour.muted : colour.main)) },
      },
      text: rows.map((row) => `${plain(row.label)}: ${shown(row.value, isShare)}${spread(row, isShare)}, ${row.tasks} tasks`), hoverinfo: "text",
    }],
    layout: {
      height: Math.max(least, 64 + 28 * rows.length), xaxis: valueAxis(data),
      yaxis: {
        tickvals: rows.map((_, place) => place), ticktext: rows.map(({ names }) => (
          plain(names.map((name) => shorten(name, Math.floor((wide ? 36 : 18) / names.length))).join(" and "))
        )),
        range: [rows.length - 0.4, -0.6], showgrid: false, zeroline: false,
      },
      shapes: marks(data, colour, "x"),
    },
  };
}

const parts = (data, colour, wide) => (data.inTime ? overTime(data, colour) : dots(data, colour, wide));

function matrix({ names, values, tasks, isShare }, colour, wide) {
  const labels = names.map((name) => plain(shorten(name, wide ? 20 : 9)));
  const place = names.map((_, index) => index);
  const few = names.length <= (wide ? 14 : 6);
  return {
    traces: [{
      type: "heatmap", z: values, x: place, y: place, zmin: isShare ? 0 : Math.min(0, ...values.flat().filter((value) => value !== null)), zmax: 1,
      xgap: 2, ygap: 2, hoverongaps: false, textfont: { color: colour.text },
      colorscale: [[0, colour.sunken], [1, mix(colour.main, colour.surface, 0.45)]],
      colorbar: { tickformat: isShare ? ".0%" : ".1f", thickness: 10, outlinewidth: 0, len: 0.9 },
      text: values.map((row) => row.map((value) => (value === null || !few ? "" : isShare ? `${Math.round(100 * value)}` : value.toFixed(2)))),
      texttemplate: "%{text}",
      customdata: values.map((row, i) => row.map((value, j) => (
        value === null ? "" : `${plain(names[i])} and ${plain(names[j])}: ${shown(value, isShare)}, ${tasks[i][j]} tasks`
      ))),
      hovertemplate: "%{customdata}<extra></extra>",
    }],
    layout: {
      height: Math.max(300, 110 + 26 * names.length),
      xaxis: { tickvals: place, ticktext: labels, showgrid: false, zeroline: false, tickangle: names.length <= 5 ? 0 : wide ? -45 : -90 },
      yaxis: { tickvals: place, ticktext: labels, showgrid: false, zeroline: false, autorange: "reversed" },
    },
  };
}

const fields = (data, colour, wide) => dots(data, colour, wide, LOW);

drawAll({ parts, matrix, fields });
