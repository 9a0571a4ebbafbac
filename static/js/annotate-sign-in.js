// Signing in without leaving the page: nothing that is on it is lost, and nothing goes out in
// another person's name.

import { signIn } from "./annotate-session.js";

export class SignIn {
  // `back`: she is signed in again; `other`: somebody else is, and her page must go.
  constructor({ dialog, back, other }) {
    Object.assign(this, { dialog, back, other });
    this.form = dialog.querySelector("form");
    this.problem = dialog.querySelector("[data-sign-in-problem]");
    this.form.addEventListener("submit", (event) => this.submit(event));
    dialog.querySelector("[data-sign-in-later]").addEventListener("click", () => dialog.close());
  }

  open(text) {
    if (this.dialog.open) return;
    this.dialog.querySelector("[data-sign-in-text]").textContent = text;
    this.problem.hidden = true;
    this.dialog.showModal();
    this.form.elements.password.focus();
  }

  async submit(event) {
    event.preventDefault();
    if (this.isBusy) return;
    this.isBusy = true;
    const { email, password } = this.form.elements;
    try {
      const { isHers, name } = await signIn(email.value, password.value);
      password.value = "";
      if (isHers) {
        this.dialog.close();
        this.back();
      } else this.other(name);
    } catch (problem) {
      this.problem.textContent = problem.message;
      this.problem.hidden = false;
      password.select();
    }
    this.isBusy = false;
  }
}
