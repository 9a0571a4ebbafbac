// The ranking page: keys, drafts, the next task at once, and nothing ever lost.

import { listenToKeys } from "./annotate-keys.js";
import { Keymap } from "./annotate-keymap.js";
import { Reading } from "./annotate-reading.js";
import { Remap } from "./annotate-remap.js";
import { Rewrite } from "./annotate-rewrite.js";
import { panels } from "./annotate-panels.js";
import { asControl, fragmentOf } from "./annotate-html.js";
import { careFor } from "./annotate-care.js";
import { Lease, leaseClock, Stopwatch } from "./annotate-clock.js";
import { settle } from "./annotate-pause.js";
import { Queue } from "./annotate-queue.js";
import { takeBack } from "./annotate-rescue.js";
import { call, isBack } from "./annotate-session.js";
import { troubles } from "./annotate-troubles.js";
import { TaskForm } from "./annotate-form.js";
import { Problem } from "./api.js";

const DRAFT_AFTER = 1200; // ms without a change
const OUTLIVES = 60_000; // bytes that a browser still sends when the page is gone; its limit is 64 KiB
const REST = 5 * 60_000; // ms away that are a break
const JUST_PAINTED = 2000; // ms in which nobody has begun to judge
const ANNOUNCED = 150; // characters of a prompt
const work = document.querySelector("[data-work]");
const { project, rank, history } = work.dataset;
const find = (selector, root = document) => root.querySelector(selector);
const skipForm = find("#skip-form");

