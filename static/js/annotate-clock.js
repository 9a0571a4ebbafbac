// Honest time: since the task was painted, while it was visible, while somebody was at it.
//
// Wall runs on. Visible stops while the page is hidden or covered by a pause. Active is visible with
// a sign of life no longer ago than it takes to read the task.

const SIGNS_OF_LIFE = ["pointermove", "pointerdown", "keydown", "wheel", "scroll", "touchstart"];
const READING_WORDS_PER_MINUTE = 100;
const SHORTEST_PATIENCE = 60_000;

export class Stopwatch {
  // `spent`: the times of an earlier stay on the same task.
  constructor(words, spent = { wall_ms: 0, visible_ms: 0, active_ms: 0 }) {
    this.patience = Math.max(SHORTEST_PATIENCE, (words / READING_WORDS_PER_MINUTE) * 60_000);
    this.spent = spent;
    this.isStopped = false;
    this.stop = new AbortController();
    const options = { passive: true, capture: true, signal: this.stop.signal };
    SIGNS_OF_LIFE.forEach((kind) => addEventListener(kind, () => this.sign(), options));
    document.addEventListener("visibilitychange", () => (document.hidden ? this.settle() : this.go()), { signal: this.stop.signal });
    this.start();
  }

  // From now on: the task has just been painted.
  start() {
    this.started = performance.now();
    this.visible = this.spent.visible_ms;
    this.active = this.spent.active_ms;
    this.since = null; // running since; null while hidden or paused
    this.lastSign = this.started;
    this.go();
  }

  go() {
    if (document.hidden || this.isStopped || this.since !== null) return;
    this.since = this.lastSign = this.counted = performance.now();
  }

  // Somebody is there. The time since the last sign counts as far as it may have been reading.
  sign() {
    if (this.since === null) return;
    this.count();
    this.lastSign = performance.now();
  }

  count() {
    const now = performance.now();
    this.visible += now - this.since;
    const end = Math.min(now, this.lastSign + this.patience);
    this.active += Math.max(0, end - this.counted);
    this.since = now;
    this.counted = Math.max(this.counted, end);
  }

  settle() {
    if (this.since === null) return;
    this.count();
    this.since = null;
  }

  pause() {
    this.settle();
    this.isStopped = true;
  }

  resume() {
    this.isStopped = false;
    this.go();
  }

  get isRunning() {
    return this.since !== null;
  }

  get idle() {
    return performance.now() - this.lastSign;
  }

  get isIdle() {
    return this.isRunning && this.idle >= this.patience;
  }

  times() {
    this.sign();
    const wall = this.spent.wall_ms + performance.now() - this.started;
    const whole = Math.round;
    return { wall_ms: whole(wall), visible_ms: whole(this.visible), active_ms: whole(this.active) };
  }

  end() {
    this.settle();
    this.stop.abort();
  }
}

const offset = Date.now() - performance.now();
let slept = 0;

// ms on a clock that goes on while the machine sleeps, as performance.now() does not everywhere, and
// that nobody can put back.
export function leaseClock() {
  slept = Math.max(slept, Date.now() - performance.now() - offset);
  return performance.now() + slept;
}

const LONGEST_PAUSE = 30_000; // ms between two tries to prolong a lease

// The lease of the task on the screen: prolonged while somebody works, with a warning else.
export class Lease {
  constructor({ secondsLeft, leaseSeconds, show, renew, isActive }) {
    this.ends = leaseClock() + secondsLeft * 1000;
    this.length = leaseSeconds * 1000;
    this.show = show;
    this.renew = renew;
    this.isActive = isActive;
    this.askAnew();
    this.timer = setInterval(() => this.tick(), 1000);
  }

  get left() {
    return this.ends - leaseClock();
  }

  async tick() {
    if (this.isAsking) return;
    const isDue = this.left < this.length / 3 && this.left > 0 && leaseClock() >= this.asksAt;
    if (isDue && this.isActive() && !this.isRefused) {
      await this.prolong();
    }
    const warnAt = Math.max(60_000, Math.min(this.length / 5, 300_000));
    if (this.left < warnAt) this.show(Math.max(0, Math.round(this.left / 1000)));
    else this.show(null);
  }

  // The server may be there again: without the pauses that have grown meanwhile.
  askAnew() {
    this.pause = 1000;
    this.asksAt = 0;
  }

  async prolong() {
    this.isAsking = true;
    try {
      await this.renew();
      this.ends = leaseClock() + this.length;
      this.askAnew();
    } catch (problem) {
      this.isRefused = problem.status === 409;
      if (this.isRefused) this.reason = problem.message;
      this.pause = Math.min(2 * this.pause, LONGEST_PAUSE);
      this.asksAt = leaseClock() + this.pause;
    }
    this.isAsking = false;
  }

  end() {
    clearInterval(this.timer);
  }
}
