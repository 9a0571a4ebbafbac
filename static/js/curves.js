// Curves of one run or of several: fetched in few points, kept fresh, smoothed and drawn in our colours.

import { api } from "./api.js";
import { colours, draw, plain } from "./charts.js";

const final = ["succeeded", "failed", "cancelled"];
const most = 6000; // points of a curve; beyond, it is read anew in few

// -- what is known of a run -------------------------------------------------------------------

export class Run {
  // `metrics`: names of all that the charts show; `points`: about how many of each curve.
  constructor({ source, name = "", metrics, points }) {
    Object.assign(this, { source, name, metrics, points, curves: new Map(), attempt: null, last: -1, sign: "", isFinal: false });
  }

  // Asks from the step before the last: an evaluation is logged after the step it belongs to.
  async fetchNew() {
    const after = this.isTooLong() ? -1 : Math.max(-1, this.last - 1);
    const query = new URLSearchParams([...this.metrics.map((name) => ["metric", name]), ["points", this.points], ["after_step", after]]);
    const { data } = await api("GET", `${this.source}?${query}`);
    const isOther = this.attempt !== null && data.attempt !== this.attempt;
    if (isOther && after >= 0) {
      Object.assign(this, { attempt: data.attempt, last: -1 });
      return this.fetchNew();
    }
    const sign = JSON.stringify([data.attempt, data.curves]);
    const isNew = sign !== this.sign;
    if (after < 0) this.curves = new Map();
    for (const [name, fresh] of Object.entries(data.curves)) append(this.curves, name, fresh, after);
    Object.assign(this, { attempt: data.attempt, last: data.last_step, sign, isFinal: final.includes(data.state) });
    return isNew;
  }

  isTooLong() {
    return [...this.curves.values()].some((curve) => curve.step.length > most);
  }
}

function append(curves, name, fresh, after) {
  const known = curves.get(name) ?? { step: [], value: [], meanStep: [], mean: [] };
  const cut = (steps, ...values) => {
    let length = steps.length;
    while (length && steps[length - 1] > after) length -= 1;
    for (const list of [steps, ...values]) list.length = length;
  };
  cut(known.step, known.value);
  cut(known.meanStep, known.mean);
  known.step.push(...fresh.step);
  known.value.push(...fresh.value);
  known.meanStep.push(...(fresh.mean_step ?? fresh.step));
  known.mean.push(...(fresh.mean ?? fresh.value));
  curves.set(name, known);
}

// -- smoothing and axes -----------------------------------------------------------------------

// TensorBoard's: an exponential moving average that starts at the first value instead of at 0.
export function smoothed(values, weight) {
  let [last, weights] = [0, 0];
  return values.map((value) => {
    last = last * weight + (1 - weight) * value;
    weights = weights * weight + (1 - weight);
    return last / weights;
  });
}

// The time at which a step was logged; between two that are known, in proportion.
export function clock(curve) {
  if (!curve?.step.length) return () => null;
  const { step: steps, value: times } = curve;
  return (step) => {
    let [low, high] = [0, steps.length - 1];
    if (step <= steps[low]) return times[low];
    if (step >= steps[high]) return times[high];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (steps[middle] <= step) low = middle;
      else high = middle;
    }
    const share = (step - steps[low]) / (steps[high] - steps[low]);
    return times[low] + share * (times[high] - times[low]);
  };
}

const units = [[5400, 3600, "hours"], [90, 60, "minutes"], [0, 1, "seconds"]];

