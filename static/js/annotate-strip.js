// The order as a row of letters that can be dragged. An extra: digits, arrows and buttons do the same.

const DRAG_FROM = 6; // px; less is a click

function element(name, classes, text = "") {
  const made = document.createElement(name);
  made.className = classes;
  made.textContent = text;
  return made;
}

export class Strip {
  constructor(form) {
    this.form = form;
    this.holder = form.form.querySelector("[data-strip]");
    this.holder.hidden = false;
    this.drag = null;
    const on = (kind, act) => this.holder.addEventListener(kind, act);
    on("pointerdown", (event) => this.down(event));
    on("pointermove", (event) => this.move(event));
    on("pointerup", (event) => this.up(event));
    on("pointercancel", () => this.end());
    on("click", (event) => this.click(event));
    on("keydown", (event) => event.key === "Escape" && this.drag && this.end());
  }

  draw() {
    if (this.drag) return;
    const groups = this.form.ranking(true) ?? [];
    const placed = groups.flat();
    const open = this.form.labels.filter((label) => !placed.includes(label));
    const focused = document.activeElement?.dataset?.chip;
    const before = (at) => groups.slice(0, at).flat().length;
    const parts = groups.flatMap((group, at) => [...(at ? [this.sign(">")] : []), this.group(group, at, before(at) + 1)]);
    if (!groups.length) parts.push(element("span", "strip-empty", "best first"));
    if (open.length) {
      const rest = element("span", "strip-open");
      rest.append(...open.map((label) => this.chip(label, "without a place")));
      parts.push(rest);
    }
    this.holder.replaceChildren(...parts);
    if (focused) this.holder.querySelector(`[data-chip="${focused}"]`)?.focus();
  }

  sign(text) {
    const sign = element("span", "strip-sign", text);
    sign.setAttribute("aria-hidden", "true");
    return sign;
  }

  group(labels, at, rank) {
    const group = element("span", "strip-group");
    group.dataset.at = at;
    for (const label of labels) {
      if (label !== labels[0]) group.append(this.sign("="));
      group.append(this.chip(label, `place ${rank}`));
    }
    return group;
  }

  chip(label, where) {
    const chip = element("button", "chip", label);
    chip.type = "button";
    chip.dataset.chip = label;
    chip.setAttribute("aria-label", `Response ${label}, ${where}: go to it`);
    return chip;
  }

  // -- dragging

  down(event) {
    const chip = event.target.closest(".chip");
    this.wasDragged = false;
    if (!chip || event.button > 0 || !event.isPrimary) return; // a second finger is about something else
    chip.setPointerCapture(event.pointerId); // wherever it is let go, however fast it went
    this.start = { chip, x: event.clientX, y: event.clientY, id: event.pointerId };
  }

  move(event) {
    const { start } = this;
    if (!start || event.pointerId !== start.id) return;
    const [dx, dy] = [event.clientX - start.x, event.clientY - start.y];
    if (!this.drag) {
      if (Math.hypot(dx, dy) < DRAG_FROM) return;
      this.drag = { label: start.chip.dataset.chip };
      start.chip.classList.add("is-dragged");
      this.holder.classList.add("is-dragging");
    }
    start.chip.style.translate = `${dx}px ${dy}px`;
    this.aim(event.clientX, event.clientY);
  }

  // Where it would land: before or after a group, or in it as a tie.
  aim(x, y) {
    this.holder.querySelectorAll("[data-drop]").forEach((each) => delete each.dataset.drop);
    const others = (group) => [...group.querySelectorAll(".chip")].filter((chip) => chip.dataset.chip !== this.drag.label);
    let best = null;
    for (const group of this.holder.querySelectorAll(".strip-group, .strip-empty")) {
      const isEmpty = group.matches(".strip-empty");
      if (!isEmpty && !others(group).length) continue;
      const box = group.getBoundingClientRect();
      const aside = Math.max(box.left - x, 0, x - box.right);
      const away = Math.hypot(aside, Math.max(box.top - y, 0, y - box.bottom) * 4);
      if (!best || away < best.away) best = { group, box, away, isEmpty };
    }
    if (!best || best.away > 400) {
      this.drag.to = null;
      return;
    }
    const across = (x - best.box.left) / best.box.width;
    const isTie = this.form.allowsTies && !best.isEmpty && across > 0.28 && across < 0.72;
    const drop = isTie ? "tie" : across < 0.5 ? "before" : "after";
    best.group.dataset.drop = drop;
    this.drag.to = { at: best.isEmpty ? null : Number(best.group.dataset.at), drop };
  }

  up(event) {
    if (event.pointerId !== this.start?.id) return;
    const { drag } = this;
    this.end();
    if (!drag) return;
    this.wasDragged = true;
    if (!drag.to) return;
    const groups = (this.form.ranking(true) ?? []).map((group) => group.filter((label) => label !== drag.label));
    const { at, drop } = drag.to;
    if (at === null) groups.push([drag.label]);
    else if (drop === "tie") groups[at].push(drag.label);
    else groups.splice(drop === "before" ? at : at + 1, 0, [drag.label]);
    this.form.arrange(groups.filter((group) => group.length));
  }

  end() {
    this.start?.chip.style.removeProperty("translate");
    const wasDrag = this.drag;
    this.start = null;
    this.drag = null;
    this.holder.classList.remove("is-dragging");
    if (wasDrag) this.draw(); // a click needs the letter it began on
  }

  click(event) {
    const chip = event.target.closest(".chip");
    if (chip && !this.wasDragged) this.form.focus(chip.dataset.chip);
    this.wasDragged = false;
  }
}
