"""What a recipe would give, before anything is frozen."""

from dataclasses import dataclass
from time import monotonic

from sqlalchemy.orm import Session

from app.datasets import queries
from app.datasets.schemas import Recipe
from app.datasets.service.assembling import Assembly, plan
from app.datasets.service.freezing import with_posteriors
from app.db import JsonObject
from app.projects.models import Project

MOST_PROMPTS = 5_000  # about a second
_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Preview:
    """Counts and quality over `looked_at` of `prompts`; the same as frozen where they are all."""

    counts: JsonObject
    quality: JsonObject
    looked_at: int
    prompts: int

    @property
    def is_sample(self) -> bool:
        return self.looked_at < self.prompts


def preview(session: Session, *, project: Project, recipe: Recipe) -> Preview:
    """Assemble without writing: everything, or as many prompts as a person waits for.

    Prompts are ordered by a hash, so that the first ones are a fair sample of all.
    """
    made = with_posteriors(
        session,
        project=project,
        plan=plan(session, project=project, recipe=recipe),
        limit=MOST_PROMPTS,
    )
    assembly = Assembly(made)
    looked_at, deadline = 0, monotonic() + _SECONDS
    for prompt in queries.judged_prompts(session, project=project, limit=MOST_PROMPTS):
        assembly.add(prompt)
        looked_at += 1
        if monotonic() > deadline:
            break
    return Preview(
        counts=assembly.counts.as_json(),
        quality=assembly.tally.figures(),
        looked_at=looked_at,
        prompts=queries.number_of_prompts(session, project=project),
    )
