// Judgements on their way: one at a time, in order, again and again until the server has them.
//
// What waits is also kept in the browser, so that a crash loses nothing: ids, ranks and times, never
// a text; the rationale of such a rescued judgement comes from the draft that the server has.

import { api, Problem } from "./api.js";

const WAITS = [1_000, 2_000, 5_000, 10_000, 20_000, 30_000];
const PASSING = new Set([0, 408, 425, 429, 500, 502, 503, 504]);

let token = document.querySelector('meta[name="form-token"]')?.content ?? "";

// The token of this sign-in: a new sign-in, perhaps in another tab, has a new one.
async function freshToken() {
  const page = await fetch("/account", { credentials: "same-origin", redirect: "manual" });
  const found = page.ok && (await page.text()).match(/name="form-token" content="([^"]*)"/);
  if (found) token = found[1];
  return Boolean(found);
}

// As `api`, but a token that went stale is renewed once.
export async function call(method, url, body, options = {}) {
  const once = () => api(method, url, body, { ...options, headers: { ...options.headers, "X-Form-Token": token } });
  try {
    return await once();
  } catch (problem) {
    if (problem.status !== 403 || !(await freshToken())) throw problem;
    return once();
  }
}

export class Queue {
  constructor({ user, changed, sent, refused, signedOut }) {
    Object.assign(this, { changed, sent, refused, signedOut });
    this.store = `touchstone.queue.${user}`;
    this.entries = [];
    this.tries = 0;
    addEventListener("online", () => this.pump());
    document.addEventListener("visibilitychange", () => document.hidden || this.pump());
    addEventListener("beforeunload", (event) => this.entries.length && event.preventDefault());
    this.recover();
  }

  // Resolves with the server's answer, or with the Problem when it refuses.
  add(entry) {
    return new Promise((resolve) => {
      this.entries.push({ ...entry, resolve });
      this.keep();
      this.pump();
    });
  }

  recover() {
    let kept = [];
    try {
      kept = JSON.parse(localStorage.getItem(this.store) ?? "[]");
    } catch {
      // a browser without storage has nothing to recover
    }
    this.entries = kept.map((entry) => ({ ...entry, isRescued: true, resolve: () => {} }));
    if (this.entries.length) setTimeout(() => this.pump(), 0);
  }

  keep() {
    const kept = this.entries.map(({ key, assignment, body }) => {
      const { rationale, rewrite, ...rest } = body;
      return { key, assignment, body: rationale || rewrite ? { ...rest, from_draft: true } : rest };
    });
    try {
      if (kept.length) localStorage.setItem(this.store, JSON.stringify(kept));
      else localStorage.removeItem(this.store);
    } catch {
      // without storage the queue lives as long as the page
    }
    this.changed(this.entries.length);
  }

  async pump() {
    clearTimeout(this.timer);
    if (this.isBusy || !this.entries.length) return;
    this.isBusy = true;
    const entry = this.entries[0];
    let answer;
    try {
      const query = entry.query?.() ?? "";
      const url = `/api/v1/assignments/${entry.assignment}/annotation${query}`;
      answer = (await call("PUT", url, entry.body, { headers: { "Idempotency-Key": entry.key } })).data;
    } catch (problem) {
      answer = problem;
    }
    this.isBusy = false;
    if (answer instanceof Problem && PASSING.has(answer.status)) {
      const wait = WAITS[Math.min(this.tries, WAITS.length - 1)];
      this.tries += 1;
      this.timer = setTimeout(() => this.pump(), wait * (0.75 + Math.random() / 2));
      this.changed(this.entries.length);
      return;
    }
    if (answer instanceof Problem && answer.status === 401) {
      this.signedOut();
      return;
    }
    this.tries = 0;
    this.entries.shift();
    this.keep();
    if (!(answer instanceof Problem)) this.sent(entry, answer);
    else if (!entry.isRescued) this.refused(entry, answer); // a rescued one was mostly there already
    entry.resolve(answer);
    this.pump();
  }
}
