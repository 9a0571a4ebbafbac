// The launch form shows only the fields of the base that is chosen.

const form = document.querySelector("[data-launch]");

function show() {
  const chosen = new FormData(form).get("base");
  for (const field of form.querySelectorAll("[data-for-base]")) field.hidden = field.dataset.forBase !== chosen;
}

if (form) {
  form.addEventListener("change", show);
  show();
}
