// What keys and buttons open on the ranking page, and where Esc leads back to.

import { showKeys } from "./annotate-keymap.js";

const work = document.querySelector("[data-work]");
const find = (selector, root = document) => root.querySelector(selector);

// Mixed into the page object: `this` is the page.
export const panels = {
  get skipPanel() {
    return find(".skip[open]", work);
  },
  enter() {
    if (this.skipPanel && !this.form.isChange) this.skip();
    else this.submit();
  },
  chooseReason(number) {
    this.form.check(work.querySelectorAll('input[name="reason"]')[number - 1]);
  },
  openSkip() {
    const panel = find(".skip", work);
    panel.open = true;
    find("input, a", panel)?.focus();
  },
  openRationale() {
    const panel = find(".rationale", work);
    panel.open = true;
    find("textarea", panel).focus();
  },
  openRewrite() {
    const panel = find(".rewrite", work);
    panel.open = true;
    find("textarea", panel).focus();
  },
  openFlags() {
    const label = this.form.focused() ?? this.form.labels[0];
    const panel = find(".flags", this.form.card(label));
    panel.open = true;
    find("input", panel).focus();
  },
  openRating() {
    if (!this.form.focusRating()) this.reading.say("This project asks for no ratings.");
  },
  openHelp() {
    find("#help-dialog").showModal();
  },
  openGuidelines() {
    find("#guidelines-dialog")?.showModal();
  },
  undo() {
    this.go(work.dataset.history);
  },
  moveFocused(step) {
    const label = this.form.focused();
    if (label) this.form.move(label, step);
  },
  leave(event) {
    const panel = this.skipPanel;
    const menu = find(".reading[open]");
    if (panel || menu) {
      (panel ?? menu).open = false;
      find("summary", panel ?? menu).focus();
    } else if (event.target !== document.body && !event.target.closest("dialog")) {
      (event.target.closest(".response[tabindex]") ?? work).focus({ preventScroll: true });
    }
  },

  // A choice of a pair by key or click; the answer already, for who has set it so.
  choose(act) {
    act();
    if (!this.keymap.atOnce || this.form.isChange || this.form.ratings().length) return;
    if (this.form.choice()) this.submit();
  },

  // -- the keys as they are shown

  showLegend() {
    showKeys(this.keymap);
    find("[data-legend]").hidden = !this.keymap.isOn;
    for (const part of document.querySelectorAll("[data-legend] [data-for]")) {
      part.hidden = (part.dataset.for === "pair") !== this.form.isPair;
    }
    for (const part of document.querySelectorAll("[data-legend] [data-rates]")) {
      part.hidden = !this.form.ratings().length;
    }
  },
};
