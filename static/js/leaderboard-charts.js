// The charts of the leaderboard: scores with intervals, and who beats whom.

import { drawAll, mix, plain, shorten } from "./charts.js";

function scores(rows, colour, wide) {
  const place = rows.map((_, index) => index);
  const bounds = rows.flatMap((row) => [row.low ?? row.value, row.high ?? row.value]);
  const room = Math.max(10, 0.06 * (Math.max(...bounds) - Math.min(...bounds)));
  const said = (row) => (row.low === null ? "no interval" : `${Math.round(row.low)} to ${Math.round(row.high)}`);
  return {
    traces: [{
      type: "scatter", mode: "markers", x: rows.map((row) => row.value), y: place, marker: { color: colour.main, size: 10 },
      error_x: {
        type: "data", symmetric: false, color: colour.muted, thickness: 2, width: 0,
        array: rows.map((row) => (row.high === null ? 0 : row.high - row.value)),
        arrayminus: rows.map((row) => (row.low === null ? 0 : row.value - row.low)),
      },
      text: rows.map((row) => `${plain(row.source)}: ${Math.round(row.value)} (${said(row)}), rank ${row.rank.join(" to ")}`),
      hoverinfo: "text",
    }],
    layout: {
      height: Math.max(288, 70 + 30 * rows.length),
      xaxis: { range: [Math.min(...bounds) - room, Math.max(...bounds) + room], tickformat: ",d" },
      yaxis: {
        tickvals: place, ticktext: rows.map((row) => plain(shorten(row.source, wide ? 30 : 14))),
        range: [rows.length - 0.3, -0.7], showgrid: false, zeroline: false,
      },
      shapes: [{ type: "line", yref: "paper", y0: 0, y1: 1, x0: 1000, x1: 1000, line: { color: colour.strong, dash: "dot", width: 1 } }],
    },
  };
}

function wins({ sources, share, n }, colour, wide) {
  const labels = sources.map((name) => plain(shorten(name, wide ? 20 : 9)));
  const place = sources.map((_, index) => index);
  const few = sources.length <= (wide ? 14 : 5);
  return {
    traces: [{
      type: "heatmap", z: share, x: place, y: place, zmin: 0, zmax: 1, xgap: 2, ygap: 2, hoverongaps: false,
      colorscale: [
        [0, mix(colour.bad, colour.surface, 0.45)], [0.5, colour.sunken], [1, mix(colour.main, colour.surface, 0.45)],
      ],
      textfont: { color: colour.text },
      colorbar: { tickformat: ".0%", thickness: 10, outlinewidth: 0, len: 0.9 },
      text: share.map((row) => row.map((value) => (value === null || !few ? "" : `${Math.round(100 * value)}`))), texttemplate: "%{text}",
      customdata: share.map((row, i) => row.map((_, j) => `${plain(sources[i])} against ${plain(sources[j])}: ${n[i][j]} comparisons`)),
      hovertemplate: "%{customdata}, %{z:.0%} won<extra></extra>",
    }],
    layout: {
      height: Math.max(300, 120 + 28 * sources.length),
      xaxis: { tickvals: place, ticktext: labels, showgrid: false, zeroline: false, tickangle: sources.length > 4 ? -45 : 0 },
      yaxis: { tickvals: place, ticktext: labels, showgrid: false, zeroline: false, autorange: "reversed" },
    },
  };
}

drawAll({ scores, wins });
