// Whose page this is, and who is signed in by now: the same, nobody, or somebody else.

import { api, Problem } from "./api.js";

const PATIENCE = 30_000; // ms for one answer: a connection may hang without being lost

const owner = document.querySelector("[data-user]")?.dataset.user ?? null;
let token = document.querySelector('meta[name="form-token"]')?.content ?? "";

// The token of her present sign-in; a Problem when it is not hers.
async function renewToken() {
  const { data } = await api("GET", "/sign-in/state");
  if (data.user_id !== owner) throw notHers(data);
  const isNew = data.form_token !== token;
  take(data.form_token);
  return isNew;
}

function notHers({ user_id: id, name }) {
  const detail = id ? `This browser is signed in as ${name} now.` : "Your sign-in has ended.";
  const problem = new Problem(401, { detail });
  problem.isSomebodyElse = Boolean(id);
  return problem;
}

function take(fresh) {
  token = fresh;
  document.querySelectorAll('input[name="form_token"]').forEach((field) => (field.value = fresh));
}

// As `api`. A sign-in in another tab has another token: where it is still she, it is taken; the
// work of one person is never sent in the name of another.
export async function call(method, url, body, options = {}) {
  const once = () => {
    const signals = [options.signal, AbortSignal.timeout(PATIENCE)].filter(Boolean);
    const headers = { ...options.headers, "X-Form-Token": token };
    return api(method, url, body, { ...options, headers, signal: AbortSignal.any(signals) });
  };
  try {
    return await once();
  } catch (problem) {
    if (problem.status !== 403 || !(await renewToken())) throw problem;
    return once();
  }
}

// Whether she herself is signed in again, perhaps through another tab.
export async function isBack() {
  try {
    await renewToken();
    return true;
  } catch {
    return false;
  }
}

// Sign in without leaving the page; answers whether it is the person whose page this is.
export async function signIn(email, password) {
  const send = () =>
    fetch("/sign-in/here", {
      method: "POST",
      credentials: "same-origin",
      headers: { Accept: "application/json", "X-Form-Token": token },
      body: new URLSearchParams({ email, password }),
    });
  let reply;
  try {
    reply = await send();
    if (reply.status === 403) {
      // The cookie is not the one this page came with: its token is wanted, whosever it is.
      const { data } = await api("GET", "/sign-in/state");
      if (data.form_token !== token) {
        token = data.form_token;
        reply = await send();
      }
    }
  } catch {
    throw new Problem(0, null);
  }
  const data = await reply.json().catch(() => null);
  if (!reply.ok) throw new Problem(reply.status, data, reply.headers.get("Retry-After"));
  if (data === null) throw new Problem(0, null);
  if (data.user_id !== owner) return { isHers: false, name: data.name };
  take(data.form_token);
  return { isHers: true, name: data.name };
}
