// What a rehearsal found, beside the button that asked for it. Text goes in as text alone.

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

const number = (value, digits = 0) => value.toLocaleString("en-US", { maximumFractionDigits: digits });
const gigabytes = (bytes) => `${number(bytes / 1e9, bytes < 1e10 ? 1 : 0)} GB`;

export function inWords(seconds) {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`;
  return `${number(seconds / 3600, 1)} h`;
}

// The field of the form that a problem belongs to, by its name in the settings or in the body.
function fieldOf(form, name) {
  const known = name.replace("config.", "");
  return form.querySelector(`[id="set-${CSS.escape(known)}"], [name="${CSS.escape(known)}"]`);
}

export function showProblems(place, problems, form) {
  const notice = make("div", { class: "notice notice-bad stack-tight", "data-result": "" }, make("h3", {}, "It cannot run like this"));
  for (const [name, sentence] of problems) {
    const field = name ? fieldOf(form, name) : null;
    notice.append(make("p", {}, sentence));
    if (!field) continue;
    const go = make("button", { type: "button", class: "btn btn-small" }, `Go to ${form.querySelector(`label[for="${field.id}"]`)?.textContent.trim() ?? name}`);
    go.addEventListener("click", () => {
      field.closest("details")?.setAttribute("open", "");
      field.focus();
      field.scrollIntoView({ block: "center" });
    });
    notice.append(make("div", { class: "row" }, go));
  }
  place.replaceChildren(notice);
}

const late = ({ created_at: since }) => Date.now() - Date.parse(since) > 20_000; // ms

function waiting(check) {
  const words = check.activity ?? (check.state === "queued"
    ? check.ahead ? `It waits for ${check.ahead} other ${check.ahead === 1 ? "check" : "checks"}`
      : late(check) ? "No worker has taken it yet: is one running?" : "It waits for a worker"
    : "Loading the model and the data");
  return make("div", { class: "stack-tight", "data-result": "" },
    make("p", { class: "muted" }, `${words} …`), make("progress", { "aria-label": "The check is under way" }));
}

function times({ making, loading, preparing, update, evaluation, total }) {
  const parts = [["making the new model", making], ["loading", loading], ["reading all rows first", preparing], ["one evaluation", evaluation]]
    .filter(([, seconds]) => seconds >= 1).map(([what, seconds]) => `${what} ${inWords(seconds)}`);
  const pace = update < 1 ? `${number(1 / update, 1)} steps a second` : `${number(update, 1)} s a step`;
  return [`about ${inWords(total)}`, [pace, ...parts].join(", ")];
}

function memory({ device, peak, total }) {
  const share = peak / total;
  const meter = make("meter", { min: 0, max: 1, low: 0.7, high: 0.9, optimum: 0, value: Math.min(1, share), "aria-label": "Share of the memory" });
  const where = device === "cuda" ? "the GPU" : "the worker’s machine";
  return [meter, ` ${gigabytes(peak)} of ${gigabytes(total)} of ${where}`];
}

function leftOut(data) {
  const rows = data?.train?.rows;
  return rows === undefined ? [] : [make("dt", {}, "Rows"), make("dd", {}, `${number(rows)} to train on, ${number(data.test?.rows ?? 0)} to test with`)];
}

function result({ report }) {
  const [time, detail] = times(report.seconds);
  const facts = make("dl", { class: "facts" },
    make("dt", {}, "Time"), make("dd", {}, make("strong", {}, time), make("span", { class: "small muted block" }, detail)),
    make("dt", {}, "Memory"), make("dd", {}, ...memory(report.memory)),
    make("dt", {}, "Steps"), make("dd", {}, `${number(report.steps)} (${number(report.steps_per_epoch, 1)} in a pass over the data)`),
    make("dt", {}, "Tokens"), make("dd", {}, number(report.tokens)), ...leftOut(report.data));
  const found = make("div", { class: "notice notice-good stack-tight", "data-result": "" }, make("h3", {}, "It can run"), facts);
  const notes = [...(report.notes ?? [])];
  if (report.memory.peak > 0.9 * report.memory.total) notes.unshift("It takes nearly all the memory there is: a longer row than those seen may be too much. Lower max_tokens_per_forward.");
  if (report.beside) notes.push("Another model was at work on the same machine, so it will be faster alone.");
  if (notes.length) found.append(make("h4", {}, "Good to know"), make("ul", { class: "small" }, ...notes.map((note) => make("li", {}, note))));
  found.append(make("p", { class: "stale small" }, "The form has changed since; check again to be sure."));
  return found;
}

export function showCheck(place, check, form) {
  if (check.state === "failed") showProblems(place, [[check.field ?? "", check.error]], form);
  else if (check.state === "cancelled") place.replaceChildren(make("p", { class: "muted", "data-result": "" }, "Given up for a newer check."));
  else if (check.state === "succeeded") place.replaceChildren(result(check));
  else if (!place.querySelector("progress") || place.querySelector("p").textContent !== waiting(check).querySelector("p").textContent) place.replaceChildren(waiting(check));
}
