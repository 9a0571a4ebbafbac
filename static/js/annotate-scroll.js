// Where a text stands, in headings or paragraphs rather than pixels, so that another one, longer or
// shorter, can be brought to the same place.

// Headings where both texts have as many, else paragraphs.
const HEADINGS = "h1, h2, h3, h4, h5, h6";

function marks(text, selector) {
  const top = text.getBoundingClientRect().top - text.scrollTop;
  const found = selector ? [...text.querySelectorAll(selector)] : [...text.children];
  const tops = found.map((each) => each.getBoundingClientRect().top - top);
  const first = tops[0] > 1 || !tops.length ? [0] : [];
  return [...first, ...tops, text.scrollHeight];
}

function position(tops, y) {
  let at = tops.findLastIndex((top) => top <= y + 1);
  at = Math.min(Math.max(at, 0), tops.length - 2);
  return at + (y - tops[at]) / Math.max(1, tops[at + 1] - tops[at]);
}

export function place(text) {
  const isEnd = text.scrollTop + text.clientHeight >= text.scrollHeight - 2;
  const headings = marks(text, HEADINGS);
  const paragraphs = marks(text);
  return {
    isEnd,
    headings: headings.length,
    byHeading: position(headings, text.scrollTop),
    paragraphs: paragraphs.length,
    byParagraph: position(paragraphs, text.scrollTop),
  };
}

// Brings the text to that place and answers where it stands then.
export function scrollTo(text, at) {
  const headings = marks(text, HEADINGS);
  const isAlike = headings.length > 2 && headings.length === at.headings;
  const tops = isAlike ? headings : marks(text);
  const share = (tops.length - 1) / Math.max(1, at.paragraphs - 1);
  const to = isAlike ? at.byHeading : at.byParagraph * share;
  const before = Math.min(Math.floor(to), tops.length - 2);
  text.scrollTop = at.isEnd ? text.scrollHeight : tops[before] + (to - before) * (tops[before + 1] - tops[before]);
  return text.scrollTop;
}
