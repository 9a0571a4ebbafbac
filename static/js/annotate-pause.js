// A pause covers the task and stops its clock: by itself when nobody seems to be there, or because
// she takes a break. Any key or tap ends it, and does nothing else.

const LOOK_EVERY = 1_000;
const SETTLING = 400; // ms in which the second half of a double tap must not land on the task

// Nothing is pressed in it for a moment.
export function settle(cover) {
  cover.classList.add("is-waking");
  setTimeout(() => cover.classList.remove("is-waking"), SETTLING);
}

const minutes = (ms) => `${Math.floor(ms / 60_000)}:${String(Math.floor(ms / 1_000) % 60).padStart(2, "0")}`;

export class Pause {
  // `watch`: the stopwatch of the task on the screen; `until`: when its lease ends, or null.
  constructor({ dialog, cover, watch, until, begun, ended }) {
    Object.assign(this, { dialog, cover, watch, until, begun, ended });
    this.heldKey = null;
    setInterval(() => this.look(), LOOK_EVERY);
    addEventListener("keydown", (event) => this.key(event), { capture: true });
    addEventListener("keyup", () => (this.heldKey = null), { capture: true });
    dialog.addEventListener("click", () => this.end());
    dialog.addEventListener("close", () => this.end()); // a browser's own way to close it
  }

  look() {
    if (this.isOn) this.tellLease();
    else if (this.watch()?.isIdle) this.begin("Still working?", "Nothing has happened here for a while");
  }

  takeBreak() {
    if (!this.isOn) this.begin("You are on a break", "Take your time");
  }

  begin(title, reason) {
    const watch = this.watch();
    watch.pause();
    this.isOn = true;
    this.since = Date.now();
    this.say("title", title);
    this.say("text", `${reason}. The clock of this task has stopped at ${minutes(watch.active)}.`);
    this.tellLease();
    this.dialog.showModal();
    this.begun();
  }

  tellLease() {
    const until = this.until();
    const at = until && new Date(until).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });
    const isOver = until && until <= Date.now();
    if (isOver) this.say("lease", "The time for this task has run out. What you have filled in is kept, and you can still submit it.");
    else this.say("lease", at ? `The task stays yours until ${at}, and what you have filled in is kept.` : "");
  }

  say(name, text) {
    const place = this.dialog.querySelector(`[data-pause-${name}]`);
    if (place.textContent !== text) place.textContent = text; // the same once more would be read out again
  }

  key(event) {
    if (this.isOn && (event.ctrlKey || event.altKey || event.metaKey)) return; // on the way to another window: she rests on
    if (this.isOn) {
      this.heldKey = event.code;
      this.end();
    } else if (!event.repeat || event.code !== this.heldKey) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  end() {
    if (!this.isOn) return;
    this.isOn = false;
    this.dialog.close();
    settle(this.cover);
    this.watch().resume();
    this.ended(Date.now() - this.since);
  }
}
