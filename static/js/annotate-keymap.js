// What can be done by a key, with its usual keys, and the keys a person has chosen instead.

import { call } from "./annotate-session.js";

// `on`: where it means something. Enter, Esc, digits as places or ratings, and Shift with a letter
// (go to that response) are fixed; everything else can be moved.
export const ACTIONS = [
  { id: "preferA", keys: ["1", "a"], on: "pair", says: "A is better; again: by more" },
  { id: "preferB", keys: ["2", "b"], on: "pair", says: "B is better; again: by more" },
  { id: "tie", keys: ["0", "t"], on: "pair", says: "They are equally good" },
  { id: "left", keys: ["ArrowLeft"], on: "pair", says: "One step towards A" },
  { id: "right", keys: ["ArrowRight"], on: "pair", says: "One step towards B" },
  { id: "up", keys: ["ArrowUp"], on: "ranking", says: "To the response before", repeats: true },
  { id: "down", keys: ["ArrowDown"], on: "ranking", says: "To the response after", repeats: true },
  { id: "moveUp", keys: ["Shift+ArrowUp"], on: "ranking", says: "Move it one place up", repeats: true },
  { id: "moveDown", keys: ["Shift+ArrowDown"], on: "ranking", says: "Move it one place down", repeats: true },
  { id: "rate", keys: ["c"], on: "both", says: "To the first rating that is missing" },
  { id: "why", keys: ["r"], on: "both", says: "Write why" },
  { id: "rewrite", keys: ["e", "w"], on: "both", says: "Write a better response" },
  { id: "flag", keys: ["f"], on: "both", says: "Flag a problem of a response" },
  { id: "skip", keys: ["s"], on: "both", says: "Skip, with a reason" },
  { id: "undo", keys: ["u"], on: "both", says: "Your last answers, to change them" },
  { id: "guidelines", keys: ["g"], on: "both", says: "Guidelines" },
  { id: "rest", keys: ["p"], on: "both", says: "Take a break: the clock stops" },
  { id: "help", keys: ["?", "h"], on: "both", says: "These keys" },
  { id: "difference", keys: ["d"], on: "reading", says: "Word differences" },
  { id: "source", keys: ["x"], on: "reading", says: "Texts as written" },
  { id: "all", keys: ["v"], on: "reading", says: "Show all of long responses" },
  { id: "together", keys: ["y"], on: "reading", says: "Scroll responses together" },
  { id: "stacked", keys: ["l"], on: "reading", says: "One below the other" },
  { id: "mono", keys: ["m"], on: "reading", says: "Letters of one width" },
  { id: "prompt", keys: ["o"], on: "reading", says: "Fold or unfold the prompt" },
];

const RESERVED = new Set(["Tab", "Enter", "Escape", "Backspace", "Delete", "Insert", " ", "Home", "End", "PageUp", "PageDown", "CapsLock", "NumLock", "ScrollLock", "ContextMenu", "PrintScreen", "Pause", "/", "'"]);
const MODIFIERS = new Set(["Shift", "Control", "Alt", "AltGraph", "Meta", "Fn", "OS"]);
const SIGNS = { ArrowUp: "↑", ArrowDown: "↓", ArrowLeft: "←", ArrowRight: "→" };

// The names of what was pressed: by the character, then, on keyboards whose letters or digits are
// others, by the place of the key.
export function namesOf(event) {
  if (MODIFIERS.has(event.key) || ["Dead", "Unidentified", "Process"].includes(event.key)) return [];
  if ([...event.key].length > 1) return [event.shiftKey ? `Shift+${event.key}` : event.key];
  const lower = event.key.toLowerCase();
  const isLetter = lower !== event.key.toUpperCase();
  const shift = event.shiftKey && isLetter ? "Shift+" : "";
  const names = [shift + lower];
  const [, letter, digit] = /^(?:Key([A-Z])|(?:Digit|Numpad)([0-9]))$/.exec(event.code) ?? [];
  if (letter && !/[a-z]/.test(lower)) names.push((event.shiftKey ? "Shift+" : "") + letter.toLowerCase());
  if (digit && digit !== lower && !event.shiftKey) names.push(digit);
  return names;
}

export function digitOf(event) {
  const digit = namesOf(event).find((name) => /^[0-9]$/.test(name));
  return digit === undefined ? null : Number(digit);
}

// The parts of a key as they stand on it.
export const partsOf = (key) => key.split("+").filter(Boolean).map((part) => SIGNS[part] ?? part.toUpperCase().replace("SHIFT", "Shift"));

export class Keymap {
  constructor({ keys = {}, single_keys: isOn = true, submit_at_once: atOnce = false } = {}) {
    this.own = { ...keys };
    this.isOn = isOn;
    this.atOnce = atOnce;
  }

  keysOf(id) {
    return this.own[id] ?? ACTIONS.find((action) => action.id === id).keys;
  }

  // The action of a key press where a pair, or a ranking, is on the screen.
  actionOf(event, scope) {
    for (const name of namesOf(event)) {
      const found = ACTIONS.find(({ id, on }) => (on === scope || !["pair", "ranking"].includes(on)) && this.keysOf(id).includes(name));
      if (found) return found;
    }
    return null;
  }

  // Why a key, by its names, cannot be had for an action; nothing when it can.
  refusal(id, names) {
    const [key] = names;
    const shown = partsOf(key).join(" ");
    const { on } = ACTIONS.find((action) => action.id === id);
    if (RESERVED.has(key) || /^(Shift\+)?F\d+$/.test(key) || RESERVED.has(key.replace("Shift+", ""))) {
      return `${key === " " ? "The space bar" : shown} belongs to the browser or to a screen reader. Press another key.`;
    }
    if (names.some((name) => /^[0-9]$/.test(name)) && on !== "pair") return "Digits give places and ratings. Press another key.";
    const place = names.find((name) => /^Shift\+[a-j]$/.test(name));
    if (place) return `${shown} goes to response ${place.slice(-1).toUpperCase()}. Press another key.`;
    const meets = (other) => other === on || ![on, other].every((each) => ["pair", "ranking"].includes(each));
    const taken = ACTIONS.find((action) => action.id !== id && meets(action.on) && this.keysOf(action.id).includes(key));
    return taken ? `${shown} is taken by “${taken.says}”. Press another key, or change that one first.` : "";
  }

  change(id, keys) {
    const usual = ACTIONS.find((action) => action.id === id).keys;
    if (keys.join() === usual.join()) delete this.own[id];
    else this.own[id] = keys;
  }

  reset() {
    this.own = {};
  }

  save() {
    const body = { keys: this.own, single_keys: this.isOn, submit_at_once: this.atOnce };
    return call("PUT", "/api/v1/me/preferences", body);
  }
}

// <kbd> elements of a key.
export function drawn(key) {
  return partsOf(key).flatMap((part, at) => {
    const cap = document.createElement("kbd");
    cap.textContent = part;
    return at ? [" ", cap] : [cap];
  });
}

// Fill in every place of the page that names the key of an action.
export function showKeys(keymap, root = document) {
  for (const place of root.querySelectorAll("[data-key]")) {
    const keys = place.dataset.key.split(" ").flatMap((id) => keymap.keysOf(id).slice(0, 1));
    place.replaceChildren(...keys.flatMap((key, at) => (at ? [" ", ...drawn(key)] : drawn(key))));
    place.hidden = !keymap.isOn || !keys.length;
  }
}
