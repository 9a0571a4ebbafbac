"""What axe finds wrong with a page for those who cannot see, hear or point as others do."""

from typing import Any

from axe_playwright_python.sync_playwright import Axe

AXE = Axe()
OPTIONS = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
    "resultTypes": ["violations"],  # what is right need not be described element by element
}


NONE: dict[str, list[Any]] = {"light": [], "dark": []}


def faults(page: Any, context: str | None = None) -> list[tuple[str, list[str]]]:
    """Each broken rule with the elements that break it, on the whole page or a part of it."""
    found = AXE.run(page, context=context, options=OPTIONS).response["violations"]
    return [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in found]


def faults_by_scheme(page: Any) -> dict[str, list[tuple[str, list[str]]]]:
    """The same in light and in dark, of the page as it is."""
    found = {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        found[scheme] = faults(page)
    return found
