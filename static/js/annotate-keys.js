// One handler for the whole page, so that no key depends on where the focus is.

const STORE = "touchstone.shortcuts";

export function shortcutsAreOn() {
  try {
    return localStorage.getItem(STORE) !== "off";
  } catch {
    return true;
  }
}

export function switchShortcuts(isOn) {
  try {
    localStorage.setItem(STORE, isOn ? "on" : "off");
  } catch {
    // without storage they stay on
  }
}

const isText = (element) => element.matches?.('textarea, select, [contenteditable], input:not([type="radio"], [type="checkbox"])');
const isPressable = (element) => element.matches?.("button, a[href], summary, dialog *");

// The digit of a key, also on keyboards whose top row has other signs.
function digitOf(event) {
  if (/^[0-9]$/.test(event.key)) return Number(event.key);
  const code = /^(?:Digit|Numpad)([0-9])$/.exec(event.code);
  return code && !event.shiftKey ? Number(code[1]) : null;
}

export function listenToKeys(page) {
  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.defaultPrevented) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && isText(event.target)) {
      event.preventDefault();
      page.submit();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      page.leave(event);
      return;
    }
    if (isText(event.target) || document.querySelector("dialog[open]")) return;
    if (!page.isReady) {
      // The next task is not painted yet: nothing typed now may land on it.
      if (event.key.length === 1 || event.key === "Enter") event.preventDefault();
      return;
    }
    if (event.key === "Enter") {
      if (isPressable(event.target)) return;
      event.preventDefault();
      if (!event.repeat) page.enter();
      return;
    }
    if (shortcutsAreOn() && press(page, event)) event.preventDefault();
  });
}

// Whether the key meant something.
function press(page, event) {
  const { form } = page;
  const digit = digitOf(event);
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (page.skipPanel) {
    if (digit) page.chooseReason(digit);
    return Boolean(digit);
  }
  const common = { s: "openSkip", u: "undo", r: "openRationale", f: "openFlags", "?": "openHelp", h: "openHelp", g: "openGuidelines", p: "takeBreak" };
  if (common[key] && !(event.repeat && key !== "f")) {
    page[common[key]]();
    return true;
  }
  return form.isPair ? pressPair(form, key, digit, event) : pressRanking(form, key, digit, event);
}

function pressPair(form, key, digit, event) {
  if (event.repeat) return digit !== null;
  if (digit === 1 || key === "a") form.prefer("A");
  else if (digit === 2 || key === "b") form.prefer("B");
  else if (digit === 0 || key === "t") form.tie();
  else if (key === "ArrowLeft" || key === "ArrowRight") {
    if (event.target.type === "radio") return false; // radios walk by themselves
    form.along(key === "ArrowLeft" ? -1 : 1);
  } else return false;
  return true;
}

function pressRanking(form, key, digit, event) {
  const label = form.focused();
  const step = { ArrowUp: -1, ArrowDown: 1 }[key];
  if (step && event.target.type === "radio" && !event.shiftKey) return false;
  if (step && event.shiftKey) {
    if (label) form.move(label, step);
  } else if (step) form.focusBy(step);
  else if (digit !== null && !event.repeat) {
    const place = digit === 0 ? 10 : digit;
    const target = label ?? form.labels.find((each) => !form.place(each)) ?? form.labels[0];
    if (place > form.size) return true;
    form.put(target, place);
    form.focusNextOpen(target);
  } else if (form.labels.includes(key.toUpperCase())) form.focus(key.toUpperCase());
  else return false;
  return true;
}