const page = {
  ...troubles,
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
    this.lease?.tick();
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
    const { form, ends } = assignment;
    form.classList.add("task-in");
    this.place(form, ends);
    work.focus({ preventScroll: true });
    this.begin();
  },

  // Before her, in the place of the one before; the second half of a double click is not for it.
  place(form, ends) {
    form.dataset.secondsLeft = Math.max(0, Math.round((ends - leaseClock()) / 1000));
    work.replaceChildren(form);
    settle(work);
    this.isWaiting = false;
    work.classList.remove("is-busy");
    scrollTo(0, 0);
    this.announce(form);
  },

  // A screen reader hears of it: where the focus is has not changed.
  announce(form) {
    const asked = [...form.querySelectorAll(".prompt .prose")].at(-1).textContent.trim();
    find("[data-arrived]").textContent = `Next task: ${asked.slice(0, ANNOUNCED)}`;
  },

  // How high the bars are, so that what has the focus is never under them.
  measure() {
    const root = document.documentElement.style;
    const prompt = find(".prompt", work);
    const height = (bar) => (getComputedStyle(bar).position === "sticky" ? bar.offsetHeight : 0);
    const banner = find("[data-banner]").offsetHeight;
    root.setProperty("--banner-height", `${banner}px`);
    root.setProperty("--prompt-height", `${banner + height(prompt) + 12}px`);
    const legend = find("[data-legend]").offsetHeight;
    root.setProperty("--legend-height", `${legend}px`);
    const bars = height(find(".decision", work)) + legend;
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
      this.ask(missing);
      return;
    }
    if (!this.form.form.reportValidity()) return; // a rating that is no number would be left out unseen
    this.hold();
    this.stopDrafts();
    const { id, key } = this.form;
    const entry = { key, assignment: id, body: this.form.body(), draft: this.draftRevision + 1 };
    if (this.form.isChange) {
      await this.change(entry); // without times: those of the judgement stand
      return;
    }
    entry.body.times = this.watch.times();
    entry.query = () => this.following(id);
    this.handedIn.set(id, this.setAside());
    const { aside } = this;
    const next = aside ? null : this.takeNext();
    this.aside = null;
    this.isWaiting = !aside && !next;
    const answer = this.queue.add(entry);
    if (aside) this.putBack(aside);
    else if (next) this.show(next);
    if ((await answer) instanceof Problem && this.form.id === id) this.stay();
  },

  // What is on its way does not change any more; who wanted to leave before it has gone on instead.
  hold() {
    this.isReady = false;
    this.goesTo = null;
    this.hideBanner();
    work.classList.add("is-busy");
    this.form.form.inert = true;
  },

  // The form on the screen with all that is filled in, to be put back as it was.
  setAside() {
    const { form } = this.form;
    form.dataset.draftRevision = this.draftRevision;
    return { form, times: this.watch.times(), ends: this.lease?.ends };
  },

  putBack({ form, times, ends }) {
    delete form.dataset.ready;
    form.inert = false;
    this.place(form, ends ?? 0);
    this.begin(times);
  },

  // Back to a task that was handed in and refused; the one on the screen waits meanwhile.
  async goBackTo(id) {
    this.hideBanner();
    takeBack(id);
    if (this.form.id === id || this.queue.has(id)) return; // it is there, or handed in once more
    this.isReady = false;
    await this.saveDraft();
    this.aside = this.isWaiting ? null : this.setAside(); // what is on its way does not come back
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
    takeBack(entry.assignment);
    this.done += 1;
    find("[data-done]").textContent = this.done;
    if (entry.isRescued && entry.assignment === this.form.id) this.go(rank); // it was shown as still open
    if (!("next" in answer)) return;
    if (answer.feedback !== undefined && this.form.id === entry.assignment) this.go(`/assignments/${entry.assignment}`);
    else if (answer.next) this.arrive(answer.next);
    else if (this.isWaiting && this.form.id === entry.assignment) this.go(rank);
  },

  arrive(assignment) {
    assignment.form = fragmentOf(assignment.html).querySelector("form");
    assignment.ends = leaseClock() + assignment.form.dataset.secondsLeft * 1000;
    const isRefused = this.handedIn.has(assignment.id) && !this.queue.has(assignment.id);
    if (assignment.id === this.form.id || this.queue.has(assignment.id)) return;
    if (isRefused && !this.isWaiting) return; // she is offered the way back to it
    const { isWaiting } = this;
    if (isWaiting) this.show(assignment);
    else this.next = assignment;
    if (this.pause.isOn) this.releaseNext();
    if (this.isNews(assignment)) this.tellNews();
    if (isWaiting && !this.pause.isOn) this.prefetch(); // else she would wait for each one from now on
  },

  tellNews() {
    if (this.hasNews || this.isLeaving) return;
    this.hasNews = true;
    this.releaseNext();
    if (this.watch.active < JUST_PAINTED && !this.hasChanges) this.go(rank);
    else this.say("The guidelines have changed. Finish this task as you began it; before the next one you see what is new.");
  },

  // What was on its way from the form that is still there has not been taken.
  stay() {
    this.isWaiting = false;
    this.isReady = true;
    work.classList.remove("is-busy");
    this.form.form.inert = false;
    work.focus({ preventScroll: true });
    if (!this.form.isChange) this.changed(); // to the draft with it: she may have to open the task anew
  },

  async change(entry) {
    try {
      await call("PUT", `/api/v1/assignments/${entry.assignment}/annotation`, entry.body, { headers: { "Idempotency-Key": entry.key } });
      this.go(history);
    } catch (problem) {
      this.hasChanges = true;
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

  // What was fetched ahead; one whose time has run out meanwhile is claimed anew.
  takeNext() {
    const { next } = this;
    this.next = null;
    return next && next.ends > leaseClock() ? next : null;
  },

  // What was fetched ahead goes back to the others.
  releaseNext(options = {}) {
    if (this.next && !this.keepsNext) call("POST", `/api/v1/assignments/${this.next.id}/release`, undefined, options).catch(() => {});
    this.next = null;
  },

  async skip() {
    if (!this.isReady) return;
    const fields = new FormData(skipForm);
    if (!fields.get("reason")) {
      this.ask("Choose a reason for skipping this task.");
      return;
    }
    this.hold();
    await this.saveDraft();
    const { id } = this.form;
    try {
      await call("POST", `/api/v1/assignments/${id}/skip`, { reason: fields.get("reason"), note: fields.get("note") || null });
    } catch (problem) {
      if (problem.status === 401) this.signedOut(problem, true);
      else this.say(problem.message);
      this.stay();
      return;
    }
    const { aside } = this;
    const next = aside ? null : this.takeNext();
    this.aside = null;
    this.isWaiting = !aside && !next;
    if (aside) this.putBack(aside);
    else if (!next) this.go(rank);
    else {
      this.show(next);
      this.ask("You skipped a task.", [{ text: "Go back to it", href: `/assignments/${id}` }]);
      this.prefetch();
    }
  },

  // -- drafts

  changed() {
    this.form.show();
    if (find("[data-banner-text]").textContent === this.asked) this.hideBanner();
    this.hasChanges = true;
    if (this.form.isChange) {
      // Another answer than one that may have arrived unnoticed; the same once more keeps its key.
      this.form.form.elements.key.value = crypto.randomUUID();
      return;
    }
    clearTimeout(this.draftTimer);
    this.draftTimer = setTimeout(() => this.saveDraft(), DRAFT_AFTER);
  },

  // Whether it would not be sent while the page goes away.
  isLong(draft) {
    return new Blob([JSON.stringify(draft)]).size > OUTLIVES;
  },

  async saveDraft() {
    clearTimeout(this.draftTimer);
    if (!this.hasChanges || this.form.isChange) return;
    this.hasChanges = false;
    this.draftRevision += 1;
    this.draftCall = new AbortController();
    const { id } = this.form;
    const draft = { ...this.form.body(true), revision: this.draftRevision };
    try {
      const options = { signal: this.draftCall.signal, keepalive: document.hidden && !this.isLong(draft) };
      const { data } = await call("PUT", `/api/v1/assignments/${id}/draft`, draft, options);
      if (data.saved) this.tabs.tell("draft", id);
      else if (id === this.form.id && draft.revision === this.draftRevision) this.outdated(data.revision, draft.revision); // else her next one is there
      this.isCutOff = false;
    } catch (problem) {
      if (id === this.form.id && this.isReady) this.hasChanges = this.isCutOff = true; // the next change, or signing in, saves it
      if (problem.status === 401) this.signedOut(problem);
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
    this.measure();
  },

  // Until she does something about it.
  ask(text, actions) {
    this.asked = text;
    this.say(text, actions);
  },

  hideBanner() {
    const banner = find("[data-banner]");
    if (banner.hidden) return;
    banner.hidden = true;
    this.measure();
  },

  showQueue(waiting) {
    const badge = find("[data-queue]");
    const isLate = waiting > 1 || this.queue?.tries > 0;
    badge.hidden = !waiting || !isLate;
    badge.textContent = `${waiting} waiting to be sent${this.isWaiting ? ", then the next task comes" : ""}`;
    if (!waiting && this.goesTo) queueMicrotask(() => this.goesTo && this.leaveFor(this.goesTo)); // the last one may be refused
  },

  // Leave for another page, once what is on its way has arrived: that page should know of it.
  go(address) {
    if (!this.queue.entries.length) {
      this.leaveFor(address);
      return;
    }
    this.goesTo = address;
    if (this.queue.isHeld) this.signedOut(null, true);
    else this.say("The next page opens as soon as your answers are sent.");
  },

  leaveFor(address) {
    this.keepsNext = address === rank; // what was fetched ahead, or is just arriving, is shown there
    location.assign(address);
  },

  // While nobody looks, what was fetched ahead is for the others.
  rest() {
    this.saveDraft();
    this.releaseNext();
  },
  goOn(ms) {
    if (ms >= REST) this.breaks.rest();
    this.prefetch();
  },
};
Object.defineProperties(page, Object.getOwnPropertyDescriptors(panels));

page.queue = new Queue({
  user: work.dataset.user,
  changed: (waiting) => page.showQueue(waiting),
  sent: (entry, answer) => page.sent(entry, answer),
  refused: (entry, problem) => page.refused(entry, problem),
  signedOut: (problem) => page.signedOut(problem, true),
});
careFor(page, work);

work.addEventListener("submit", (event) => {
  event.preventDefault();
  page.submit();
});
skipForm.addEventListener("submit", (event) => {
  event.preventDefault();
  page.skip();
});
for (const kind of ["change", "input"]) work.addEventListener(kind, () => page.changed());
// Who scrolls by the wheel changes no rating that has the focus.
work.addEventListener("wheel", ({ target }) => target.matches(".rating-number") && target.blur(), { passive: true });
work.addEventListener("beforeinput", (event) => {
  const { value, selectionStart, selectionEnd, maxLength } = event.target;
  if (!(maxLength > 0)) return;
  const left = maxLength - value.length + selectionEnd - selectionStart;
  const over = (event.data ?? "").replaceAll("\r\n", "\n").length - left;
  if (over > 0) page.say(`There is room for ${maxLength} characters. The last ${over} of what you put in are left out.`);
});
work.addEventListener("click", (event) => {
  const mover = event.target.closest("[data-move]");
  if (mover) page.form.move(mover.closest(".response").dataset.label, Number(mover.dataset.move));
  if (event.target.closest("[data-rated]")) page.openRating();
  if (event.target.closest("[data-unchanged]")) page.stopDrafts();
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
  if (document.hidden) page.saveDraft();
  else if (page.isSignedOut) isBack().then((isHers) => isHers && page.signedInAgain());
});
addEventListener("beforeunload", (event) => {
  // What is changed in an answer has no draft; what could not be saved before cannot be now.
  if (!page.hasChanges || !(page.form.isChange || page.isCutOff || page.isLong(page.form.body(true)))) return;
  page.saveDraft(); // while the browser asks
  event.preventDefault();
});
addEventListener("pagehide", () => {
  page.isLeaving = true;
  page.releaseNext({ keepalive: true });
});
addEventListener("pageshow", (event) => event.persisted && location.reload());
addEventListener("online", () => {
  page.saveDraft();
  page.lease?.askAnew();
});
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
