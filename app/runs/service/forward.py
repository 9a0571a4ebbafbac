"""What descends from judgements, as a picture: snapshots, and the models that came of them."""

from uuid import UUID

from app.runs.formats.picture import Box, Boxes, Edges, Picture, laid_out
from app.runs.queries.descendants import Descendants, How

MOST = 60  # boxes; beyond that the table is clearer


def forward(
    found: Descendants, judgements: dict[UUID, int], *, origin: str, detail: str
) -> Picture | None:
    """From `origin` on the left; None where there are too many boxes for a picture."""
    if not found.snapshots or len(found.snapshots) + len(found.checkpoints) > MOST:
        return None
    boxes: Boxes = {"origin": Box("origin", "judgements", origin, detail)}
    edges: Edges = {}
    keys: dict[UUID, str] = {}
    for snapshot in found.snapshots:
        key = keys[snapshot.id] = f"snapshot {snapshot.id}"
        number = judgements.get(snapshot.id)
        about = "holds what a model wrote" if number is None else f"{number:,} of the judgements"
        boxes[key] = Box(key, "snapshot", snapshot.name, about, ("snapshot", str(snapshot.id)))
        if snapshot.id in found.seeds:
            edges["origin", key] = ""
    made = {}
    for checkpoint in found.checkpoints:
        key = keys[checkpoint.id] = f"checkpoint {checkpoint.id}"
        about = f"{checkpoint.kind}, {checkpoint.step:,} steps"
        if checkpoint.removed_at is not None:
            about = f"{checkpoint.kind}, weights removed"
        target = ("checkpoint", str(checkpoint.id))
        boxes[key] = Box(key, "checkpoint", checkpoint.name, about, target)
        if checkpoint.run_id is not None:
            made[checkpoint.run_id] = key
    for link in found.links:
        begin, end = keys.get(link.begin), made.get(link.to) or keys.get(link.to)
        if begin is not None and end is not None and begin != end:
            how = link.how.value if link.how in {How.REWARD, How.WRITTEN} else ""
            edges.setdefault((begin, end), how)
    return laid_out(boxes, edges)
