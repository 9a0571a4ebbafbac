// The dialog of keys: what each does, press to change it, what is refused and why.

import { ACTIONS, drawn, namesOf } from "./annotate-keymap.js";

const dialog = document.querySelector("#help-dialog");
const find = (selector, root = dialog) => root.querySelector(selector);

export class Remap {
  // `changed` is called when the keys, or whether they count, are others.
  constructor(keymap, changed) {
    this.keymap = keymap;
    this.changed = changed;
    this.listening = null; // the button that waits for a key
    const [single, atOnce] = [find("[data-shortcuts]"), find("[data-at-once]")];
    single.checked = keymap.isOn;
    atOnce.checked = keymap.atOnce;
    single.addEventListener("change", () => this.keep(() => (keymap.isOn = single.checked)));
    atOnce.addEventListener("change", () => this.keep(() => (keymap.atOnce = atOnce.checked)));
    find("[data-usual-keys]").addEventListener("click", () => this.keep(() => keymap.reset(), "Every key is the usual one again."));
    dialog.addEventListener("click", (event) => this.click(event));
    dialog.addEventListener("keydown", (event) => this.press(event));
    dialog.addEventListener("cancel", (event) => this.listening && this.cancel(event));
    dialog.addEventListener("close", () => this.stop());
    this.draw();
  }

  draw() {
    for (const list of dialog.querySelectorAll("[data-actions]")) {
      const actions = ACTIONS.filter(({ on }) => on === list.dataset.actions);
      list.replaceChildren(...actions.map((action) => this.row(action)));
    }
    find("[data-usual-keys]").disabled = !Object.keys(this.keymap.own).length;
  }

  row({ id, says }) {
    const row = document.createElement("li");
    const what = document.createElement("span");
    what.textContent = says;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "key-button";
    button.dataset.change = id;
    const keys = this.keymap.keysOf(id);
    button.append(...keys.flatMap((key, at) => (at ? [document.createTextNode(" or "), ...drawn(key)] : drawn(key))));
    if (!keys.length) button.textContent = "no key";
    button.setAttribute("aria-label", `${says}: ${button.textContent}. Change the key`);
    row.append(what, button);
    return row;
  }

  click(event) {
    const button = event.target.closest("[data-change]");
    if (!button || button === this.listening) return;
    this.stop();
    this.listening = button;
    button.classList.add("is-listening");
    button.textContent = "press a key …";
    button.scrollIntoView({ block: "center" });
    this.say("Press the new key. Backspace: no key. Esc: leave it.");
  }

  press(event) {
    if (!this.listening || event.isComposing) return;
    if (event.key === "Tab") {
      this.stop();
      return;
    }
    event.preventDefault();
    event.stopPropagation();
    if (event.key === "Escape") {
      this.cancel(event);
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.getModifierState("AltGraph")) {
      this.say("Ctrl, Alt and ⌘ stay with the browser. Press one key alone, or with Shift.");
      return;
    }
    const id = this.listening.dataset.change;
    const names = namesOf(event);
    const isNone = event.key === "Backspace";
    if (!names.length) return;
    const refusal = !isNone && this.keymap.refusal(id, names);
    if (refusal) this.say(refusal);
    else this.take(id, isNone ? [] : names.slice(0, 1));
  }

  take(id, keys) {
    this.listening = null;
    this.keep(() => this.keymap.change(id, keys), keys.length ? "Changed." : "It has no key now.");
    find(`[data-change="${id}"]`)?.focus();
  }

  cancel(event) {
    event.preventDefault();
    const id = this.listening.dataset.change;
    this.stop();
    find(`[data-change="${id}"]`)?.focus();
  }

  stop() {
    if (!this.listening) return;
    this.listening = null;
    this.say("");
    this.draw();
  }

  async keep(act, said = "Saved.") {
    act();
    this.draw();
    this.changed();
    try {
      await this.keymap.save();
      this.say(said);
    } catch (problem) {
      this.say(`It holds on this page, but could not be saved. ${problem.message}`);
    }
  }

  say(text) {
    find("[data-remap-said]").textContent = text;
  }
}
