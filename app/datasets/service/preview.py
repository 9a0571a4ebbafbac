"""What a recipe would give, before anything is frozen."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import monotonic

from sqlalchemy.orm import Session

from app.datasets import queries
from app.datasets.queries import recipes
from app.datasets.rules.judged import JudgedPrompt
from app.datasets.rules.rows import Row
from app.datasets.schemas import Recipe
from app.datasets.service.assembling import Assembly, plan, with_posteriors
from app.datasets.service.near import Watch, with_near
from app.db import JsonObject
from app.projects.models import Project

MOST_PROMPTS = 20_000  # a few seconds
GLANCE = 0.25  # seconds: what a person waits for without noticing
PATIENCE = 5.0
FEWEST_PROMPTS = 200  # however late it is: fewer are no sample
_GLANCE_PROMPTS = 1_000  # that the model of Dawid and Skene is fitted to at a glance


@dataclass(frozen=True, slots=True)
class Preview:
    """Counts and quality over `looked_at` of `prompts`; the same as frozen where they are all.

    examples: the first comparisons as they would be written; open_tasks: still to be judged.
    """

    counts: JsonObject
    quality: JsonObject
    looked_at: int
    prompts: int
    examples: Sequence[Row] = ()
    open_tasks: int = 0

    @property
    def is_sample(self) -> bool:
        return self.looked_at < self.prompts


def preview(
    session: Session, *, project: Project, recipe: Recipe, seconds: float = PATIENCE
) -> Preview:
    """Assemble without writing: everything, or as many prompts as a person waits for.

    Prompts are ordered by a hash, so that the first ones are a fair sample of all.
    """
    limit = MOST_PROMPTS if seconds > GLANCE else _GLANCE_PROMPTS
    return _assembled(session, project, recipe, limit=limit, seconds=seconds)


def count_all(
    session: Session,
    *,
    project: Project,
    recipe: Recipe,
    beat: Callable[[int], None] = lambda _: None,
) -> Preview:
    """Every prompt, however long it takes; `beat` hears how many are done."""
    return _assembled(session, project, recipe, limit=None, seconds=None, beat=beat)


def _assembled(
    session: Session,
    project: Project,
    recipe: Recipe,
    *,
    limit: int | None,
    seconds: float | None,
    beat: Callable[[int], None] = lambda _: None,
) -> Preview:
    deadline = None if seconds is None else monotonic() + seconds
    made = with_posteriors(
        session,
        project=project,
        plan=plan(session, project=project, recipe=recipe),
        limit=limit,
    )
    made = with_near(session, project=project, plan=made, limit=limit)
    assembly, watch = Assembly(made), Watch()
    looked_at = 0

    def read() -> Iterator[JudgedPrompt]:
        nonlocal looked_at
        for prompt in queries.judged_prompts(session, project=project, limit=limit):
            yield prompt
            looked_at += 1
            beat(looked_at)
            is_late = deadline is not None and monotonic() > deadline
            if is_late and looked_at >= FEWEST_PROMPTS:
                return

    for _ in watch.look(assembly.all(read())):
        pass
    assembly.counts.near_copies = watch.told()
    return Preview(
        counts=assembly.counts.as_json(),
        quality=assembly.tally.figures(),
        looked_at=looked_at,
        prompts=queries.number_of_prompts(session, project=project),
        examples=assembly.examples,
        open_tasks=recipes.number_of_open_tasks(session, project=project),
    )
