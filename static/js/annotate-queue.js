// Judgements on their way: one at a time, in order, again and again until the server has them.
//
// What waits is also kept in the browser, so that a crash loses nothing: ids, numbers, ranks and
// times, never a text; the rationale of such a rescued judgement comes from the draft that the server
// has. Each tab sends its own; what a tab left behind when it died is taken over by the next, or by
// another.

import { call } from "./annotate-session.js";
import { Problem } from "./api.js";

const WAITS = [1_000, 2_000, 5_000, 10_000, 20_000, 30_000];
const LONGEST_WAIT = 300_000; // even if the server asks for more
const PASSING = new Set([0, 408, 425, 429]);
const STUBBORN = 4; // tries after which one that the server stumbles over lets the others pass

// What is left out comes from the draft. A text that she cleared does not: an older draft may have it.
function withoutTexts(body) {
  if (body.from_draft) return body; // kept once before, by a tab that died
  const { rationale, rewrite, ...said } = body;
  const cleared = { ...(rationale ? {} : { rationale: "" }), ...(rewrite ? {} : { rewrite: "" }) };
  return rationale || rewrite ? { ...said, ...cleared, from_draft: true } : said;
}

// What the server, or a proxy before it, stumbles over; the server's own 404 says why.
const isPassing = ({ status, body }) => status >= 500 || PASSING.has(status) || (status === 404 && !body);
const lockOf = (tab) => `touchstone.tab.${tab}`;

export class Queue {
  constructor({ user, changed, sent, refused, signedOut }) {
    Object.assign(this, { changed, sent, refused, signedOut });
    this.prefix = `touchstone.queue.${user}.`;
    this.tab = crypto.randomUUID();
    this.entries = [];
    this.tries = 0;
    addEventListener("online", () => this.pump());
    document.addEventListener("visibilitychange", () => document.hidden || this.pump());
    addEventListener("beforeunload", (event) => this.entries.length && event.preventDefault());
    const whileItLives = () => new Promise(() => {});
    navigator.locks?.request(lockOf(this.tab), whileItLives).catch(() => {}); // refused where there is no storage
    this.recover();
  }

  // Resolves with the server's answer, or with the Problem when it refuses. It goes out once the
  // caller has put the next task on the screen, so that the one behind that is asked for with it.
  // Where she is signed out, she is asked to sign in with each.
  add(entry) {
    return new Promise((resolve) => {
      this.entries.push({ ...entry, at: Date.now(), resolve });
      this.keep(this.entries.at(-1));
      this.changed(this.entries.length);
      queueMicrotask(() => this.resume());
    });
  }

  has(assignment) {
    return this.entries.some((entry) => entry.assignment === assignment);
  }

  // -- what outlives the page

  keep({ key, assignment, body, at, draft }) {
    const kept = { key, assignment, at, draft, tab: this.tab, body: withoutTexts(body) };
    try {
      localStorage.setItem(this.prefix + key, JSON.stringify(kept));
    } catch {
      // without storage the queue lives as long as the page
    }
  }

  forget({ key }) {
    try {
      localStorage.removeItem(this.prefix + key);
    } catch {
      // nothing was kept
    }
  }

  kept() {
    try {
      const keys = Object.keys(localStorage).filter((key) => key.startsWith(this.prefix));
      return keys.map((key) => JSON.parse(localStorage.getItem(key))).sort((one, other) => one.at - other.at);
    } catch {
      return []; // a browser without storage has nothing to recover
    }
  }

  // Each tab holds a lock while it lives: whoever gets it is the heir.
  recover() {
    const tabs = new Set(this.kept().map((entry) => entry.tab));
    for (const tab of tabs) {
      if (navigator.locks) navigator.locks.request(lockOf(tab), () => this.inherit(tab));
      else setTimeout(() => this.inherit(tab), 0);
    }
  }

  inherit(tab) {
    const left = this.kept().filter((entry) => entry.tab === tab);
    for (const entry of left) {
      this.entries.push({ ...entry, isRescued: true, resolve: () => {} });
      this.keep(entry);
    }
    if (!left.length) return;
    this.changed(this.entries.length);
    this.pump();
  }

  // -- sending

  resume() {
    this.isHeld = false;
    return this.pump();
  }

  async pump() {
    clearTimeout(this.timer);
    if (this.isBusy || this.isHeld || !this.entries.length) return;
    this.isBusy = true;
    const entry = this.entries[0];
    const answer = await this.send(entry);
    this.isBusy = false;
    if (answer instanceof Problem && isPassing(answer)) {
      this.wait(answer);
      return;
    }
    if (answer instanceof Problem && answer.status === 401) {
      this.isHeld = true;
      this.changed(this.entries.length);
      this.signedOut(answer);
      return;
    }
    this.tries = 0;
    this.entries.shift();
    this.forget(entry);
    this.changed(this.entries.length);
    if (!(answer instanceof Problem)) this.sent(entry, answer);
    else this.refused(entry, answer);
    entry.resolve(answer);
    this.pump();
  }

  async send(entry) {
    const url = `/api/v1/assignments/${entry.assignment}/annotation${entry.query?.() ?? ""}`;
    const headers = { "Idempotency-Key": entry.key };
    try {
      const { data } = await call("PUT", url, entry.body, { headers });
      return data;
    } catch (problem) {
      return problem instanceof Problem ? problem : new Problem(0, null); // cut off within the answer
    }
  }

  wait({ status, retryAfter }) {
    const pause = WAITS[Math.min(this.tries, WAITS.length - 1)];
    this.tries += 1;
    if (status === 500 && this.tries % STUBBORN === 0) this.entries.push(this.entries.shift());
    const asked = Math.min(retryAfter * 1_000, LONGEST_WAIT);
    this.timer = setTimeout(() => this.pump(), Math.max(asked, pause * (0.75 + Math.random() / 2)));
    this.changed(this.entries.length);
  }
}
