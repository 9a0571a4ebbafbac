// What the ranking page does when something comes between her and the server: answers that were
// refused, another tab or device, a sign-in that has ended. Nothing she wrote is cleared. These are
// methods of the page.

import { asControl } from "./annotate-html.js";
import { GONE, isDone, keepAsDraft, refusalOf, tell } from "./annotate-rescue.js";
import { choose } from "./annotate-versions.js";

const work = document.querySelector("[data-work]");
const { rank, history } = work.dataset;
const dialog = document.querySelector("#versions-dialog");

// A dialog must not catch what somebody is just typing elsewhere.
const isTyping = () => document.activeElement?.matches('textarea, input:not([type="radio"], [type="checkbox"])');

export const troubles = {
  // -- an answer that was not taken

  async refused(entry, problem) {
    const id = entry.assignment;
    const { goesTo } = this;
    this.goesTo = null; // she hears of it on this page
    if (goesTo && this.isWaiting) this.say("You are done with the task below.", [{ text: "To the next task", act: () => this.go(rank) }]);
    else if (goesTo) this.hideBanner();
    if (problem.status === 409 && problem.body?.errors?.[0]?.current) {
      await this.compare(entry, problem.body.errors[0].current);
      return;
    }
    if (entry.isRescued && (await isDone(id))) {
      if (goesTo) this.go(goesTo); // it was there already
      return;
    }
    const isHere = this.form.id === id && !entry.isRescued; // what a crash left is on no screen
    const isNews = problem.body?.errors?.some(({ field }) => field === "guidelines_version");
    if (isNews) this.handedIn.delete(id); // what is asked has changed: its form would only be refused again
    const open = { text: isNews ? "Open it" : "Go back to it", href: `/assignments/${id}` };
    if (isHere) {
      this.say(problem.status === 404 ? GONE : problem.message, isNews ? [open] : []);
      return;
    }
    const isKept = await keepAsDraft(entry); // the form here is gone with the page
    const held = this.handedIn.get(id);
    if (held && isKept) held.form.dataset.draftRevision = entry.draft;
    const text = refusalOf(entry, problem, held || isKept);
    tell(id, text, asControl(held ? { text: open.text, act: () => this.goBackTo(id) } : open));
  },

  // Two answers of hers to one task: she says which one stands. One such question at a time.
  compare(entry, stored) {
    this.comparing = (this.comparing ?? Promise.resolve()).then(() => this.decide(entry, stored));
    return this.comparing;
  },

  async decide(entry, stored) {
    const isHere = this.form.id === entry.assignment;
    const levels = Number(this.form.form.dataset.levels);
    if ((await choose(dialog, { stored, mine: entry.body, levels })) === "mine") {
      const body = { ...entry.body, revision: stored.revision };
      this.queue.add({ ...entry, key: crypto.randomUUID(), body, query: undefined });
    } else this.handedIn.delete(entry.assignment);
    if (!isHere) return;
    this.stopDrafts();
    this.go(this.form.isChange ? history : rank);
  },

  // -- another tab or device

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

  // -- the sign-in

  // Her sign-in is over. Whoever is typing is told in a banner; whoever hands in signs in at once.
  signedOut(problem, isUrgent = false) {
    this.isSignedOut = true;
    const isOther = Boolean(problem?.isSomebodyElse);
    const begin = isOther ? problem.message : "Your sign-in has ended.";
    const then = this.queue.entries.length ? "will be sent" : "can be handed in";
    const text = `${begin} What you did is still here and ${then} as soon as you are signed in again.`;
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
    this.lease?.askAnew();
    this.prefetch();
  },

  // Somebody else signed in here: what the first one left is not hers to see, change or send.
  becomeAnother(name) {
    this.isReady = false;
    document.querySelector("#sign-in-dialog").close();
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
};
