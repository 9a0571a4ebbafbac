// An answer that the server refused while its form is gone, be it with a task left behind or in a crash.

import { asControl } from "./annotate-html.js";
import { call } from "./annotate-session.js";
import { orderOf } from "./annotate-versions.js";

export const GONE = "The task was taken away, or you are no longer in this project: ask its admins.";

// Whether the server had it already, and only its reply was lost.
export async function isDone(id) {
  try {
    const { data } = await call("GET", `/api/v1/assignments/${id}`);
    return data.state === "submitted";
  } catch {
    return false;
  }
}

// Whether what it said is there when she opens the task again. A newer draft of hers stays as it is.
export async function keepAsDraft({ assignment, draft, body: { times: _, from_draft: hasTexts, ...said } }) {
  const url = `/api/v1/assignments/${assignment}`;
  try {
    const { rationale, rewrite } = (hasTexts && (await call("GET", url)).data.draft) || {};
    const { data } = await call("PUT", `${url}/draft`, { rationale, rewrite, ...said, revision: draft });
    return data.saved;
  } catch {
    return false;
  }
}

// What she is told of it; the order itself, where nothing else keeps it.
export function refusalOf({ body }, problem, isKept) {
  const why = problem.status === 404 ? GONE : problem.message;
  const said = isKept ? "" : ` You had said: ${orderOf(body)}.`;
  return `Your answer to an earlier task was not taken. ${why}${said}`;
}

// A notice for each, since several may be refused at once: what is said of one must not go with what
// is said next. It stays until she goes back to that task, or closes it.
export function tell(id, text, control) {
  takeBack(id);
  const notice = document.createElement("p");
  notice.className = "notice notice-warn";
  notice.dataset.refused = id;
  notice.setAttribute("role", "alert");
  notice.append(`${text} `, control, " ", asControl({ text: "Close", act: () => takeBack(id) }));
  document.querySelector("[data-user]").after(notice); // the first: what the page begins with
}

export function takeBack(id) {
  document.querySelector(`[data-refused="${id}"]`)?.remove();
}
