// How much of a long piece of work is done, as a bar and in words with the time that is left.

const TOO_SOON = 3; // seconds after which the pace is known well enough

const spoken = (seconds) => {
  if (seconds < 60) return "less than a minute";
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `about ${minutes} minute${minutes === 1 ? "" : "s"}`;
  const hours = Math.round(minutes / 60);
  return `about ${hours} hour${hours === 1 ? "" : "s"}`;
};

// Draws on the bar inside `place` and on a line that it puts below; answers what to call with the
// amount that is done and the whole. Of work that went back to its beginning the pace begins anew.
export function shareOf(place) {
  const bar = place.querySelector("progress");
  const words = document.createElement("span");
  words.className = "small muted";
  words.setAttribute("aria-live", "off"); // the bar tells it to who does not see it, when asked
  bar.after(words);
  let first = null;
  return (done, whole) => {
    if (!done || !whole) {
      first = null;
      bar.removeAttribute("value");
      words.textContent = "";
      return;
    }
    const now = performance.now() / 1000;
    if (!first || done < first.done) first = { done, now };
    const share = Math.min(1, done / whole);
    bar.value = share;
    const passed = now - first.now;
    const left = ((whole - done) * passed) / (done - first.done);
    const isKnown = passed > TOO_SOON && Number.isFinite(left) && share < 1;
    const told = share === 1 ? "read to its end, the last rows are being written" : "read";
    words.textContent = `${Math.floor(100 * share)} % ${told}${isKnown ? `, ${spoken(left)} left` : ""}`;
  };
}
