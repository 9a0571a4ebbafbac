// Honest time: since the task was painted, while it was visible, while somebody was at it.

const SIGNS_OF_LIFE = ["pointermove", "pointerdown", "keydown", "wheel", "scroll", "touchstart"];
const READING_WORDS_PER_MINUTE = 100;

export class Stopwatch {
  constructor(words) {
    this.started = performance.now();
    this.visible = 0;
    this.active = 0;
    this.visibleSince = document.hidden ? null : this.started;
    this.lastSign = this.started;
    this.patience = Math.max(60_000, (words / READING_WORDS_PER_MINUTE) * 60_000);
    this.stop = new AbortController();
    const options = { passive: true, capture: true, signal: this.stop.signal };
    SIGNS_OF_LIFE.forEach((kind) => addEventListener(kind, () => this.sign(), options));
    document.addEventListener("visibilitychange", () => this.turn(), { signal: this.stop.signal });
  }

  // Somebody is there: the time since the last sign counts, if it is short enough to be reading.
  sign() {
    const now = performance.now();
    if (!document.hidden && now - this.lastSign <= this.patience) this.active += now - this.lastSign;
    this.lastSign = now;
  }

  turn() {
    const now = performance.now();
    if (document.hidden) {
      this.sign();
      if (this.visibleSince !== null) this.visible += now - this.visibleSince;
      this.visibleSince = null;
    } else {
      this.visibleSince = now;
      this.lastSign = now;
    }
  }

  get idle() {
    return performance.now() - this.lastSign;
  }

  times() {
    this.sign();
    const now = performance.now();
    const visible = this.visible + (this.visibleSince === null ? 0 : now - this.visibleSince);
    const whole = Math.round;
    return { wall_ms: whole(now - this.started), visible_ms: whole(visible), active_ms: whole(Math.min(this.active, visible)) };
  }

  end() {
    this.stop.abort();
  }
}

// The lease of the task on the screen: prolonged while somebody works, with a warning else.
export class Lease {
  constructor({ secondsLeft, leaseSeconds, show, renew, isActive }) {
    this.ends = performance.now() + secondsLeft * 1000;
    this.length = leaseSeconds * 1000;
    this.show = show;
    this.renew = renew;
    this.isActive = isActive;
    this.timer = setInterval(() => this.tick(), 1000);
    this.tick();
  }

  get left() {
    return this.ends - performance.now();
  }

  async tick() {
    if (this.isAsking) return;
    if (this.left < this.length / 3 && this.left > 0 && this.isActive() && !this.isRefused) {
      await this.prolong();
    }
    const warnAt = Math.max(60_000, Math.min(this.length / 5, 300_000));
    if (this.left < warnAt) this.show(Math.max(0, Math.round(this.left / 1000)));
    else this.show(null);
  }

  async prolong() {
    this.isAsking = true;
    try {
      await this.renew();
      this.ends = performance.now() + this.length;
    } catch (problem) {
      this.isRefused = problem.status === 409;
      if (this.isRefused) this.reason = problem.message;
    }
    this.isAsking = false;
  }

  end() {
    clearInterval(this.timer);
  }
}
