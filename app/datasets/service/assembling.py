"""From judged prompts to rows: what a recipe takes, settles and counts."""

from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from app.datasets import queries
from app.datasets.rules.agreement import AgreementTally
from app.datasets.rules.comparisons import (
    Outcome,
    Pair,
    Settled,
    by_adjudication,
    by_majority,
    by_posterior,
    comparisons,
)
from app.datasets.rules.counts import Counts
from app.datasets.rules.identity import Split, split_of
from app.datasets.rules.judged import (
    Admission,
    Admitted,
    JudgedPrompt,
    JudgedTask,
    Judgement,
    admit,
)
from app.datasets.rules.ratings import mean_ratings
from app.datasets.rules.rows import ConfigName, PromptRows, TaskRows, prompt_rows
from app.datasets.schemas import Margin, Method, Recipe, Ties
from app.errors import Invalid
from app.projects.models import Project
from app.quality.rules.dawid_skene import TIE, dawid_skene

_CLOSE = 1e-12  # so near to the maximum that the digits kept do not hang on the last step
_DIGITS = 6  # of a posterior: sums of floats differ in the last places by the order of people


@dataclass(frozen=True, slots=True)
class Posteriors:
    """P(first, tie, second) of every implied pair that people judged, kept small.

    first_row: by task, where its pairs begin in `classes` (pairs, 3).
    """

    first_row: Mapping[bytes, int] = field(default_factory=dict)
    classes: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 3)))

    def of(self, task: JudgedTask) -> dict[Pair, tuple[float, float, float]] | None:
        row = self.first_row.get(task.id.bytes)
        if row is None:
            return None
        pairs = list(combinations(range(len(task.responses)), 2))
        classes = self.classes[row : row + len(pairs)].tolist()
        return {
            pair: (first, tie, second)
            for pair, (first, tie, second) in zip(pairs, classes, strict=True)
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """A recipe with what it means in this project now."""

    recipe: Recipe
    admission: Admission
    criteria: tuple[str, ...]
    strength_levels: int
    posteriors: Posteriors = field(default_factory=Posteriors)


@dataclass(frozen=True, slots=True)
class Assembled:
    """The rows of one prompt, and the judgements behind them."""

    split: Split
    made: PromptRows
    judgements: list[Judgement]


def plan(session: Session, *, project: Project, recipe: Recipe) -> Plan:
    """`Invalid` where the recipe names people or guidelines that the project does not have."""
    if recipe.guidelines_version and recipe.guidelines_version > project.guidelines_version:
        raise Invalid(
            f"There is no version {recipe.guidelines_version} of the guidelines yet; the newest is"
            f" {project.guidelines_version}."
        )
    failed = queries.people_who_fail_gold(session, project=project)
    return Plan(
        recipe=recipe,
        admission=Admission(
            failed_gold=failed if recipe.exclude_failed_gold else frozenset(),
            kept_out=queries.people_kept_out(session, project=project),
            excluded=_excluded(session, project=project, recipe=recipe),
            guidelines_version=recipe.guidelines_version,
            since=recipe.since,
            until=recipe.until,
        ),
        criteria=tuple(sorted(str(criterion["key"]) for criterion in project.criteria)),
        strength_levels=project.strength_levels,
    )


def _excluded(session: Session, *, project: Project, recipe: Recipe) -> frozenset[str]:
    if not recipe.exclude_annotators:
        return frozenset()
    people = queries.people_called(session, project=project, names=recipe.exclude_annotators)
    for name, found in people.items():
        if not found:
            raise Invalid(
                f"Nobody in this project is called {name!r}. Name people in exclude_annotators by"
                " e-mail, imported name or id."
            )
    return frozenset(str(user_id) for found in people.values() for user_id in found)


class Assembly:
    """Turns one prompt after another into rows, and counts what happened to everything."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.wanted = [config for config in ConfigName if plan.recipe.wants(config)]
        self.counts = Counts()
        self.tally = AgreementTally()

    def add(self, prompt: JudgedPrompt) -> Assembled | None:
        """The rows of a prompt; None for one that only serves gold or qualification questions."""
        recipe = self.plan.recipe
        self.counts.gold_tasks += prompt.gold_tasks
        if prompt.gold_tasks and not prompt.tasks:
            return None
        tasks, behind = [], []
        for task in prompt.tasks:
            rows, judgements = self._task(task)
            tasks.append(rows)
            behind += judgements
        made = prompt_rows(
            prompt_id=prompt.id,
            messages=prompt.messages,
            tasks=tasks,
            keep_ties=recipe.ties is Ties.KEEP,
            strength_levels=self.plan.strength_levels if recipe.margin is Margin.STRENGTH else None,
            max_pairs=recipe.max_pairs_per_prompt,
            seed=recipe.seed,
            wanted=self.wanted,
        )
        split = split_of(prompt.messages, test_share=recipe.test_share, seed=recipe.seed)
        self.counts.prompts += 1
        self.counts.add_rows(made, split)
        return Assembled(split, made, behind)

    def _task(self, task: JudgedTask) -> tuple[TaskRows, list[Judgement]]:
        """What a task gives, and the judgements behind it; counts both and why not."""
        counts, recipe = self.counts, self.plan.recipe
        admitted = admit(task, self.plan.admission)
        counts.tasks_read += 1
        counts.judgements_read += len(task.judgements)
        counts.judgements_excluded.update(admitted.reasons)
        if admitted.by_people:
            people = (judgement.user_id or "" for judgement in admitted.judgements)
            self.tally.add(admitted.votes, people)
        adjudicated = task.adjudicated if recipe.consensus is Method.ADJUDICATED_FIRST else None
        settled, reason = self._settle(task, admitted)
        if reason is None:
            counts.tasks_included += 1
            counts.tasks_cyclic += settled is not None and settled.is_cyclic
        else:
            counts.tasks_excluded[reason] += 1
        enough = len(admitted.judgements) >= recipe.min_annotations or adjudicated is not None
        rows = self._rows(task, admitted if enough else Admitted((), ()), settled)
        if settled is None and not rows.rewrites and not any(rows.raters):
            if admitted.judgements:
                counts.judgements_excluded["task_left_out"] += len(admitted.judgements)
            return rows, []
        counts.judgements_included += len(admitted.judgements)
        counts.judgements_of_sources += 0 if admitted.by_people else len(admitted.judgements)
        return rows, list(admitted.judgements)

    def _settle(self, task: JudgedTask, admitted: Admitted) -> tuple[Settled | None, str | None]:
        """The consensus to export, or None and why there is none."""
        recipe, votes = self.plan.recipe, admitted.votes
        if recipe.consensus is Method.ADJUDICATED_FIRST and task.adjudicated is not None:
            settled = by_adjudication(task.adjudicated, votes)
            return self._unless_tied(settled)
        if not votes:
            return None, "no_judgements"
        if len(votes) < recipe.min_annotations:
            return None, "too_few_judgements"
        posterior = self.plan.posteriors.of(task)
        settled = by_posterior(posterior, votes) if posterior else by_majority(votes)
        if settled.outcome is Outcome.UNRESOLVED:
            return None, "unresolved"
        if settled.agreement < recipe.min_agreement:
            return None, "low_agreement"
        return self._unless_tied(settled)

    def _unless_tied(self, settled: Settled) -> tuple[Settled | None, str | None]:
        if settled.outcome is Outcome.TIE and self.plan.recipe.ties is Ties.DROP:
            return None, "tie"
        return settled, None

    def _rows(self, task: JudgedTask, admitted: Admitted, settled: Settled | None) -> TaskRows:
        ratings, raters = mean_ratings(
            [judgement.ratings for judgement in admitted.judgements if judgement.ratings],
            criteria=self.plan.criteria,
            size=len(task.responses),
        )
        votes = admitted.votes
        return TaskRows(
            responses=task.responses,
            n_annotators=len(votes),
            settled=settled,
            comparisons=()
            if settled is None
            else comparisons(settled, votes, pairs=self.plan.recipe.pairs),
            ratings=ratings,
            raters=raters,
            rewrites=sorted({each.rewrite for each in admitted.judgements if each.rewrite}),
        )


def dawid_skene_posteriors(
    prompts: Iterable[JudgedPrompt], admission: Admission, *, beat: Callable[[], None]
) -> Posteriors:
    """What Dawid and Skene's model says of every implied pair that people judged."""
    first_row: dict[bytes, int] = {}
    codes: dict[str, int] = {}
    item, annotator, vote = array("q"), array("q"), array("q")
    n_items = 0
    for prompt in prompts:
        beat()
        for task in prompt.tasks:
            admitted = admit(task, admission)
            if not admitted.by_people:
                continue
            first_row[task.id.bytes] = n_items
            for i, j in combinations(range(len(task.responses)), 2):
                for judgement in admitted.judgements:
                    ranks = judgement.vote.ranks
                    item.append(n_items)
                    annotator.append(codes.setdefault(judgement.user_id or "", len(codes)))
                    vote.append(TIE + (ranks[i] > ranks[j]) - (ranks[i] < ranks[j]))
                n_items += 1
    if not n_items:
        return Posteriors()
    fitted = dawid_skene(
        np.array(item),
        np.array(annotator),
        np.array(vote),
        n_items=n_items,
        n_annotators=len(codes),
        close=_CLOSE,
    )
    return Posteriors(first_row, fitted.posterior.round(_DIGITS))
