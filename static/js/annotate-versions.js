// Two answers of hers to one task, side by side: the stored one and the one she just gave.

export const orderOf = ({ ranking }) => ranking.map((group) => group.join(" = ")).join("  >  ");

const words = (given, levels) => {
  const order = orderOf(given);
  return given.strength ? `${order}, by ${given.strength} of ${levels || given.strength}` : order;
};

function part(term, text) {
  const name = document.createElement("dt");
  const value = document.createElement("dd");
  name.textContent = term;
  value.textContent = text;
  value.dir = "auto";
  return [name, value];
}

function fill(list, given, levels) {
  const rows = [part("Order", words(given, levels))];
  for (const [key, values] of Object.entries(given.ratings ?? {})) {
    rows.push(part(key, Object.entries(values).map(([label, value]) => `${label} ${value}`).join(", ")));
  }
  for (const [label, flags] of Object.entries(given.flags ?? {})) rows.push(part(`Flags of ${label}`, flags.join(", ")));
  if (given.rationale) rows.push(part("Why", given.rationale));
  if (given.rewrite) rows.push(part("Rewrite", given.rewrite));
  list.replaceChildren(...rows.flat());
}

// Resolves with "mine" when she wants the one she just gave, else with "stored". Only a button says
// so: a key that was meant for the task behind it, be it Enter or Esc, decides nothing.
export function choose(dialog, { stored, mine, levels = 0 }) {
  fill(dialog.querySelector("[data-stored]"), stored, levels);
  fill(dialog.querySelector("[data-mine]"), mine, levels);
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => (dialog.returnValue ? resolve(dialog.returnValue) : dialog.showModal());
  });
}
