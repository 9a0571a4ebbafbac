"""What axe finds wrong with a page for those who cannot see, hear or point as others do."""

from typing import Any

from axe_playwright_python.base import AXE_SCRIPT

OPTIONS = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
    "resultTypes": ["violations"],  # what is right need not be described element by element
}
FAULTS = """async ([context, options]) => {
  const found = await axe.run(context ?? document, options);
  return found.violations.map((each) => [
    each.id, each.nodes.map((node) => node.html.slice(0, 200)),
  ]);
}"""

NONE: dict[str, list[Any]] = {"light": [], "dark": []}


def faults(page: Any, context: str | None = None) -> list[tuple[str, list[str]]]:
    """Each broken rule with the elements that break it, on the whole page or a part of it."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    return [tuple(each) for each in page.evaluate(FAULTS, [context, OPTIONS])]


def faults_by_scheme(page: Any) -> dict[str, list[tuple[str, list[str]]]]:
    """The same in light and in dark, of the page as it is."""
    found = {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        found[scheme] = faults(page)
    return found
