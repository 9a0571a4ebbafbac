// The ranking page: keys, drafts, the next task at once, and nothing ever lost.

import { listenToKeys } from "./annotate-keys.js";
import { Keymap } from "./annotate-keymap.js";
import { Reading } from "./annotate-reading.js";
import { Remap } from "./annotate-remap.js";
import { Rewrite } from "./annotate-rewrite.js";
import { panels } from "./annotate-panels.js";
import { fragmentOf } from "./annotate-html.js";
import { Breaks } from "./annotate-breaks.js";
import { Lease, Stopwatch } from "./annotate-clock.js";
import { Pause } from "./annotate-pause.js";
import { Queue } from "./annotate-queue.js";
import { call, isBack } from "./annotate-session.js";
import { SignIn } from "./annotate-sign-in.js";
import { Tabs } from "./annotate-tabs.js";
import { TaskForm } from "./annotate-form.js";
import { choose } from "./annotate-versions.js";
import { Problem } from "./api.js";

const DRAFT_AFTER = 1200; // ms without a change
const REST = 5 * 60_000; // ms away that are a break
const JUST_PAINTED = 2000; // ms in which nobody has begun to judge
const work = document.querySelector("[data-work]");
const { project, rank, history } = work.dataset;
const find = (selector, root = document) => root.querySelector(selector);

