// One handler for the whole page, so that no key depends on where the focus is.

import { digitOf, namesOf } from "./annotate-keymap.js";

const isText = (element) => element.matches?.('textarea, select, [contenteditable], input:not([type="radio"], [type="checkbox"])');
const isPressable = (element) => element.matches?.("button, a[href], summary, dialog *");
const scrolls = (element) => element.matches?.('[tabindex="0"]:not(.response)') && (element.scrollHeight > element.clientHeight || element.scrollWidth > element.clientWidth);

const MOVES = {
  preferA: (page) => page.choose(() => page.form.prefer("A")),
  preferB: (page) => page.choose(() => page.form.prefer("B")),
  tie: (page) => page.choose(() => page.form.tie()),
  left: (page) => page.form.along(-1),
  right: (page) => page.form.along(1),
  up: (page) => page.form.focusBy(-1),
  down: (page) => page.form.focusBy(1),
  moveUp: (page) => page.moveFocused(-1),
  moveDown: (page) => page.moveFocused(1),
  rate: (page) => page.openRating(),
  why: (page) => page.openRationale(),
  rewrite: (page) => page.openRewrite(),
  flag: (page) => page.openFlags(),
  skip: (page) => page.openSkip(),
  undo: (page) => page.undo(),
  guidelines: (page) => page.openGuidelines(),
  rest: (page) => page.pause.takeBreak(),
  help: (page) => page.openHelp(),
};

export function listenToKeys(page) {
  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.defaultPrevented) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && isText(event.target) && !event.target.closest("dialog")) {
      event.preventDefault();
      page.enter(); // in the note about a skip it skips
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.getModifierState("AltGraph")) return;
    if (event.key === "Escape") {
      page.leave(event);
      return;
    }
    if (document.querySelector("dialog[open]")) return;
    if (event.key === "Enter" && event.target.matches?.(".rating-number")) {
      event.preventDefault(); // a number is filled in; the task is not handed in yet
      page.form.focusNextRating(event.target);
      return;
    }
    if (isText(event.target)) return;
    if (!page.isReady) {
      // The next task is not painted yet: nothing typed now may land on it. What is beside it can be pressed.
      if (isPressable(event.target) && !event.target.closest("[data-work]")) return;
      if (event.key.length === 1 || event.key === "Enter") event.preventDefault();
      return;
    }
    if (event.key === "Enter") {
      if (isPressable(event.target)) return;
      event.preventDefault();
      if (!event.repeat) page.enter();
      return;
    }
    if (page.keymap.isOn && press(page, event)) event.preventDefault();
  });
}

// Whether the key meant something.
function press(page, event) {
  const { form } = page;
  const digit = digitOf(event);
  const isArrow = event.key.startsWith("Arrow");
  if (page.skipPanel) {
    if (digit) page.chooseReason(digit);
    return Boolean(digit);
  }
  // Radio buttons and boxes that scroll have the arrows for themselves.
  if (isArrow && !event.shiftKey && (event.target.type === "radio" || scrolls(event.target))) return false;
  const rating = event.target.closest?.(".rating");
  if (rating && event.key === "Backspace") return form.unrate(rating);
  if (rating && digit !== null) return event.repeat || form.rate(rating, digit);
  if (!form.isPair && event.key === "Backspace" && form.focused()) {
    form.unplace(form.focused());
    return true;
  }
  if (!form.isPair && digit !== null) return event.repeat || placed(form, digit);
  const names = namesOf(event);
  const label = form.labels.find((each) => names.includes(`Shift+${each.toLowerCase()}`));
  if (label) {
    form.focus(label);
    return true;
  }
  const action = page.keymap.actionOf(event, form.isPair ? "pair" : "ranking");
  if (!action) return false;
  if (event.repeat && !action.repeats) return true;
  if (action.on === "reading") page.reading.toggle(action.id);
  else MOVES[action.id](page);
  return true;
}

function placed(form, digit) {
  const place = digit === 0 ? 10 : digit;
  if (place > form.size) return true;
  const target = form.focused() ?? form.labels.find((each) => !form.place(each)) ?? form.labels[0];
  form.put(target, place);
  form.focusNextOpen(target);
  return true;
}
