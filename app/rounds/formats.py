"""What the page shows of rounds: the loop as a picture, the steps in words, tables and charts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.db import JsonObject
from app.quality.rules.money import money, span
from app.rounds import rules
from app.rounds.models import Round, RoundEvent
from app.rounds.rules import Mark, Step

SIZE = (440, 300)
BOX = (124, 42)
RADIUS = (152, 112)
# Degrees from where a clock has its three: the first step stands at the upper left.
PLACES = (-122, -58, 0, 58, 122, 180)


@dataclass(frozen=True, slots=True)
class Node:
    """A step in the picture, by the middle of its box."""

    mark: Mark
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Loop:
    nodes: Sequence[Node]
    arrows: Sequence[str]
    width: int = SIZE[0]
    height: int = SIZE[1]
    box: tuple[int, int] = BOX


def loop(marks: Sequence[Mark]) -> Loop:
    """The six steps on a ring, an arrow from each to the next."""
    middle = (SIZE[0] / 2, SIZE[1] / 2)

    def at(degrees: float) -> tuple[float, float]:
        angle = math.radians(degrees)
        return middle[0] + RADIUS[0] * math.cos(angle), middle[1] + RADIUS[1] * math.sin(angle)

    nodes = [
        Node(mark, round(at(place)[0]), round(at(place)[1]))
        for mark, place in zip(marks, PLACES, strict=True)
    ]
    return Loop(nodes, [_arrow(a, b) for a, b in zip(nodes, nodes[1:] + nodes[:1], strict=True)])


def _arrow(begin: Node, end: Node) -> str:
    """From the edge of one box to the edge of the next, straight."""
    (x, y), (to_x, to_y) = _edge(begin, end, 4), _edge(end, begin, 9)
    return f"M{x:.0f},{y:.0f} L{to_x:.0f},{to_y:.0f}"


def _edge(node: Node, other: Node, gap: float) -> tuple[float, float]:
    """Where the line to the other box leaves this one, and `gap` beyond it."""
    dx, dy = other.x - node.x, other.y - node.y
    wide = (BOX[0] / 2) / abs(dx) if dx else math.inf
    high = (BOX[1] / 2) / abs(dy) if dy else math.inf
    share = min(wide, high) + gap / math.hypot(dx, dy)
    return node.x + share * dx, node.y + share * dy


def in_words(marks: Sequence[Mark]) -> str:
    """The picture for whoever does not see it."""
    said = {"here": "now", "ahead": "ahead"}
    return ", ".join(f"{mark.name}: {said.get(mark.state, mark.state)}" for mark in marks)


# -- steps and figures ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StepLine:
    """What came of a step so far."""

    mark: Mark
    said: str

    @property
    def about(self) -> str:
        return rules.ABOUT[self.mark.step]


def _begins_later(events: Sequence[tuple[RoundEvent, str | None]]) -> bool:
    return bool(events) and events[0][0].step is not Step.GENERATE


def step_lines(
    marks: Sequence[Mark], events: Sequence[tuple[RoundEvent, str | None]]
) -> list[StepLine]:
    said = {Step.GENERATE: "Left out: no model could write yet."} if _begins_later(events) else {}
    for event, _ in events:
        if event.kind in {"done", "skipped", "failed"}:
            said[event.step] = event.message
    return [
        StepLine(mark, said.get(mark.step, "") if mark.state != "here" else "") for mark in marks
    ]


def cost_in_words(cost: JsonObject | None) -> str:
    if not cost or not cost["judgements"]:
        return "nothing: no work was done here"
    time = span(cost["minutes"] / 60)
    return time if cost["total"] is None else f"{money(cost['total'], cost['currency'])}, {time}"


def figure(found: JsonObject | None, digits: int = 2) -> str:
    """`0.61 (0.52–0.70)`, or a dash."""
    if not found or found.get("value") is None:
        return "–"
    said = f"{found['value']:.{digits}f}"
    if found.get("low") is None or found.get("high") is None:
        return said
    return f"{said} ({found['low']:.{digits}f}–{found['high']:.{digits}f})"


def share(found: JsonObject | None) -> str:
    """`61 % (54–68)`, or a dash."""
    if not found or found.get("value") is None:
        return "–"
    said = f"{100 * found['value']:.0f} %"
    if found.get("low") is None or found.get("high") is None:
        return said
    return f"{said} ({100 * found['low']:.0f}–{100 * found['high']:.0f})"


def charts(rounds: Sequence[Round]) -> dict[str, Any]:
    """Figures over rounds, oldest first, for the charts; empty where there is but one."""
    known = [each for each in reversed(rounds) if each.figures]
    if len(known) < 2:
        return {}

    def of(name: str) -> list[JsonObject | None]:
        return [
            {"round": each.number} | {key: found.get(key) for key in ("value", "low", "high")}
            if (found := each.figures.get(name)) and found.get("value") is not None
            else None
            for each in known
        ]

    return {
        "rounds": [each.number for each in known],
        "agreement": of("agreement"),
        "accuracy": of("accuracy"),
        "ceiling": [(each.figures.get("people") or {}).get("best") for each in known],
        "win": of("win"),
    }
