// A word after a long stretch at the screen. It blocks nothing, and what it counts is minutes.

const LOOK_EVERY = 5_000;
const LONGEST_STEP = 15_000; // a machine that slept was no work
const A_BREAK = 5 * 60_000; // so long away, and the count starts anew
const STORE = "touchstone.stretch";

export class Breaks {
  // `after`: minutes until the word, 0 for never; `isAtIt`: whether somebody is working now.
  constructor({ after, isAtIt, show, hide }) {
    Object.assign(this, { limit: after * 60_000, isAtIt, show, hide });
    this.last = Date.now();
    this.recall();
    if (after) setInterval(() => this.look(), LOOK_EVERY);
  }

  // The stretch goes on through a reload of the page.
  recall() {
    this.stretch = 0;
    this.seen = this.last;
    try {
      const { stretch, seen } = JSON.parse(sessionStorage.getItem(STORE)) ?? {};
      if (this.last - seen < A_BREAK) this.stretch = stretch;
    } catch {
      // it starts with this page then
    }
  }

  look() {
    const now = Date.now();
    const step = Math.max(0, Math.min(now - this.last, LONGEST_STEP)); // a clock may be put back
    this.last = now;
    if (this.isAtIt()) {
      if (now - this.seen >= A_BREAK) this.rest();
      this.stretch += step;
      this.seen = now;
    }
    this.remember();
    if (this.stretch < this.limit || this.isShown) return;
    this.isShown = true;
    this.show(Math.round(this.stretch / 60_000));
  }

  remember() {
    try {
      sessionStorage.setItem(STORE, JSON.stringify({ stretch: this.stretch, seen: this.seen }));
    } catch {
      // it starts with the next page then
    }
  }

  // She has rested, or does not want to: the next word comes after another such stretch.
  rest() {
    this.stretch = 0;
    this.isShown = false;
    this.hide();
    this.remember();
  }
}
