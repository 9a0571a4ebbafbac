"""Lineage as a picture: boxes from left to right, and for narrow windows one below the other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import fmean
from typing import Any

BOX = (186, 60)
GAP = (46, 18)
LINE = 21  # letters that fit into a box
TALL_LINE = 32
TALL_BOX = (262, 52)
TALL_GAP = 22
LANE = 10  # what an arrow past a column takes of its height
WAY = "way"
GUTTER = 64  # left of the boxes that stand below each other, for the arrows past others


@dataclass(slots=True)
class Box:
    """A rectangle with two lines of text; `target` says what it leads to: (route, id)."""

    key: str
    kind: str
    title: str
    detail: str
    target: tuple[str, str] | None = None
    column: int = 0
    x: int = 0
    y: int = 0
    line: int = LINE

    @property
    def short_title(self) -> str:
        return self.title if len(self.title) <= self.line else f"{self.title[: self.line - 1]}…"


@dataclass(frozen=True, slots=True)
class Arrow:
    path: str
    how: str = ""  # reward, written: drawn in another way

    @property
    def is_reward(self) -> bool:
        return self.how == "reward"


@dataclass(frozen=True, slots=True)
class Picture:
    """`tall` is the same, one box below the other."""

    width: int
    height: int
    boxes: list[Box]
    arrows: list[Arrow]
    box: tuple[int, int] = field(default=BOX)
    tall: "Picture | None" = None


Boxes = dict[str, Box]
Edges = dict[tuple[str, str], str]  # (from, to) → how, where that is worth another line


def picture(lineage: dict[str, Any]) -> Picture:
    """Lay out the JSON of a lineage; each box stands right of all it came from."""
    boxes: Boxes = {}
    edges: Edges = {}
    for found in lineage["snapshots"]:
        _data(found, boxes, edges)
    for step in _steps(lineage):
        _training(step, boxes, edges)
    for found in lineage["snapshots"]:
        _written(found, boxes, edges)
    return laid_out(boxes, edges)


def laid_out(boxes: Boxes, edges: Edges) -> Picture:
    """Both ways of showing them."""
    _columns(boxes, edges)
    below = _below(boxes, edges)
    return replace(_drawn(boxes, edges), tall=below)


def _data(found: dict[str, Any], boxes: Boxes, edges: Edges) -> None:
    """Guidelines → judgements → snapshot."""
    key = f"snapshot {found['id']}"
    people, judgements = len(found["annotators"]), found["annotations"]
    boxes[key] = Box(key, "snapshot", found["name"], "snapshot", ("snapshot", found["id"]))
    source = f"judgements {found['id']}"
    boxes[source] = Box(
        source,
        "judgements",
        f"{judgements:,} judgements",
        f"by {people} {'person' if people == 1 else 'people'} or sources",
    )
    edges[source, key] = ""
    if versions := found["guidelines_versions"]:
        guidelines = f"guidelines {found['id']}"
        numbers = ", ".join(str(version) for version in versions)
        plural = "versions" if len(versions) > 1 else "version"
        boxes[guidelines] = Box(guidelines, "guidelines", "Guidelines", f"{plural} {numbers}")
        edges[guidelines, source] = ""


def _training(step: dict[str, Any], boxes: Boxes, edges: Edges) -> None:
    """What went into one checkpoint."""
    checkpoint, run = step["checkpoint"], step["run"]
    key = f"checkpoint {checkpoint['id']}"
    steps = f"{checkpoint['kind']}, {checkpoint['step']:,} steps"
    if checkpoint.get("removed_at"):
        steps = f"{checkpoint['kind']}, weights removed"
    boxes[key] = Box(key, "checkpoint", checkpoint["name"], steps, ("checkpoint", checkpoint["id"]))
    if step["snapshot_id"]:
        edges[f"snapshot {step['snapshot_id']}", key] = ""
    for name, how in (("parent", ""), ("reward", "reward")):
        if step[name]:
            edges[f"checkpoint {step[name]['checkpoint']['id']}", key] = how
    base = run["base"] if run else {}
    if not step["parent"] and ("new" in base or "model" in base):
        begin = f"base {checkpoint['id']}"
        title = f"A new {base['new']} model" if "new" in base else str(base["model"])
        boxes[begin] = Box(begin, "base", title, "began with")
        edges[begin, key] = ""


def _steps(step: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Each checkpoint of the tree once, those it was made from first."""
    seen: set[str] = set()

    def walk(step: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for name in ("parent", "reward"):
            if step[name]:
                yield from walk(step[name])
        if step["checkpoint"]["id"] not in seen:
            seen.add(step["checkpoint"]["id"])
            yield step

    return walk(step)


def _written(found: dict[str, Any], boxes: Boxes, edges: Edges) -> None:
    """Models that wrote what was judged: what learns from that descends from them, too."""
    for writer in found.get("written_by", []):
        about = f"wrote {writer['judgements']:,} of what was judged"
        if "endpoint" in writer:
            key = f"endpoint {writer['endpoint']}"
            boxes.setdefault(key, Box(key, "base", f"{writer['name']}, elsewhere", about))
        else:
            key = f"checkpoint {writer['checkpoint_id']}"
            target = ("checkpoint", writer["checkpoint_id"])
            boxes.setdefault(key, Box(key, "checkpoint", writer["name"], about, target))
        edges[key, f"judgements {found['id']}"] = "written"


def _columns(boxes: Boxes, edges: Edges) -> None:
    """The longest way from a beginning; a beginning itself stands just before its first use."""
    for _ in boxes:
        moved = False
        for begin, end in edges:
            column = boxes[begin].column + 1
            if boxes[end].column < column <= len(boxes):  # even where models go round in a circle
                boxes[end].column, moved = column, True
        if not moved:
            break
    ends = {end for _, end in edges}
    for key, box in boxes.items():
        if key not in ends:
            uses = [boxes[end].column for begin, end in edges if begin == key]
            box.column = max(0, min(uses, default=1) - 1)


def _drawn(boxes: Boxes, edges: Edges) -> Picture:
    """In columns, each in the middle, its boxes in the order of what they came from.

    An arrow past other columns has a place of its own in each, so that it runs behind no box.
    """
    columns: dict[int, list[Box]] = {}
    for box in boxes.values():
        columns.setdefault(box.column, []).append(box)
    ways = {(begin, end): _way(boxes[begin], boxes[end], columns) for begin, end in edges}
    _straighten(columns, [pair for way in ways.values() for pair in pairwise(way)])
    heights = {
        number: sum(_high(box) + GAP[1] for box in column) - GAP[1]
        for number, column in columns.items()
    }
    height = max(heights.values(), default=BOX[1])
    for place, number in enumerate(sorted(columns)):
        y = (height - heights[number]) // 2
        for box in columns[number]:
            box.x, box.y = place * (BOX[0] + GAP[0]), y
            y += _high(box) + GAP[1]
    width = max(1, len(columns)) * (BOX[0] + GAP[0]) - GAP[0]
    arrows = [Arrow(_path(ways[edge]), how) for edge, how in edges.items()]
    return Picture(width, height, list(boxes.values()), arrows)


def _way(begin: Box, end: Box, columns: dict[int, list[Box]]) -> list[Box]:
    """From box to box, by the places in the columns between them."""
    between = [number for number in sorted(columns) if begin.column < number < end.column]
    places = []
    for number in between:
        place = Box(f"{begin.key} → {end.key} at {number}", WAY, "", "", column=number)
        columns[number].append(place)
        places.append(place)
    return [begin, *places, end]


def _high(box: Box) -> int:
    return LANE if box.kind == WAY else BOX[1]


def _straighten(columns: dict[int, list[Box]], edges: Sequence[tuple[Box, Box]]) -> None:
    """Fewer crossings: each column in the order of its neighbours' middle, there and back."""
    rows = {box.key: float(row) for column in columns.values() for row, box in enumerate(column)}
    before: dict[str, list[str]] = {}
    after: dict[str, list[str]] = {}
    for begin, end in edges:
        before.setdefault(end.key, []).append(begin.key)
        after.setdefault(begin.key, []).append(end.key)
    for backwards in (False, True, False):
        near = after if backwards else before
        for number in sorted(columns, reverse=backwards):
            middles = {
                box.key: fmean(rows[key] for key in near.get(box.key, [box.key]))
                for box in columns[number]
            }
            columns[number].sort(key=lambda box: middles[box.key])
            centre = (len(columns[number]) - 1) / 2
            for row, box in enumerate(columns[number]):
                rows[box.key] = row - centre


def _path(way: Sequence[Box]) -> str:
    """A curve from the right side of the first to the left side of the last."""
    x, y = way[0].x + BOX[0], way[0].y + BOX[1] // 2
    drawn = [f"M{x},{y}"]
    for box in way[1:]:
        to_x, to_y = box.x, box.y + _high(box) // 2
        if box is way[-1]:
            to_x -= 6
        bend = (x + to_x) // 2
        drawn.append(f"C{bend},{y} {bend},{to_y} {to_x},{to_y}")
        if box is not way[-1]:
            drawn.append(f"L{box.x + BOX[0]},{to_y}")
        x, y = box.x + BOX[0], to_y
    return " ".join(drawn)


def _below(boxes: Boxes, edges: Edges) -> Picture:
    """One box below the other, arrows in the gutter on the left."""
    wide, high = TALL_BOX
    rows = {
        key: row
        for row, (key, _) in enumerate(sorted(boxes.items(), key=lambda item: item[1].column))
    }
    placed = [
        replace(boxes[key], x=GUTTER, y=row * (high + TALL_GAP), line=TALL_LINE)
        for key, row in rows.items()
    ]
    arrows = []
    for (begin, end), how in edges.items():
        top, bottom = rows[begin] * (high + TALL_GAP), rows[end] * (high + TALL_GAP)
        apart = rows[end] - rows[begin]
        if apart == 1:
            x = GUTTER + 28
            arrows.append(Arrow(f"M{x},{top + high} L{x},{bottom - 6}", how))
        else:
            bend = GUTTER - min(GUTTER + 18, 24 + 11 * abs(apart))
            y, to_y = top + high // 2 + 8, bottom + high // 2 - 8
            arrows.append(
                Arrow(f"M{GUTTER},{y} C{bend},{y} {bend},{to_y} {GUTTER - 6},{to_y}", how)
            )
    height = max(1, len(boxes)) * (high + TALL_GAP) - TALL_GAP
    return Picture(GUTTER + wide, height, placed, arrows, box=TALL_BOX)
