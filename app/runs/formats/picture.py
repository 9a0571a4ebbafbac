"""The lineage of a checkpoint as a picture: boxes in columns, from guidelines to weights."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

BOX = (178, 60)
GAP = (46, 18)
LINE = 23  # letters that fit into a box


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

    @property
    def short_title(self) -> str:
        return self.title if len(self.title) <= LINE else f"{self.title[: LINE - 1]}…"


@dataclass(frozen=True, slots=True)
class Arrow:
    path: str
    is_reward: bool


@dataclass(frozen=True, slots=True)
class Picture:
    width: int
    height: int
    boxes: list[Box]
    arrows: list[Arrow]
    box: tuple[int, int] = field(default=BOX)


def picture(lineage: dict[str, Any]) -> Picture:
    """Lay out the JSON of a lineage; each box stands right of all it came from."""
    boxes: dict[str, Box] = {}
    edges: dict[tuple[str, str], bool] = {}  # (from, to) → whether as a reward
    for found in lineage["snapshots"]:
        _data(found, boxes, edges)
    for step in _steps(lineage):
        _training(step, boxes, edges)
    _columns(boxes, edges)
    return _drawn(boxes, edges)


def _data(found: dict[str, Any], boxes: dict[str, Box], edges: dict[tuple[str, str], bool]) -> None:
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
    edges[source, key] = False
    if versions := found["guidelines_versions"]:
        guidelines = f"guidelines {found['id']}"
        numbers = ", ".join(str(version) for version in versions)
        plural = "versions" if len(versions) > 1 else "version"
        boxes[guidelines] = Box(guidelines, "guidelines", "Guidelines", f"{plural} {numbers}")
        edges[guidelines, source] = False


def _training(
    step: dict[str, Any], boxes: dict[str, Box], edges: dict[tuple[str, str], bool]
) -> None:
    """What went into one checkpoint."""
    checkpoint, run = step["checkpoint"], step["run"]
    key = f"checkpoint {checkpoint['id']}"
    steps = f"{checkpoint['kind']}, {checkpoint['step']:,} steps"
    boxes[key] = Box(key, "checkpoint", checkpoint["name"], steps, ("checkpoint", checkpoint["id"]))
    if step["snapshot_id"]:
        edges[f"snapshot {step['snapshot_id']}", key] = False
    for name, is_reward in (("parent", False), ("reward", True)):
        if step[name]:
            edges[f"checkpoint {step[name]['checkpoint']['id']}", key] = is_reward
    base = run["base"] if run else {}
    if not step["parent"] and ("new" in base or "model" in base):
        begin = f"base {checkpoint['id']}"
        title = f"A new {base['new']} model" if "new" in base else str(base["model"])
        boxes[begin] = Box(begin, "base", title, "began with")
        edges[begin, key] = False


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


def _columns(boxes: dict[str, Box], edges: dict[tuple[str, str], bool]) -> None:
    """The longest way from a beginning; a beginning itself stands just before its first use."""
    for _ in boxes:
        for begin, end in edges:
            boxes[end].column = max(boxes[end].column, boxes[begin].column + 1)
    ends = {end for _, end in edges}
    for key, box in boxes.items():
        if key not in ends:
            uses = [boxes[end].column for begin, end in edges if begin == key]
            box.column = max(0, min(uses, default=1) - 1)


def _drawn(boxes: dict[str, Box], edges: dict[tuple[str, str], bool]) -> Picture:
    rows: dict[int, int] = {}
    for box in boxes.values():
        row = rows.get(box.column, 0)
        rows[box.column] = row + 1
        box.x = box.column * (BOX[0] + GAP[0])
        box.y = row * (BOX[1] + GAP[1])
    width = (max(rows, default=0) + 1) * (BOX[0] + GAP[0]) - GAP[0]
    height = max(rows.values(), default=1) * (BOX[1] + GAP[1]) - GAP[1]
    arrows = [
        _arrow(boxes[begin], boxes[end], is_reward) for (begin, end), is_reward in edges.items()
    ]
    return Picture(width, height, list(boxes.values()), arrows)


def _arrow(begin: Box, end: Box, is_reward: bool) -> Arrow:  # noqa: FBT001 - of an edge
    x, y = begin.x + BOX[0], begin.y + BOX[1] // 2
    to_x, to_y = end.x - 6, end.y + BOX[1] // 2
    bend = (x + to_x) // 2
    return Arrow(f"M{x},{y} C{bend},{y} {bend},{to_y} {to_x},{to_y}", is_reward)
