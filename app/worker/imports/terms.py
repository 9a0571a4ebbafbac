"""What a project can hold of a file: strengths, criteria, flags, gold without a cycle."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from app.annotation.schemas import FLAGS
from app.corpus.formats import BadLine, ImportedTask, Read
from app.db import JsonObject
from app.projects.models import Project
from app.tasks import rules as task_rules


@dataclass(frozen=True)
class Terms:
    """What a project can hold, told to the thread that reads: rows of the session are not its."""

    strength_levels: int
    criteria: Mapping[str, JsonObject]

    @classmethod
    def of(cls, project: Project) -> "Terms":
        return cls(project.strength_levels, {each["key"]: each for each in project.criteria})


def suited(rows: Iterator[Read], *, terms: Terms) -> Iterator[Read]:
    """The rows, with those refused that the project cannot hold."""
    for read in rows:
        try:
            if read.task is not None:
                _check(read.task, terms=terms)
        except BadLine as error:
            yield Read(read.line, format=read.format, problem=str(error))
        else:
            yield read


def _check(task: ImportedTask, *, terms: Terms) -> None:
    gold = task.gold
    if gold is not None and not task_rules.is_consistent(
        len(task.responses), prefers=[(i, j) for i, j in gold.prefers], equal=gold.equal
    ):
        raise BadLine("“gold” contradicts itself: its pairs form a cycle, so no order is right.")
    for number, judgement in enumerate(task.annotations, 1):
        if judgement.strength is not None and judgement.strength > terms.strength_levels:
            raise BadLine(
                f"annotation {number} has the strength {judgement.strength}, and this project has "
                f"{terms.strength_levels} levels. Raise them in the settings, or remove it."
            )
        if judgement.ratings:
            _check_ratings(judgement.ratings, number=number, criteria=terms.criteria)
        if judgement.flags and (
            unknown := {flag for flags in judgement.flags for flag in flags} - FLAGS.keys()
        ):
            raise BadLine(
                f"annotation {number} has the flag “{min(unknown)[:80]}”; there are "
                f"{', '.join(FLAGS)}."
            )


def _check_ratings(
    ratings: Mapping[str, Sequence[int | None]], *, number: int, criteria: Mapping[str, JsonObject]
) -> None:
    for key, values in ratings.items():
        if key not in criteria:
            has = f"has {', '.join(criteria)}" if criteria else "has none"
            raise BadLine(
                f"annotation {number} rates “{key[:80]}”, and this project {has}. Add the "
                "criterion in the settings, or remove the ratings."
            )
        low, high = criteria[key]["min"], criteria[key]["max"]
        if any(value is not None and not low <= value <= high for value in values):
            raise BadLine(
                f"annotation {number} has a rating of “{key}” outside {low} to {high}, which is "
                "the scale of this project."
            )
