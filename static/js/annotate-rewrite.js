// A better response, written by the annotator: from nothing, or from a copy of one of the others.

import { call } from "./annotate-session.js";

const LONGEST = 100_000; // characters that the server takes

export class Rewrite {
  constructor(form, say) {
    this.form = form;
    this.say = say;
    this.box = form.form.querySelector('textarea[name="rewrite"]');
    this.row = form.form.querySelector(".rewrite-from");
    this.row.hidden = false;
    this.back = this.row.querySelector("[data-back]");
    this.row.addEventListener("click", (event) => {
      const from = event.target.closest("[data-from]");
      if (from) this.start(from.dataset.from);
      else if (event.target.closest("[data-back]")) this.write(this.before);
    });
  }

  async start(label) {
    let answer;
    try {
      this.texts ??= (await call("GET", `/api/v1/assignments/${this.form.id}`)).data.responses;
      answer = this.texts.find((each) => each.label === label).text;
    } catch (problem) {
      this.say(problem.message ?? "That did not work. Try again.");
      return;
    }
    if (this.form.form.inert) return; // handed in meanwhile
    if (answer.length > LONGEST) {
      this.say(`Response ${label} is too long to be copied here.`);
      return;
    }
    this.write(answer);
  }

  // What she wrote there can be had back with one press, however many copies she looks at.
  write(text) {
    if (this.box.value !== this.copied) this.before = this.box.value;
    this.copied = text;
    this.box.value = text;
    this.back.hidden = !this.before.trim() || this.before === text;
    this.box.dispatchEvent(new Event("input", { bubbles: true }));
    this.box.focus();
    this.box.setSelectionRange(0, 0);
    this.box.scrollTop = 0;
  }
}
