// How the texts are shown: columns or one below the other, equal heights, scrolled together, letters
// of one width, as written, compared. The browser remembers these choices and never a text.

import { call } from "./annotate-session.js";
import { fragmentOf } from "./annotate-html.js";
import { place, scrollTo } from "./annotate-scroll.js";

const STORE = "touchstone.reading";
const KEPT = ["stacked", "all", "together", "mono"];
const SAID = {
  stacked: ["Side by side.", "One below the other."],
  all: ["Long responses have the same height and scroll.", "Every response is shown in full."],
  together: ["Each response scrolls for itself.", "Responses scroll together."],
  mono: ["The usual letters.", "Letters of one width."],
  source: ["Texts as they are meant to look.", "Texts as they were written, character for character."],
  difference: ["Differences are no longer marked.", ""],
  prompt: ["The prompt is unfolded.", "The prompt is folded."],
};
const SAID_FOR = 6_000; // ms
const LEAST_HEIGHT = 240; // px of text in a box that scrolls; with less room nothing is cut

const find = (selector, root = document) => root.querySelector(selector);

function remembered() {
  try {
    return JSON.parse(localStorage.getItem(STORE) ?? "{}");
  } catch {
    return {};
  }
}

export class Reading {
  constructor(work, { changed }) {
    this.work = work;
    this.changed = changed; // sizes are others
    const kept = remembered();
    this.is = Object.fromEntries(KEPT.map((name) => [name, kept[name] === true]));
    this.menu = find(".reading");
    this.menu.hidden = false;
    this.menu.addEventListener("change", (event) => this.toggle(event.target.value));
    work.addEventListener("click", (event) => {
      const button = event.target.closest("[data-reading]");
      if (button) this.toggle(button.dataset.reading);
    });
    work.addEventListener("scroll", (event) => this.scrolled(event.target), { capture: true, passive: true });
  }

  begin(form) {
    this.restore(); // a task that makes way may come back
    this.form = form;
    Object.assign(this.is, { source: false, difference: false, prompt: false });
    this.texts = [...form.form.querySelectorAll(".response-text")];
    this.show();
  }

  label(text) {
    return text.closest(".response").dataset.label;
  }

  toggle(name) {
    const isOn = !this.is[name];
    this.is[name] = isOn;
    if (name === "together" && isOn) this.is.all = this.is.stacked = false;
    if (name === "stacked" && isOn) this.is.together = false;
    if (name === "source" || name === "difference") {
      this.is[name === "source" ? "difference" : "source"] = false;
      this.view();
    }
    try {
      localStorage.setItem(STORE, JSON.stringify(Object.fromEntries(KEPT.map((each) => [each, this.is[each]]))));
    } catch {
      // without storage they hold as long as the page
    }
    this.say(SAID[name][Number(isOn)]);
    this.show();
    if (name === "together" && isOn && !this.isCut) this.say("Responses scroll together as soon as they are longer than the window.");
  }

  // Shown for a moment; a screen reader says it.
  say(text) {
    const said = find("[data-said]");
    said.textContent = text;
    clearTimeout(this.hush);
    this.hush = setTimeout(() => (said.textContent = ""), SAID_FOR);
  }

  show() {
    for (const name of ["stacked", "mono"]) this.work.classList.toggle(`is-${name}`, this.is[name]);
    for (const box of this.menu.querySelectorAll("input")) box.checked = Boolean(this.is[box.value]);
    const on = this.menu.querySelectorAll("input:checked").length;
    find("[data-reading-count]", this.menu).textContent = on ? ` (${on})` : "";
    this.fit();
    this.changed();
  }