// How steps become places on the axis, for all runs alike.
function axisOf(kind, runs) {
  if (kind === "step") return { of: () => (step) => step, title: "step", type: "linear" };
  const clocks = new Map(runs.map((run) => [run, clock(run.curves.get("time"))]));
  if (kind === "time") return { of: (run) => (step) => new Date(clocks.get(run)(step) * 1000), title: "", type: "date" };
  const spans = runs.map((run) => {
    const times = run.curves.get("time")?.value ?? [0];
    return times[times.length - 1] - times[0];
  });
  const [, unit, words] = units.find(([from]) => Math.max(0, ...spans) >= from);
  return {
    of: (run) => {
      const start = run.curves.get("time")?.value[0] ?? 0;
      return (step) => (clocks.get(run)(step) - start) / unit;
    },
    title: `${words} since its first step`, type: "linear",
  };
}

// -- drawing ----------------------------------------------------------------------------------

const dashes = ["solid", "dot", "dash"];

function traces(chart, runs, look, colour) {
  const axis = axisOf(look.axis, runs);
  const shades = [colour.main, colour.accent, colour.muted];
  return runs.flatMap((run) => chart.curves.flatMap(([metric, label], place) => {
    const curve = run.curves.get(metric);
    if (!curve?.step.length) return [];
    const at = axis.of(run);
    const one = runs.length === 1 && !run.colour;
    const shade = one ? shades[place % shades.length] : run.colour;
    const name = plain(one ? label : chart.curves.length > 1 ? `${run.name}, ${label}` : run.name);
    const sparse = metric.startsWith("eval_") || curve.step.length < 3;
    const smooths = look.smooth > 0 && curve.mean.length > 2;
    const raw = {
      type: "scatter", mode: sparse ? "lines+markers" : "lines", x: curve.step.map(at), y: curve.value, name,
      line: { color: shade, width: smooths ? 1 : 2, dash: one ? "solid" : dashes[place % dashes.length] }, marker: { size: 6, color: shade },
      hovertemplate: `step %{customdata}: %{y:${chart.percent ? ".1%" : ".4g"}}<br>${name}<extra></extra>`, customdata: curve.step,
    };
    if (!smooths) return [raw];
    const behind = { ...raw, mode: "lines", opacity: runs.length > 1 ? 0.16 : 0.3, hoverinfo: "skip", hovertemplate: undefined, showlegend: false };
    const smooth = { ...raw, mode: "lines", x: curve.meanStep.map(at), y: smoothed(curve.mean, look.smooth), customdata: curve.meanStep, line: { ...raw.line, width: 2 } };
    return look.isMoving ? [smooth] : [behind, smooth];
  }));
}

function layout(chart, look, runs, drawn, colour) {
  const dotted = { type: "line", xref: "paper", x0: 0, x1: 1, y0: chart.line, y1: chart.line, line: { color: colour.strong, dash: "dot", width: 1 } };
  const axis = axisOf(look.axis, runs);
  const isLog = look.scale === "log";
  const legend = runs.length === 1 && drawn.filter((trace) => trace.showlegend !== false).length > 1;
  const linear = chart.percent ? { tickformat: ".0%", ...(chart.whole ? { range: [0, 1.02] } : { rangemode: "tozero" }) } : {};
  return {
    showlegend: legend, legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" }, margin: { t: legend ? 34 : 8 },
    xaxis: { title: { text: axis.title, standoff: 6 }, type: axis.type, ...(axis.type === "linear" ? { rangemode: "tozero" } : { nticks: 5, tickangle: 0 }) },
    yaxis: isLog ? { type: "log", exponentformat: "power", ...(chart.percent ? { tickformat: ".3~%" } : {}) } : { type: "linear", ...linear },
    shapes: chart.line === null || (isLog && chart.line <= 0) ? [] : [dotted], hovermode: "closest",
  };
}

// Draws the chart of a place; whether there was anything to draw.
export function drawChart(place, chart, runs, look) {
  const colour = colours();
  const drawn = traces(chart, runs, look, colour);
  if (drawn.length) {
    place.classList.remove("chart-empty");
    draw(place, drawn, layout(chart, look, runs, drawn, colour), colour);
  } else if (!place.classList.contains("chart-empty")) {
    globalThis.Plotly.purge(place);
    place.classList.add("chart-empty");
  }
  return drawn.length > 0;
}

