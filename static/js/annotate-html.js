// Our own server's HTML, sanitised there; the ranking page makes no other.

const policy = window.trustedTypes?.createPolicy("touchstone-task", { createHTML: (html) => html });

export function fragmentOf(html) {
  const holder = document.createElement("template");
  holder.innerHTML = policy ? policy.createHTML(html) : html;
  return holder.content;
}

// A link, or a button that acts.
export function asControl({ text, href, isNew, act }) {
  const control = document.createElement(href ? "a" : "button");
  control.className = "btn btn-small";
  control.textContent = text;
  if (href) control.href = href;
  else control.type = "button";
  if (isNew) control.target = "_blank";
  if (act) control.addEventListener("click", act);
  return control;
}
