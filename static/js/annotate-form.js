// What the form says, and the moves that keys and buttons make on it.

import { Strip } from "./annotate-strip.js";

export class TaskForm {
  constructor(form) {
    this.form = form;
    this.id = form.dataset.assignment;
    this.size = Number(form.dataset.size);
    this.isPair = this.size === 2;
    this.allowsTies = form.dataset.ties === "yes";
    this.isChange = form.dataset.state === "submitted";
    // Found once: with a book on the screen, a search through the form takes longer than a key may.
    this.cards = new Map([...form.querySelectorAll(".response")].map((card) => [card.dataset.label, card]));
    this.labels = [...this.cards.keys()];
    this.inputs = new Map(this.labels.map((label) => [label, this.named(`rank_${label}`)]));
    this.scale = this.named("choice");
    this.rated = [...form.querySelectorAll(".rating")];
    this.ratedButton = form.querySelector("[data-rated]");
    this.summary = form.querySelector("[data-summary]");
    form.querySelectorAll(".movers").forEach((movers) => (movers.hidden = false));
    this.strip = this.isPair ? null : new Strip(this);
    this.summary.classList.toggle("visually-hidden", !this.isPair);
  }

  named(name) {
    return [...this.form.querySelectorAll(`input[name="${name}"]`)];
  }

  get key() {
    return this.form.elements.key.value;
  }

  card(label) {
    return this.cards.get(label);
  }

  // The groups of labels, best first; with `partly`, also while some have no place yet.
  ranking(partly = false) {
    if (this.isPair) {
      const choice = this.choice();
      if (!choice) return null;
      if (choice === "T") return [["A", "B"]];
      return choice[0] === "A" ? [["A"], ["B"]] : [["B"], ["A"]];
    }
    const places = new Map();
    for (const label of this.labels) {
      const place = this.place(label);
      if (place) places.set(place, [...(places.get(place) ?? []), label]);
      else if (!partly) return null;
    }
    const groups = [...places.keys()].sort((a, b) => a - b).map((place) => places.get(place));
    return groups.length ? groups : null;
  }

  // As a draft keeps it: a group for each place, else the only one placed so far would come back first.
  drafted() {
    if (this.isPair || !this.ranking(true)) return this.ranking();
    return Array.from({ length: this.size }, (_, at) => this.labels.filter((label) => this.place(label) === at + 1));
  }

  body(partly = false) {
    const body = {};
    const ranking = partly ? this.drafted() : this.ranking();
    if (ranking) body.ranking = ranking;
    const strength = this.isPair ? Number(this.choice()?.slice(1) ?? 0) : 0;
    if (strength) body.strength = strength;
    const fields = new FormData(this.form);
    for (const name of ["rationale", "rewrite"]) {
      if (fields.get(name)?.trim()) body[name] = fields.get(name);
    }
    for (const [name, value] of fields) {
      const [kind, label, ...rest] = name.split("_");
      if (kind === "flag") ((body.flags ??= {})[label] ??= []).push(value);
      // Half a number is no rating yet; a draft with it would be refused, and all else in it not kept.
      if (kind === "rating" && value && Number.isInteger(Number(value))) ((body.ratings ??= {})[rest.join("_")] ??= {})[label] = Number(value);
    }
    const revision = Number(fields.get("revision"));
    if (revision && !partly) body.revision = revision;
    return body;
  }

  missing() {
    const ranking = this.ranking();
    const tied = this.allowsTies ? null : ranking?.find((group) => group.length > 1);
    if (tied) return `This project has no ties. Decide which of ${tied.join(", ")} is better.`;
    if (ranking) return "";
    if (this.isPair) return "Choose the better response first.";
    const open = this.labels.filter((label) => !this.place(label));
    return `Give ${open.join(", ")} a place first.`;
  }

  // -- a pair: one scale from A to B

  steps() {
    return this.scale;
  }

  choice() {
    return this.steps().find((step) => step.checked)?.value ?? null;
  }

  check(input) {
    if (!input || input.checked) return;
    input.checked = true;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  }

  prefer(label) {
    const hers = this.steps().filter((step) => step.value[0] === label);
    if (label === "A") hers.reverse(); // weakest first
    const at = hers.findIndex((step) => step.checked);
    this.check(hers[(at + 1) % hers.length]);
  }

  tie() {
    this.check(this.steps().find((step) => step.value === "T"));
  }

  along(direction) {
    const steps = this.steps();
    const at = steps.findIndex((step) => step.checked);
    if (at < 0) this.prefer(direction < 0 ? "A" : "B");
    else this.check(steps[at + direction]);
  }

  // -- several responses: a place each, the same place is a tie

  places(label) {
    return this.inputs.get(label);
  }

  place(label) {
    return Number(this.places(label).find((input) => input.checked)?.value ?? 0);
  }

  put(label, place) {
    this.check(this.places(label)[place - 1]);
  }