// -- how they are looked at: remembered in the address ----------------------------------------

const standard = { smooth: 0, scale: "linear", axis: "step" };

function readLook() {
  const query = new URLSearchParams(location.search);
  const smooth = Number(query.get("smooth") ?? 0);
  return {
    smooth: smooth >= 0 && smooth < 1 ? smooth : 0,
    scale: query.get("scale") === "log" ? "log" : "linear",
    axis: ["duration", "time"].includes(query.get("axis")) ? query.get("axis") : "step",
  };
}

function keep(look) {
  const address = new URL(location.href);
  for (const [name, usual] of Object.entries(standard)) {
    if (look[name] === usual) address.searchParams.delete(name);
    else address.searchParams.set(name, look[name]);
  }
  history.replaceState(history.state, "", address);
}

// Ties the controls of the page to a look, and says when it changes. While the slider moves
// (`look.isMoving`) what lies behind the smooth lines is left out, so that they follow the hand.
export function controls(root, changed) {
  const look = readLook();
  if (!root) return look;
  const [smooth, shown, log, axis] = ["[name=smooth]", "output", "[name=log]", "[name=axis]"].map((part) => root.querySelector(part));
  const show = () => { shown.textContent = look.smooth ? look.smooth.toFixed(2) : "off"; };
  smooth.value = look.smooth;
  log.checked = look.scale === "log";
  axis.value = look.axis;
  show();
  root.hidden = false;
  const take = (isMoving) => {
    Object.assign(look, { smooth: Number(smooth.value), scale: log.checked ? "log" : "linear", axis: axis.value, isMoving });
    show();
    changed();
  };
  smooth.addEventListener("input", () => take(true));
  root.addEventListener("change", () => {
    take(false);
    keep(look);
  });
  return look;
}

const idle = globalThis.requestIdleCallback ?? ((work) => setTimeout(work, 50));

// -- a page of charts -------------------------------------------------------------------------

// `drawOne(place)` is called soon after places may look different: those in sight first, the others
// one by one when there is nothing else to do.
export class Canvas {
  constructor(places, drawOne) {
    Object.assign(this, { places, drawOne, inSight: new Set(), stale: new Set(), isPlanned: false });
    const watch = new IntersectionObserver((seen) => {
      for (const { target, isIntersecting } of seen) this.inSight[isIntersecting ? "add" : "delete"](target);
      this.plan();
    }, { rootMargin: "200px" });
    for (const place of places) watch.observe(place);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.refresh());
  }

  refresh() {
    this.stale = new Set(this.places);
    this.plan();
  }

  plan() {
    if (this.isPlanned) return;
    this.isPlanned = true;
    requestAnimationFrame(() => {
      this.isPlanned = false;
      if (!globalThis.Plotly) return;
      const next = this.places.find((place) => this.inSight.has(place) && this.stale.has(place));
      if (!next) return void (this.stale.size && idle(() => this.drawAnother()));
      this.stale.delete(next);
      this.drawOne(next);
      this.plan(); // one in each frame, so that a slider follows the hand
    });
  }

  drawAnother() {
    const place = [...this.stale].find((each) => each.offsetWidth); // what is folded away waits
    if (!place) return;
    this.stale.delete(place);
    this.drawOne(place);
    idle(() => this.drawAnother());
  }
}

// Keeps runs fresh for as long as one of them may change.
export async function follow(runs, changed, every) {
  let pause = every;
  if (!document.hidden) {
    const live = runs.filter((run) => !run.isFinal);
    const news = await Promise.allSettled(live.map((run) => run.fetchNew()));
    if (news.some(({ value }) => value)) changed();
    if (live.every((run) => run.isFinal)) return;
    if (news.some(({ status }) => status === "rejected")) pause = 2 * every; // the server restarts, or the network is away
  }
  setTimeout(() => follow(runs, changed, every), pause);
}
