// What stands around the task: her tabs, signing in again, pauses, breaks, signing out.

import { Breaks } from "./annotate-breaks.js";
import { Pause } from "./annotate-pause.js";
import { SignIn } from "./annotate-sign-in.js";
import { Tabs } from "./annotate-tabs.js";

const find = (selector) => document.querySelector(selector);

export function careFor(page, work) {
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
    until: () => page.lease && Date.now() + page.lease.left,
    begun: () => page.rest(),
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
    button.addEventListener("click", () => page.pause.takeBreak());
  }
  find('form[action="/sign-out"]')?.addEventListener("submit", (event) => {
    event.preventDefault();
    page.signOut(event.target);
  });
}