  unplace(label) {
    const given = this.places(label).find((input) => input.checked);
    if (!given) return;
    given.checked = false;
    given.dispatchEvent(new Event("change", { bubbles: true }));
  }

  focused() {
    return document.activeElement?.closest?.(".response")?.dataset.label ?? null;
  }

  focus(label) {
    this.card(label)?.focus();
  }

  focusBy(step) {
    const at = this.labels.indexOf(this.focused());
    const to = at < 0 ? (step > 0 ? 0 : this.labels.length - 1) : at + step;
    if (this.labels[to]) this.focus(this.labels[to]);
  }

  // After a digit: on to the next response that has no place.
  focusNextOpen(label) {
    const at = this.labels.indexOf(label);
    const order = [...this.labels.slice(at + 1), ...this.labels.slice(0, at)];
    const open = order.find((other) => !this.place(other));
    if (open) this.focus(open);
  }

  // One place up (−1) or down; whoever stands there takes the place left. Without places yet, the
  // order on the screen is where the moves start from.
  move(label, step) {
    let free = 1;
    for (const other of this.labels) {
      if (this.place(other)) continue;
      while (this.labels.some((each) => this.place(each) === free)) free += 1;
      this.put(other, free);
    }
    const from = this.place(label);
    const to = from + step;
    if (to < 1 || to > this.size) return;
    const there = this.labels.filter((other) => other !== label && this.place(other) === to);
    this.put(label, to);
    there.forEach((other) => this.put(other, from));
  }

  // All of them in a new order: groups of labels, best first.
  arrange(groups) {
    let place = 1;
    for (const group of groups) {
      for (const label of group) this.places(label)[place - 1].checked = true;
      place += group.length;
    }
    this.form.dispatchEvent(new Event("change", { bubbles: true }));
  }

  // -- ratings: they are optional, and digits give one while it has the focus

  ratings() {
    return this.rated;
  }

  isRated(rating) {
    return Boolean(rating.querySelector("input:checked, .rating-number")?.value);
  }

  focusRating(rating = this.ratings().find((each) => !this.isRated(each)) ?? this.ratings()[0]) {
    (rating?.querySelector("input:checked") ?? rating?.querySelector("input"))?.focus();
    return Boolean(rating);
  }

  focusNextRating(from) {
    const all = this.ratings();
    const next = all[all.indexOf(from.closest(".rating")) + 1];
    if (next) this.focusRating(next);
    else from.blur();
  }

  rate(rating, digit) {
    const value = rating.querySelector(`input[value="${digit || 10}"]`) ?? rating.querySelector(`input[value="${digit}"]`);
    if (value?.type !== "radio") return true;
    this.check(value);
    const next = this.ratings()[this.ratings().indexOf(rating) + 1];
    if (next) this.focusRating(next);
    else value.focus();
    return true;
  }

  unrate(rating) {
    const given = rating.querySelector("input:checked");
    if (given) {
      given.checked = false;
      given.focus();
      given.dispatchEvent(new Event("change", { bubbles: true }));
    }
    return true;
  }

  // How many are given, and where the first missing one is.
  showRatings() {
    const button = this.ratedButton;
    const all = this.ratings();
    if (!button || !all.length) return;
    const given = all.filter((rating) => this.isRated(rating)).length;
    button.hidden = false;
    button.classList.toggle("is-complete", given === all.length);
    button.querySelector("span").textContent = given === all.length ? "All rated" : `${given} of ${all.length} rated`;
  }

  // -- what the choice looks like

  show() {
    const ranking = this.ranking(true) ?? [];
    const best = ranking[0] ?? [];
    const isDone = Boolean(this.ranking());
    const isTie = isDone && ranking.length === 1;
    for (const label of this.labels) {
      const card = this.card(label);
      const isBest = isDone && !isTie && best.includes(label);
      card.classList.toggle("is-better", isBest);
      card.classList.toggle("is-tied", isTie);
      card.classList.toggle("is-worse", isDone && !isTie && !isBest && this.isPair);
      if (this.isPair) card.querySelector(".verdict").textContent = isBest ? this.words(ranking).slice(5) : "";
    }
    this.strip?.draw();
    this.showRatings();
    const { summary } = this;
    summary.classList.toggle("is-decided", isDone);
    const text = this.words(ranking);
    if (text && summary.textContent !== text) summary.textContent = text;
  }

  words(ranking) {
    if (this.isPair) {
      const step = this.steps().find((each) => each.checked);
      return step?.closest("label").querySelector(".visually-hidden").textContent.trim() ?? "";
    }
    const order = ranking.map((group) => group.join(" = ")).join("  >  ");
    const open = this.labels.filter((label) => !this.place(label));
    if (!order) return "";
    return open.length ? `${order}  ·  still without a place: ${open.join(", ")}` : order;
  }
}