const page = {
  form: null,
  isReady: false,
  next: null, // the prefetched task
  aside: null, // a task that made way for one that she goes back to
  handedIn: new Map(), // forms on their way, in case the server refuses one
  done: Number(work.dataset.today),

  // -- the task on the screen

  begin(spent) {
    this.form = new TaskForm(find("form.task", work));
    const words = this.form.form.textContent.split(/\s+/).length;
    this.watch?.end();
    this.lease?.end();
    this.watch = new Stopwatch(words, spent);
    this.lease = this.form.isChange ? null : this.startLease();
    this.draftRevision = Number(this.form.form.dataset.draftRevision);
    this.form.show();
    this.rewrite = new Rewrite(this.form, (text) => this.reading.say(text));
    this.reading.begin(this.form);
    const prompt = find(".prompt-text", work);
    prompt.scrollTop = find(".turn + .turn", prompt) ? prompt.scrollHeight : 0; // the last turn is what is asked
    this.showLegend();
    this.measure();
    // Two frames: keys count only once the task has been painted.
    const { form } = this.form;
    const { watch } = this;
    const wake = () => {
      watch.start();
      this.isReady = true;
      form.dataset.ready = "yes";
    };
    requestAnimationFrame(() => requestAnimationFrame(wake));
    this.tabs.tell("open", this.form.id);
  },

  // Whether something was decided under guidelines that she has not read.
  isNews({ guidelines_version: version }) {
    return String(version) !== work.dataset.guidelines;
  },

  show(assignment) {
    if (this.hasNews || this.isNews(assignment)) {
      this.go(rank); // new guidelines are read first
      return;
    }
    if (this.handedIn.has(assignment.id)) {
      this.putBack(this.handedIn.get(assignment.id)); // refused before: with all that was filled in
      return;
    }
    const form = fragmentOf(assignment.html).querySelector("form");
    form.classList.add("task-in");
    form.dataset.secondsLeft -= Math.round((performance.now() - assignment.at) / 1000);
    work.replaceChildren(form);
    this.isWaiting = false;
    work.classList.remove("is-busy");
    scrollTo(0, 0);
    work.focus({ preventScroll: true });
    this.begin();
  },

  // How high the bars are, so that what has the focus is never under them.
  measure() {
    const root = document.documentElement.style;
    const prompt = find(".prompt", work);
    const sticks = getComputedStyle(prompt).position === "sticky";
    root.setProperty("--prompt-height", `${(sticks ? prompt.offsetHeight : 0) + 12}px`);
    const bars = find(".decision", work).offsetHeight + find("[data-legend]").offsetHeight;
    root.setProperty("--bar-height", `${bars + 12}px`);
  },

  startLease() {
    const { secondsLeft, leaseSeconds, assignment } = this.form.form.dataset;
    return new Lease({
      secondsLeft: Number(secondsLeft),
      leaseSeconds: Number(leaseSeconds),
      isActive: () => this.watch.isRunning && this.watch.idle < 60_000,
      renew: async () => {
        const { data } = await call("POST", `/api/v1/assignments/${assignment}/renew`);
        if (this.isNews(data)) this.tellNews();
      },
      show: (seconds) => this.showLease(seconds),
    });
  },

  showLease(seconds) {
    const clock = find("[data-lease]");
    clock.hidden = seconds === null;
    if (seconds === null) {
      if (this.isWarning) this.hideBanner();
      this.isWarning = false;
      return;
    }
    clock.classList.add("lease-soon");
    clock.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")} left`;
    if (seconds === 0) {
      this.say(this.lease.reason ?? "The time for this task has run out. Submit it all the same: it is kept, and counts if nobody else has judged it meanwhile.");
      this.lease.end();
    } else if (!this.isWarning) {
      this.isWarning = true;
      const keep = { text: "Keep this task", act: () => this.lease.prolong() };
      this.say(this.lease.reason ?? "This task goes back to the others soon. Do you need more time?", this.lease.reason ? [] : [keep]);
    }
  },

  // -- handing in

  async submit() {
    if (!this.isReady) return;
    const missing = this.form.missing();
    if (missing) {
      this.say(missing);
      return;
    }
    this.isReady = false;
    this.hideBanner();
    this.stopDrafts();
    work.classList.add("is-busy");
    const { id, key } = this.form;
    const entry = { key, assignment: id, body: { ...this.form.body(), times: this.watch.times() } };
    if (this.form.isChange) {
      await this.change(entry);
      return;
    }
    entry.query = () => this.following(id);
    this.handedIn.set(id, this.setAside());
    const { aside, next } = this;
    this.aside = null;
    if (!aside) this.next = null;
    const answer = this.queue.add(entry);
    if (aside) this.putBack(aside);
    else if (next) this.show(next);
    else this.isWaiting = true;
    if ((await answer) instanceof Problem && this.form.id === id) this.stay();
  },

  // The form on the screen with all that is filled in, to be put back as it was.
  setAside() {
    const { form } = this.form;
    form.dataset.draftRevision = this.draftRevision;
    return { form, times: this.watch.times(), ends: this.lease?.ends };
  },

  putBack({ form, times, ends }) {
    delete form.dataset.ready;
    form.dataset.secondsLeft = Math.max(0, Math.round(((ends ?? 0) - performance.now()) / 1000));
    work.replaceChildren(form);
    this.isWaiting = false;
    work.classList.remove("is-busy");
    scrollTo(0, 0);
    this.begin(times);
  },

  // Back to a task that was handed in and refused; the one on the screen waits meanwhile.
  async goBackTo(id) {
    this.hideBanner();
    this.isReady = false;
    await this.saveDraft();
    this.aside = this.setAside();
    this.putBack(this.handedIn.get(id));
  },

  // What to ask for together with a submission: the task behind the one on the screen.
  following(sent) {
    if (this.next) return "";
    const shown = this.form.id === sent ? "" : `&after=${this.form.id}`;
    return `?next=true&html=true${shown}`;
  },

  sent(entry, answer) {
    this.handedIn.delete(entry.assignment);
    this.tabs.tell("sent", entry.assignment);
    this.done += 1;
    find("[data-done]").textContent = this.done;
    if (entry.isRescued && entry.assignment === this.form.id) this.go(rank); // it was shown as still open
    if (!("next" in answer)) return;
    if (answer.feedback !== undefined && this.form.id === entry.assignment) this.go(`/assignments/${entry.assignment}`);
    else if (answer.next) this.arrive(answer.next);
    else if (this.isWaiting && this.form.id === entry.assignment) this.go(rank);
  },

  arrive(assignment) {
    assignment.at = performance.now();
    const isRefused = this.handedIn.has(assignment.id) && !this.queue.has(assignment.id);
    if (assignment.id === this.form.id || this.queue.has(assignment.id)) return;
    if (isRefused && !this.isWaiting) return; // she is offered the way back to it
    if (this.isWaiting) this.show(assignment);
    else this.next = assignment;
    if (this.isNews(assignment)) this.tellNews();
  },

  tellNews() {
    if (this.hasNews || this.isLeaving) return;
    this.hasNews = true;
    this.releaseNext();
    if (this.watch.active < JUST_PAINTED && !this.hasChanges) this.go(rank);
    else this.say("The guidelines have changed. Finish this task as you began it; before the next one you see what is new.");
  },

  // A submission that the server refused while its form is still there.
  stay() {
    this.isWaiting = false;
    this.isReady = true;
    work.classList.remove("is-busy");
    this.changed(); // to the draft with it: she may have to open the task anew
  },

  async refused(entry, problem) {
    const id = entry.assignment;
    if (problem.status === 409 && problem.body?.errors?.[0]?.current) {
      await this.compare(entry, problem.body.errors[0].current);
      return;
    }
    if (entry.isRescued && (await this.isDone(id))) return; // it was there already
    if (this.form.id === id) {
      this.say(problem.message);
      return;
    }
    const back = this.handedIn.has(id) ? { act: () => this.goBackTo(id) } : { href: `/assignments/${id}` };
    this.say(`Your answer to an earlier task was not taken. ${problem.message}`, [{ text: "Go back to it", ...back }]);
  },

  async isDone(id) {
    try {
      const { data } = await call("GET", `/api/v1/assignments/${id}`);
      return data.state === "submitted";
    } catch {
      return false;
    }
  },

  // Two answers of hers to one task: she says which one stands. One such question at a time.
  compare(entry, stored) {
    this.comparing = (this.comparing ?? Promise.resolve()).then(() => this.decide(entry, stored));
    return this.comparing;
  },

  async decide(entry, stored) {
    const isHere = this.form.id === entry.assignment;
    const levels = Number(this.form.form.dataset.levels);
    if ((await choose(find("#versions-dialog"), { stored, mine: entry.body, levels })) === "mine") {
      const headers = { "Idempotency-Key": crypto.randomUUID() };
      const body = { ...entry.body, revision: stored.revision };
      try {
        await call("PUT", `/api/v1/assignments/${entry.assignment}/annotation`, body, { headers });
      } catch (problem) {
        this.say(problem.message);
        return;
      }
    }
    this.handedIn.delete(entry.assignment);
    if (isHere) this.go(this.form.isChange ? history : rank);
  },

  async change(entry) {
    try {
      await call("PUT", `/api/v1/assignments/${entry.assignment}/annotation`, entry.body, { headers: { "Idempotency-Key": entry.key } });
      this.go(history);
    } catch (problem) {
      if (problem.status === 401) this.signedOut(problem, true);
      else await this.refused(entry, problem);
      this.stay();
    }
  },

  async prefetch() {
    if (this.next || this.hasNews || this.form.isChange || this.queue.entries.length) return;
    try {
      const { status, data } = await call("POST", `/api/v1/projects/${project}/assignments?html=true`, { after: this.form.id });
      if (status !== 204) this.arrive(data);
    } catch {
      // the next submission asks again
    }
  },

  // What was fetched ahead goes back to the others.
  releaseNext(options = {}) {
    if (this.next) call("POST", `/api/v1/assignments/${this.next.id}/release`, undefined, options).catch(() => {});
    this.next = null;
  },

  async skip() {
    if (!this.isReady) return;
    const fields = new FormData(this.form.form);
    if (!fields.get("reason")) {
      this.say("Choose a reason for skipping this task.");
      return;
    }
    this.isReady = false;
    await this.saveDraft();
    try {
      await call("POST", `/api/v1/assignments/${this.form.id}/skip`, { reason: fields.get("reason"), note: fields.get("note") || null });
    } catch (problem) {
      if (problem.status === 401) this.signedOut(problem, true);
      else this.say(problem.message);
      this.isReady = true;
      return;
    }
    this.hideBanner();
    const { aside, next } = this;
    this.aside = null;
    if (!aside) this.next = null;
    if (aside) this.putBack(aside);
    else if (!next) this.go(rank);
    else {
      this.show(next);
      this.prefetch();
    }
  },

  // -- drafts

  changed() {
    this.form.show();
    if (this.form.isChange) return;
    clearTimeout(this.draftTimer);
    this.draftTimer = setTimeout(() => this.saveDraft(), DRAFT_AFTER);
    this.hasChanges = true;
  },

  async saveDraft(options = {}) {
    clearTimeout(this.draftTimer);
    if (!this.hasChanges || this.form.isChange) return;
    this.hasChanges = false;
    this.draftRevision += 1;
    this.draftCall = new AbortController();
    const { id } = this.form;
    const draft = { ...this.form.body(true), revision: this.draftRevision };
    try {
      const { data } = await call("PUT", `/api/v1/assignments/${id}/draft`, draft, { signal: this.draftCall.signal, ...options });
      if (data.saved) this.tabs.tell("draft", id);
      else if (id === this.form.id) this.outdated(data.revision, draft.revision);
    } catch (problem) {
      if (id === this.form.id && this.isReady) this.hasChanges = true; // the next change, or signing in, saves it
      if (problem.status === 401) this.signedOut(problem);
    }
  },

  // A draft that the server did not want: a newer one is there, or an answer.
  outdated(stored, sent) {
    if (stored < sent) {
      this.answeredElsewhere();
      return;
    }
    this.draftRevision = stored;
    this.hasChanges = true;
    const load = { text: "Load the other version", act: () => this.reload() };
    const keep = { text: "Keep what is here", act: () => this.keepMine() };
    this.say("This task was changed in another tab or on another device meanwhile. What is here has not been saved.", [keep, load]);
  },

  keepMine() {
    this.hideBanner();
    this.hasChanges = true;
    this.saveDraft();
  },

  reload() {
    this.hasChanges = false;
    location.reload();
  },

  answeredElsewhere() {
    const next = { text: "To the next task", act: () => this.go(rank) };
    const see = { text: "See that answer", href: `/assignments/${this.form.id}` };
    this.say("You have answered this task in another tab or on another device. Submit to compare your two answers, or go on.", [next, see]);
  },

  // Another tab of hers speaks.
  heard({ kind, assignment }) {
    if (kind === "open" && assignment === this.next?.id) this.next = null; // that tab has it now
    if (assignment !== this.form?.id) return;
    if (kind === "open") this.tabs.tell("mine", assignment);
    if (kind === "mine") {
      const well = { text: "All right", act: () => this.hideBanner() };
      this.say("You have this task open in another tab too. Work in one of them: only one answer counts.", [well]);
    }
    if (kind === "sent" && !this.handedIn.has(assignment)) this.answeredElsewhere();
    if (kind === "draft") {
      const load = { text: "Load that version", act: () => this.reload() };
      this.say("This task was changed in another tab just now.", [load]);
    }
  },

  stopDrafts() {
    clearTimeout(this.draftTimer);
    this.draftCall?.abort();
    this.hasChanges = false;
  },

  // -- what is said

  say(text, actions = []) {
    const banner = find("[data-banner]");
    find("[data-banner-text]", banner).textContent = text;
    const holder = find("[data-banner-actions]", banner);
    holder.replaceChildren(...actions.map(asControl));
    banner.setAttribute("role", "alert");
    banner.hidden = false;
  },

  hideBanner() {
    find("[data-banner]").hidden = true;
  },

  // Her sign-in is over. Whoever is typing is told in a banner; whoever hands in signs in at once.
  signedOut(problem, isUrgent = false) {
    this.isSignedOut = true;
    const isOther = Boolean(problem?.isSomebodyElse);
    const begin = isOther ? problem.message : "Your sign-in has ended.";
    const text = `${begin} What you did is still here and will be sent as soon as you are signed in again.`;
    const actions = [{ text: "Sign in", act: () => this.dialogs.signIn.open(text) }];
    if (isOther) actions.push({ text: "Go on as the other person", act: () => this.leaveToAnother() });
    this.say(text, actions);
    if (isUrgent && !isTyping()) this.dialogs.signIn.open(text);
  },

  signedInAgain() {
    this.hideBanner();
    this.isSignedOut = false;
    this.isReady = !this.isWaiting;
    this.saveDraft();
    this.queue.resume();
    this.prefetch();
  },

  // Somebody else signed in here: what the first one left is not hers to see, change or send.
  becomeAnother(name) {
    this.isReady = false;
    find("#sign-in-dialog").close();
    const signIn = { text: "Sign in as before", act: () => this.dialogs.signIn.open("Sign in to send what you did.") };
    this.say(
      `You are signed in as ${name}; this page belongs to somebody else. Answers that wait here are kept, and go out when their author signs in again.`,
      [{ text: `Go on as ${name}`, act: () => this.leaveToAnother() }, signIn],
    );
  },

  leaveToAnother() {
    this.stopDrafts();
    this.queue.entries = []; // kept in the browser, for the one who gave these answers
    this.go(rank);
  },

  // Signing out erases what this browser keeps: first everything goes out.
  async signOut(form) {
    await this.saveDraft();
    this.releaseNext();
    this.queue.resume();
    for (let tries = 0; this.queue.entries.length && tries < 50 && !this.queue.tries && !this.queue.isHeld; tries += 1) {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    const leave = () => {
      this.queue.entries = []; // the browser need not ask again
      form.submit();
    };
    const waiting = this.queue.entries.length;
    if (waiting) this.say(`${waiting} waiting to be sent. Signing out erases what this browser keeps.`, [{ text: "Sign out and lose them", act: leave }]);
    else leave();
  },

  showQueue(waiting) {
    const badge = find("[data-queue]");
    const isLate = waiting > 1 || this.queue?.tries > 0;
    badge.hidden = !waiting || !isLate;
    badge.textContent = `${waiting} waiting to be sent`;
    if (!waiting && this.goesTo) location.assign(this.goesTo);
  },

  // Leave for another page, once what is on its way has arrived: that page should know of it.
  go(address) {
    if (!this.queue.entries.length) {
      location.assign(address);
      return;
    }
    this.goesTo = address;
    if (this.queue.isHeld) this.signedOut(null, true);
    else this.say("The next page opens as soon as your answers are sent.");
  },

  takeBreak() {
    this.saveDraft();
    this.releaseNext();
    this.pause.takeBreak();
  },
  goOn(ms) {
    if (ms >= REST) this.breaks.rest();
    this.prefetch();
  },
};
Object.defineProperties(page, Object.getOwnPropertyDescriptors(panels));

// A dialog must not catch what somebody is just typing elsewhere.
const isTyping = () => document.activeElement?.matches('textarea, input:not([type="radio"], [type="checkbox"])');

function asControl({ text, href, isNew, act }) {
  const control = document.createElement(href ? "a" : "button");
  control.className = "btn btn-small";
  control.textContent = text;
  if (href) control.href = href;
  else control.type = "button";
  if (isNew) control.target = "_blank";
  if (act) control.addEventListener("click", act);
  return control;
}

page.queue = new Queue({
  user: work.dataset.user,
  changed: (waiting) => page.showQueue(waiting),
  sent: (entry, answer) => page.sent(entry, answer),
  refused: (entry, problem) => page.refused(entry, problem),
  signedOut: (problem) => page.signedOut(problem, true),
});
page.tabs = new Tabs({ user: work.dataset.user, heard: (said) => page.heard(said) });
page.dialogs = {
  signIn: new SignIn({
    dialog: find("#sign-in-dialog"),
    back: () => page.signedInAgain(),
    other: (name) => page.becomeAnother(name),
  }),
};
page.pause = new Pause({
  dialog: find("#pause-dialog"),
  cover: work,
  watch: () => page.watch,
  until: () => (page.lease?.left > 0 ? Date.now() + page.lease.left : null),
  ended: (ms) => page.goOn(ms),
});
const breakWord = find("[data-break]");
page.breaks = new Breaks({
  after: Number(work.dataset.breakAfter),
  isAtIt: () => Boolean(page.watch?.isRunning),
  show: (minutes) => {
    find("[data-break-text]").textContent = `You have been at it for ${minutes} minutes. A few minutes away do your eyes good.`;
    breakWord.hidden = false;
  },
  hide: () => (breakWord.hidden = true),
});
find("[data-break-later]").addEventListener("click", () => page.breaks.rest());
for (const button of document.querySelectorAll("[data-take-break]")) {
  button.hidden = false;
  button.addEventListener("click", () => page.takeBreak());
}
find('form[action="/sign-out"]')?.addEventListener("submit", (event) => {
  event.preventDefault();
  page.signOut(event.target);
});

work.addEventListener("submit", (event) => {
  event.preventDefault();
  if (event.submitter?.hasAttribute("data-skip")) page.skip();
  else page.submit();
});
for (const kind of ["change", "input"]) work.addEventListener(kind, () => page.changed());
work.addEventListener("click", (event) => {
  const mover = event.target.closest("[data-move]");
  if (mover) page.form.move(mover.closest(".response").dataset.label, Number(mover.dataset.move));
  if (event.target.closest("[data-rated]")) page.openRating();
  // A press on a step of the scale; arrows walk along it and say nothing final.
  if (event.detail && event.target.matches('input[name="choice"]')) page.choose(() => {});
});
document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-open]");
  const dialog = opener && document.getElementById(opener.dataset.open);
  if (dialog) {
    event.preventDefault();
    dialog.showModal();
  } else if (page.skipPanel && !event.target.closest(".skip")) page.skipPanel.open = false;
  const menu = find(".reading[open]");
  if (menu && !menu.contains(event.target)) menu.open = false;
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) page.saveDraft({ keepalive: true });
  else if (page.isSignedOut) isBack().then((isHers) => isHers && page.signedInAgain());
});
addEventListener("pagehide", () => {
  page.isLeaving = true;
  page.releaseNext({ keepalive: true });
});
addEventListener("pageshow", (event) => event.persisted && location.reload());
addEventListener("online", () => page.saveDraft());
addEventListener("resize", () => {
  page.reading.fit();
  page.measure();
});

page.keymap = new Keymap(JSON.parse(work.dataset.preferences));
page.reading = new Reading(work, { changed: () => page.measure() });
new Remap(page.keymap, () => page.showLegend());
find('[data-open="help-dialog"]').hidden = false;
listenToKeys(page);
page.begin();
page.prefetch();
