// Our own server's HTML, sanitised there; the ranking page makes no other.

const policy = window.trustedTypes?.createPolicy("touchstone-task", { createHTML: (html) => html });

export function fragmentOf(html) {
  const holder = document.createElement("template");
  holder.innerHTML = policy ? policy.createHTML(html) : html;
  return holder.content;
}