  // Every text of the same height, where one is longer than the window has room for.
  fit() {
    if (!this.form) return;
    const prompt = find(".prompt", this.work);
    const body = find(".prompt-text", prompt);
    prompt.classList.toggle("is-folded", this.is.prompt);
    const fold = find('[data-reading="prompt"]', prompt);
    fold.hidden = !this.is.prompt && body.scrollHeight <= 130;
    fold.setAttribute("aria-expanded", String(!this.is.prompt));
    find("span", fold).textContent = this.is.prompt ? "Unfold" : "Fold";
    const isWide = innerWidth > 900 && !this.is.stacked;
    const around = prompt.offsetHeight + find(".decision", this.work).offsetHeight + 150;
    const room = innerHeight - around;
    const isLong = isWide && room >= LEAST_HEIGHT && this.texts.some((text) => text.scrollHeight > room * 1.15);
    this.isCut = isLong && !this.is.all;
    this.work.style.setProperty("--text-height", `${room}px`);
    this.work.classList.toggle("is-cut", this.isCut);
    const all = find(".show-all", this.work);
    all.hidden = !isLong;
    find("span", all).textContent = this.isCut ? "Show all of every response" : "Give every response the same height";
    for (const text of this.texts) {
      // What scrolls must do so by keys, and is named for those who cannot see where they are.
      const isScroller = this.isCut && text.scrollHeight > text.clientHeight + 1;
      for (const [name, value] of [["tabindex", "0"], ["role", "group"], ["aria-label", `Text of response ${this.label(text)}`]]) {
        if (isScroller) text.setAttribute(name, value);
        else text.removeAttribute(name);
      }
    }
  }

  scrolled(text) {
    if (!this.is.together || !this.isCut || !this.texts.includes(text)) return;
    if (Math.abs((this.driven?.get(text) ?? -9) - text.scrollTop) < 2) return; // we did that
    const at = place(text);
    this.driven = new Map();
    for (const other of this.texts) if (other !== text) this.driven.set(other, scrollTo(other, at));
  }

  // -- as written, or compared

  async view() {
    const { form } = this;
    const kind = this.is.source ? "source" : this.is.difference ? "difference" : "";
    if (!kind) {
      this.restore();
      return;
    }
    const against = form.isPair ? "A" : (form.focused() ?? "A");
    const query = kind === "difference" ? `?against=${against}` : "";
    try {
      const { data } = await call("GET", `/api/v1/assignments/${form.id}/${kind}${query}`);
      if (form !== this.form || !this.is[kind]) return;
      this.restore();
      this.put(data, kind);
    } catch (problem) {
      this.is[kind] = false;
      this.say(problem.message);
      this.show();
    }
  }

  put(data, kind) {
    const shown = [...this.texts.map((text) => [text, data.responses[this.label(text)]])];
    if (data.prompt) [...this.work.querySelectorAll(".prompt .prose")].forEach((text, at) => shown.push([text, data.prompt[at]]));
    this.originals = new Map();
    for (const [text, html] of shown) {
      if (html === undefined) continue;
      this.originals.set(text, [...text.childNodes]);
      const written = document.createElement("div");
      written.className = kind === "source" ? "as-written" : "as-written as-compared";
      written.dir = "auto";
      written.append(fragmentOf(html));
      text.replaceChildren(written);
    }
    if (kind === "difference") {
      this.note = document.createElement("p");
      this.note.className = "view-note";
      this.note.textContent = this.legend(data);
      find(".responses", this.work).before(this.note);
      this.say(this.note.textContent);
    }
    this.fit();
  }

  legend({ against, unit, responses }) {
    const isSame = !Object.values(responses).some((html) => /<(ins|del)>/.test(html));
    if (isSame) return "The texts have the same words.";
    const words = unit === "word" ? "words" : "lines (the texts are long)";
    if (this.form.isPair) return `Underlined ${words} stand in that response only.`;
    return `Compared with ${against}: underlined ${words} stand in that response only, struck ones in ${against} only.`;
  }

  restore() {
    for (const [text, nodes] of this.originals ?? []) text.replaceChildren(...nodes);
    this.originals = null;
    this.note?.remove();
    this.fit();
  }
}
