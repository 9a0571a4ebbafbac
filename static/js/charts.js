// Charts: Plotly in our colours, light and dark, from the JSON beside each chart.

const wide = matchMedia("(min-width: 640px)");
const dark = matchMedia("(prefers-color-scheme: dark)");

export function colours() {
  const style = getComputedStyle(document.documentElement);
  const value = (name) => style.getPropertyValue(name).trim();
  return {
    text: value("--text"), muted: value("--muted"), line: value("--line"), strong: value("--line-strong"),
    surface: value("--surface"), sunken: value("--sunken"), main: value("--info"), accent: value("--accent"),
    good: value("--good"), goodSoft: value("--good-soft"), warn: value("--warn"), bad: value("--bad"),
  };
}

// A colour of the style sheet (#rrggbb) with another mixed in.
export function mix(one, other, share) {
  const parts = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  const [a, b] = [parts(one), parts(other)];
  return `rgb(${a.map((value, index) => Math.round(value + share * (b[index] - value))).join(", ")})`;
}

// Plotly reads a little HTML in labels; what people typed is text.
export const plain = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

export const shorten = (text, most = 22) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

function baseLayout(colour) {
  const axis = {
    gridcolor: colour.line, linecolor: colour.strong, zerolinecolor: colour.line, tickcolor: colour.line,
    automargin: true, fixedrange: true,
  };
  return {
    paper_bgcolor: "transparent", plot_bgcolor: "transparent", showlegend: false, dragmode: false,
    font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: colour.muted },
    margin: { l: 44, r: 12, t: 8, b: 36 },
    hoverlabel: { bgcolor: colour.surface, bordercolor: colour.strong, font: { color: colour.text } },
    xaxis: axis, yaxis: axis,
  };
}

export function draw(element, traces, layout, colour = colours()) {
  const base = baseLayout(colour);
  const merged = {
    ...base, ...layout, margin: { ...base.margin, ...layout.margin },
    xaxis: { ...base.xaxis, ...layout.xaxis }, yaxis: { ...base.yaxis, ...layout.yaxis },
  };
  return globalThis.Plotly.react(element, traces, merged, { displayModeBar: false, responsive: true });
}

// `kinds`: name → (data, colours, wide) => ({ traces, layout, height? }); drawn now and whenever the look changes.
export function drawAll(kinds, root = document) {
  const charts = [...root.querySelectorAll("[data-chart]")].filter((element) => kinds[element.dataset.chart]);
  const data = Object.fromEntries(
    [...root.querySelectorAll("script[data-chart-data]")].map((block) => [block.dataset.chartData, JSON.parse(block.textContent)]),
  );
  const redraw = () => {
    const colour = colours();
    for (const element of charts) {
      const { traces, layout } = kinds[element.dataset.chart](data[element.dataset.chart], colour, wide.matches);
      draw(element, traces, layout, colour);
    }
  };
  if (!globalThis.Plotly) {
    for (const element of charts) element.textContent = "The chart could not be drawn; the numbers are below.";
    return;
  }
  redraw();
  dark.addEventListener("change", redraw);
  wide.addEventListener("change", redraw);
}
