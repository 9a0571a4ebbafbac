// The ranking page: keys, drafts, the next task at once, and nothing ever lost.

import { listenToKeys, shortcutsAreOn, switchShortcuts } from "./annotate-keys.js";
import { Lease, Stopwatch } from "./annotate-clock.js";
import { Queue, call } from "./annotate-queue.js";
import { TaskForm } from "./annotate-form.js";
import { Problem } from "./api.js";

const DRAFT_AFTER = 1200; // ms without a change
const work = document.querySelector("[data-work]");
const { project, rank, history } = work.dataset;
const find = (selector, root = document) => root.querySelector(selector);

// Our own server's HTML, sanitised there; this page makes no other.
const policy = window.trustedTypes?.createPolicy("touchstone-task", { createHTML: (html) => html });

const page = {
  form: null,
  isReady: false,
  next: null, // the prefetched task
  done: Number(work.dataset.today),

  // -- the task on the screen

  begin() {
    this.form = new TaskForm(find("form.task", work));
    const words = this.form.form.textContent.split(/\s+/).length;
    this.watch?.end();
    this.lease?.end();
    this.watch = new Stopwatch(words);
    this.lease = this.form.isChange ? null : this.startLease();
    this.draftRevision = Number(this.form.form.dataset.draftRevision);
    this.form.show();
    const prompt = find(".prompt", work);
    prompt.scrollTop = find(".turn + .turn", prompt) ? prompt.scrollHeight : 0; // the last turn is what is asked
    this.measure();
    for (const part of document.querySelectorAll("[data-legend] [data-for]")) {
      part.hidden = (part.dataset.for === "pair") !== this.form.isPair;
    }
    // Two frames: keys count only once the task has been painted.
    const { form } = this.form;
    const wake = () => {
      this.isReady = true;
      form.dataset.ready = "yes";
    };
    requestAnimationFrame(() => requestAnimationFrame(wake));
  },

  show(assignment) {
    if (String(assignment.guidelines_version) !== work.dataset.guidelines) {
      this.go(rank); // new guidelines are read first
      return;
    }
    const holder = document.createElement("template");
    holder.innerHTML = policy ? policy.createHTML(assignment.html) : assignment.html;
    const form = holder.content.querySelector("form");
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
    root.setProperty("--prompt-height", `${find(".prompt", work).offsetHeight + 12}px`);
    root.setProperty("--bar-height", `${find(".decision", work).offsetHeight + 12}px`);
  },

  startLease() {
    const { secondsLeft, leaseSeconds, assignment } = this.form.form.dataset;
    return new Lease({
      secondsLeft: Number(secondsLeft),
      leaseSeconds: Number(leaseSeconds),
      isActive: () => !document.hidden && this.watch.idle < 60_000,
      renew: () => call("POST", `/api/v1/assignments/${assignment}/renew`),
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
    const entry = { key, assignment: id, body: { ...this.form.body(), times: this.watch.times() }, draft: this.draftRevision + 1 };
    if (this.form.isChange) {
      await this.change(entry);
      return;
    }
    entry.query = () => this.following(id);
    const { next } = this;
    this.next = null;
    const answer = this.queue.add(entry);
    if (next) this.show(next);
    else this.isWaiting = true;
    if ((await answer) instanceof Problem && this.form.id === id) this.stay();
  },

  // What to ask for together with a submission: the task behind the one on the screen.
  following(sent) {
    if (this.next) return "";
    const shown = this.form.id === sent ? "" : `&after=${this.form.id}`;
    return `?next=true&html=true${shown}`;
  },

  sent(entry, answer) {
    this.done += 1;
    find("[data-done]").textContent = this.done;
    if (!("next" in answer)) return;
    if (answer.next) this.arrive(answer.next);
    else if (this.isWaiting && this.form.id === entry.assignment) this.go(rank);
  },

  arrive(assignment) {
    assignment.at = performance.now();
    if (assignment.id === this.form.id) return;
    if (this.isWaiting) this.show(assignment);
    else this.next = assignment;
  },

  // A submission that the server refused while its form is still there.
  stay() {
    this.isWaiting = false;
    this.isReady = true;
    work.classList.remove("is-busy");
    this.changed(); // to the draft with it: she may have to open the task anew
  },

  refused(entry, problem) {
    const isHere = this.form.id === entry.assignment;
    if (!isHere) this.keepAsDraft(entry);
    const open = { text: "Open it", href: `/assignments/${entry.assignment}` };
    this.say(isHere ? problem.message : `Your answer to an earlier task was not taken. ${problem.message}`, [open]);
  },

  // The form is gone: what it said is there when she opens the task again.
  keepAsDraft({ assignment, draft, body: { times: _, ...said } }) {
    call("PUT", `/api/v1/assignments/${assignment}/draft`, { ...said, revision: draft }).catch(() => {});
  },

  async change(entry) {
    try {
      await call("PUT", `/api/v1/assignments/${entry.assignment}/annotation`, entry.body, { headers: { "Idempotency-Key": entry.key } });
      this.go(history);
    } catch (problem) {
      if (problem.status === 401) this.signedOut();
      else this.say(problem.message);
      this.stay();
    }
  },

  async prefetch() {
    if (this.next || this.form.isChange) return;
    try {
      const { status, data } = await call("POST", `/api/v1/projects/${project}/assignments?html=true`, { after: this.form.id });
      if (status !== 204) this.arrive(data);
    } catch {
      // the next submission asks again
    }
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
      if (problem.status === 401) this.signedOut();
      else this.say(problem.message);
      this.isReady = true;
      return;
    }
    this.hideBanner();
    const { next } = this;
    this.next = null;
    if (!next) this.go(rank);
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
      if (!data.saved && id === this.form.id) this.draftRevision = Math.max(this.draftRevision, data.revision);
    } catch (problem) {
      if (problem.status === 401) this.signedOut();
      else if (id === this.form.id) this.hasChanges = true;
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

  signedOut() {
    const signIn = { text: "Sign in, in a new tab", href: `/sign-in?next=${encodeURIComponent("/account")}`, isNew: true };
    const again = { text: "I have signed in", act: () => this.signedInAgain() };
    this.say("Your sign-in has ended. What you did is still here and will be sent as soon as you are signed in again.", [signIn, again]);
    this.isSignedOut = true;
  },

  signedInAgain() {
    this.hideBanner();
    this.isSignedOut = false;
    this.queue.pump();
    this.saveDraft();
    this.prefetch();
  },

  showQueue(waiting) {
    const badge = find("[data-queue]");
    const isLate = waiting > 1 || this.queue?.tries > 0;
    badge.hidden = !waiting || !isLate;
    badge.textContent = `${waiting} waiting to be sent`;
  },

  go(address) {
    location.assign(address);
  },

  // -- what keys and buttons open

  get skipPanel() {
    return find(".skip[open]", work);
  },
  enter() {
    if (this.skipPanel && !this.form.isChange) this.skip();
    else this.submit();
  },
  chooseReason(number) {
    this.form.check(work.querySelectorAll('input[name="reason"]')[number - 1]);
  },
  openSkip() {
    const panel = find(".skip", work);
    panel.open = true;
    find("input, a", panel)?.focus();
  },
  openRationale() {
    const panel = find(".rationale", work);
    panel.open = true;
    find("textarea", panel).focus();
  },
  openFlags() {
    const label = this.form.focused() ?? this.form.labels[0];
    const panel = find(".flags", this.form.card(label));
    panel.open = true;
    find("input", panel).focus();
  },
  openHelp() {
    find("#help-dialog").showModal();
  },
  openGuidelines() {
    find("#guidelines-dialog")?.showModal();
  },
  undo() {
    this.go(history);
  },
  leave(event) {
    const panel = this.skipPanel;
    if (panel) {
      panel.open = false;
      find("summary", panel).focus();
    } else if (event.target !== document.body && !event.target.closest("dialog")) {
      (event.target.closest(".response") ?? work).focus({ preventScroll: true });
    }
  },
};

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
  signedOut: () => page.signedOut(),
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
});
document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-open]");
  const dialog = opener && document.getElementById(opener.dataset.open);
  if (dialog) {
    event.preventDefault();
    dialog.showModal();
  } else if (page.skipPanel && !event.target.closest(".skip")) page.skipPanel.open = false;
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) page.saveDraft({ keepalive: true });
  else if (page.isSignedOut) page.signedInAgain();
});
addEventListener("pagehide", () => {
  // What was fetched ahead goes back to the others.
  if (page.next) call("POST", `/api/v1/assignments/${page.next.id}/release`, undefined, { keepalive: true }).catch(() => {});
  page.next = null;
});
addEventListener("pageshow", (event) => event.persisted && location.reload());
addEventListener("resize", () => page.measure());

const keysBox = find("[data-shortcuts]");
const showKeys = () => (find("[data-legend]").hidden = !shortcutsAreOn());
keysBox.checked = shortcutsAreOn();
keysBox.addEventListener("change", () => {
  switchShortcuts(keysBox.checked);
  showKeys();
});
showKeys();
find('[data-open="help-dialog"]').hidden = false;
listenToKeys(page);
page.begin();
page.prefetch();
