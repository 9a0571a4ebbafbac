// The tokens of an answer: how likely each was, to the model that wrote it and to the others.

import { api } from "./api.js";

// At least this probability, else the next.
const SHADES = [
  [0.5, "very likely"],
  [0.2, "likely"],
  [0.05, "unlikely"],
  [0.01, "surprising"],
  [0, "very surprising"],
];
const shadeOf = (logp) => SHADES.findIndex(([least]) => Math.exp(logp) >= least);
const percent = (logp) => {
  const p = 100 * Math.exp(logp);
  return p >= 0.1 ? `${p.toFixed(1)} %` : "below 0.1 %";
};
const visible = (text) => text.replaceAll("\n", "↵").replaceAll("\t", "⇥");
const ranked = (token) => (token.rank === null ? "not among the likeliest" : token.rank === 1 ? "the likeliest" : `rank ${token.rank}`);
const named = (token) => (token.end ? "the end" : `“${visible(token.text)}”`);

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

export async function showTokens(answer, button) {
  const box = answer.querySelector("[data-tokens]");
  const words = answer.querySelector("[data-words]");
  const isShown = button.getAttribute("aria-expanded") === "true";
  if (!isShown && !box.childElementCount) {
    button.disabled = true;
    try {
      fill(box, (await api("GET", box.dataset.tokens)).data.items);
    } catch (problem) {
      box.replaceChildren(make("p", "notice notice-bad", problem.message));
    }
    button.disabled = false;
  }
  box.hidden = isShown;
  if (words) words.hidden = !isShown;
  button.setAttribute("aria-expanded", String(!isShown));
  button.textContent = isShown ? "Tokens" : "Words";
}

function fill(box, views) {
  const details = make("div", "play-token-details small");
  details.setAttribute("role", "status");
  const text = make("div", "play-token-text");
  text.tabIndex = 0;
  text.dir = "auto";
  text.setAttribute("role", "group");
  text.setAttribute("aria-label", "Tokens. Move with the arrow keys.");
  const parts = [];
  if (views.length > 1) parts.push(chooser(views, (view) => paint(text, details, view)));
  else parts.push(make("p", "small muted", `As ${views[0].by} sees it`));
  box.replaceChildren(...parts, text, legend(), details);
  paint(text, details, views[0]);
}

function chooser(views, choose) {
  const row = make("div", "row row-tight play-views");
  row.setAttribute("role", "group");
  row.setAttribute("aria-label", "Whose view");
  const buttons = views.map((view, place) => {
    const name = view.is_writer ? `${view.by}, who wrote it` : view.by;
    const button = make("button", "btn btn-small", name);
    button.type = "button";
    button.setAttribute("aria-pressed", String(place === 0));
    button.addEventListener("click", () => {
      buttons.forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
      choose(view);
    });
    return button;
  });
  row.append(...buttons);
  return row;
}

function paint(text, details, view) {
  const spans = view.tokens.map((token) => {
    const span = make("span", `play-token shade-${shadeOf(token.logp)}`, token.end ? "■" : visible(token.text));
    if (token.text.includes("\n")) span.append(document.createElement("br"));
    span.title = `${percent(token.logp)}, ${ranked(token)}`;
    return span;
  });
  text.replaceChildren(...spans);
  let current = -1;
  const point = (place) => {
    if (place < 0 || place >= spans.length) return;
    spans[current]?.classList.remove("is-current");
    current = place;
    spans[place].classList.add("is-current");
    spans[place].scrollIntoView({ block: "nearest" });
    describe(details, view.tokens[place], place);
  };
  text.onkeydown = (event) => {
    const steps = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity };
    if (!(event.key in steps)) return;
    event.preventDefault();
    point(Math.max(0, Math.min(spans.length - 1, current + steps[event.key])));
  };
  text.onclick = text.onmouseover = (event) => point(spans.indexOf(event.target.closest(".play-token")));
  details.replaceChildren(make("p", "muted", "Point at a token, or move with the arrow keys, to see what else it could have been."));
}

function describe(details, token, place) {
  const head = make("p");
  head.append(
    make("strong", "", `${place + 1}: ${named(token)}`),
    ` ${percent(token.logp)}, log-probability ${token.logp.toFixed(2)}, ${ranked(token)}`,
  );
  const list = make("ol", "play-alternatives");
  for (const [text, logp] of token.top) {
    const item = make("li");
    item.append(make("span", "mono", visible(text) || "(nothing)"), " ", make("span", "muted", percent(logp)));
    list.append(item);
  }
  details.replaceChildren(head, list);
}

function legend() {
  const list = make("ul", "play-legend small");
  SHADES.forEach(([least, name], place) => {
    const item = make("li");
    const bound = place < SHADES.length - 1 ? `from ${100 * least} %` : "below 1 %";
    item.append(make("span", `play-token shade-${place}`, "abc"), ` ${name}, ${bound}`);
    list.append(item);
  });
  return list;
}
