"""From judged prompts to rows: what a recipe takes, settles and counts."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from sqlalchemy.orm import Session

from app.datasets import queries
from app.datasets.queries import recipes
from app.datasets.rules.agreement import AgreementTally
from app.datasets.rules.choosing import Choice, only
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
from app.datasets.rules.identity import Split, draw_of, moved_over, side_of
from app.datasets.rules.judged import (
    Admission,
    Admitted,
    Behind,
    JudgedPrompt,
    JudgedTask,
    admit,
)
from app.datasets.rules.ratings import mean_ratings
from app.datasets.rules.rows import ConfigName, Messages, PromptRows, Row, TaskRows, prompt_rows
from app.datasets.schemas import Margin, Method, Recipe, Ties
from app.datasets.service.posteriors import Posteriors, fitted_posteriors
from app.errors import Invalid
from app.projects.models import Project

FEW = 500  # prompts, up to which both sides of the split are seen to
EXAMPLES = 3
_NOTHING_AT_ALL = {"too_few_responses", "not_adjudicated"}  # neither ratings nor rewrites

Classes = dict[Pair, tuple[float, float, float]]


@dataclass(frozen=True, slots=True)
class Near:
    """What becomes of prompts that are almost alike.

    moved: where on the line that the split cuts a conversation stands instead, by its draw;
    dropped: ids of prompts that are left out.
    """

    moved: Mapping[int, int] = field(default_factory=dict)
    dropped: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Plan:
    """A recipe with what it means in this project now."""

    recipe: Recipe
    admission: Admission
    choice: Choice
    criteria: tuple[str, ...]
    strength_levels: int
    posteriors: Posteriors = field(default_factory=Posteriors)
    near: Near = field(default_factory=Near)


class Assembled(NamedTuple):
    """The rows of one prompt, and the judgements behind them.

    draw: of its conversation, or of all that begin like it; own_draw: of it alone.
    """

    prompt_id: str
    messages: Messages
    source: str | None
    language: str | None
    own_draw: int
    draw: int
    split: Split
    made: PromptRows
    judgements: list[Behind]


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
            people_only=recipe.people_only,
        ),
        choice=Choice(
            tags=frozenset(recipe.tags),
            sources=frozenset(recipe.sources),
            languages=frozenset(language.lower() for language in recipe.languages),
            min_characters=recipe.min_response_length,
            flagged=recipes.flagged_responses(session, project=project, flags=recipe.exclude_flags),
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


def with_posteriors(
    session: Session, *, project: Project, plan: Plan, limit: int | None = None
) -> Plan:
    """The plan with what Dawid–Skene says, where the recipe asks for it: one more reading."""
    if plan.recipe.consensus is not Method.DAWID_SKENE:
        return plan
    fitted = fitted_posteriors(session, project=project, admission=plan.admission, limit=limit)
    return replace(plan, posteriors=fitted)


class Assembly:
    """Turns one prompt after another into rows, and counts what happened to everything."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.wanted = [config for config in ConfigName if plan.recipe.wants(config)]
        self.counts = Counts()
        self.tally = AgreementTally()
        self.examples: list[Row] = []

    def all(self, prompts: Iterable[JudgedPrompt]) -> Iterator[Assembled]:
        """The rows of prompt after prompt, each on its side of the split."""
        return self.placed(map(self.rows_of, prompts))

    def placed(self, found: Iterable[Assembled | None]) -> Iterator[Assembled]:
        """What `rows_of` gave for every prompt, each on its side of the split, and counted.

        The draw may leave one side of a small dataset empty. Then the conversation nearest to the
        border changes over: of those that give comparisons, else rankings, else anything.
        """
        waiting: list[Assembled] | None = []
        for assembled in found:
            if assembled is None:
                continue
            if waiting is None:
                yield self._counted(assembled)
                continue
            waiting.append(assembled)
            if len(waiting) > FEW:
                yield from map(self._counted, waiting)
                waiting = None
        moved = self._moved(waiting or ())
        for assembled in waiting or ():
            if assembled.draw == moved:
                other = Split.TRAIN if assembled.split is Split.TEST else Split.TEST
                assembled = assembled._replace(split=other)  # noqa: PLW2901
            yield self._counted(assembled)

    def add(self, counts: Counts, tally: AgreementTally) -> None:
        """Take over what another assembly of the same plan counted of other prompts."""
        self.counts.add(counts)
        self.tally.add_all(tally)

    def _moved(self, waiting: Iterable[Assembled]) -> int | None:
        for configs in ({ConfigName.PREFERENCE}, {ConfigName.RANKING}, set(ConfigName)):
            draws = {each.draw for each in waiting if configs & each.made.rows.keys()}
            if len(draws) > 1:
                return moved_over(draws, test_share=self.plan.recipe.test_share)
        return None

    def _counted(self, assembled: Assembled) -> Assembled:
        made = assembled.made
        self.counts.prompts += 1
        if made.rows:
            self.counts.languages[assembled.language] += 1
            self.counts.sources[assembled.source] += 1
        self.counts.add_rows(made, assembled.split)
        if len(self.examples) < EXAMPLES:
            self.examples += made.rows.get(ConfigName.PREFERENCE, ())[:1]
        return assembled

    def rows_of(self, prompt: JudgedPrompt) -> Assembled | None:
        """None for a prompt that is left out or only serves gold or qualification questions."""
        recipe, choice = self.plan.recipe, self.plan.choice
        self.counts.gold_tasks += prompt.gold_tasks
        if prompt.gold_tasks and not prompt.tasks:
            return None
        if choice.is_of_prompts and (reason := choice.refuses(prompt)) is not None:
            self._leave_out(prompt, reason)
            return None
        if prompt.id in self.plan.near.dropped:
            self._leave_out(prompt, "near_duplicate")
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
            dedup=recipe.dedup,
            weight_by=recipe.weight_by,
        )
        own_draw = draw_of(prompt.messages, seed=recipe.seed)
        draw = self.plan.near.moved.get(own_draw, own_draw)
        split = side_of(draw, test_share=recipe.test_share)
        return Assembled(
            prompt_id=prompt.id,
            messages=prompt.messages,
            source=prompt.source,
            language=prompt.language,
            own_draw=own_draw,
            draw=draw,
            split=split,
            made=made,
            judgements=behind,
        )

    def _leave_out(self, prompt: JudgedPrompt, reason: str) -> None:
        counts = self.counts
        counts.prompts_excluded[reason] += 1
        counts.tasks_read += len(prompt.tasks)
        counts.tasks_excluded["other_prompt"] += len(prompt.tasks)
        judgements = sum(len(task.judgements) for task in prompt.tasks)
        counts.judgements_read += judgements
        counts.judgements_excluded["task_left_out"] += judgements

    def _task(self, task: JudgedTask) -> tuple[TaskRows, list[Behind]]:
        """What a task gives, and the judgements behind it; counts both and why not."""
        counts, recipe = self.counts, self.plan.recipe
        classes = self.plan.posteriors.of(task)
        if self.plan.choice.is_of_responses:
            task, classes = self._chosen(task, classes)
        admitted = admit(task, self.plan.admission)
        counts.tasks_read += 1
        counts.judgements_read += len(task.judgements)
        if admitted.reasons:
            counts.judgements_excluded.update(admitted.reasons)
        if admitted.by_people and len(task.responses) >= 2:
            people = [judgement.user_id or "" for judgement in admitted.judgements]
            self.tally.add(admitted.votes, people)
        adjudicated = task.adjudicated if recipe.consensus is Method.ADJUDICATED_FIRST else None
        settled, reason = self._settle(task, admitted, classes)
        if reason is None:
            counts.tasks_included += 1
            counts.tasks_cyclic += settled is not None and settled.is_cyclic
        else:
            counts.tasks_excluded[reason] += 1
        enough = len(admitted.judgements) >= recipe.min_annotations or adjudicated is not None
        enough = enough and reason not in _NOTHING_AT_ALL
        rows = self._rows(task, admitted if enough else Admitted(), settled)
        if settled is None and not rows.rewrites and not any(rows.raters):
            if admitted.judgements:
                counts.judgements_excluded["task_left_out"] += len(admitted.judgements)
            return rows, []
        counts.judgements_included += len(admitted.judgements)
        counts.judgements_of_sources += 0 if admitted.by_people else len(admitted.judgements)
        return rows, [Behind._make(judgement[:4]) for judgement in admitted.judgements]

    def _chosen(
        self, task: JudgedTask, classes: Classes | None
    ) -> tuple[JudgedTask, Classes | None]:
        """The task with the responses that the recipe takes; the others are counted."""
        left_out = self.plan.choice.leaves_out(task)
        if not left_out:
            return task, classes
        self.counts.responses_excluded.update(left_out.values())
        kept = [number for number in range(len(task.responses)) if number not in left_out]
        return only(task, kept), self.plan.posteriors.of(task, kept=kept)

    def _settle(
        self, task: JudgedTask, admitted: Admitted, classes: Classes | None
    ) -> tuple[Settled | None, str | None]:
        """The consensus to export, or None and why there is none."""
        recipe, votes = self.plan.recipe, admitted.votes
        if len(task.responses) < 2:
            return None, "too_few_responses"
        if recipe.adjudicated_only and task.adjudicated is None:
            return None, "not_adjudicated"
        if recipe.consensus is Method.ADJUDICATED_FIRST and task.adjudicated is not None:
            settled = by_adjudication(task.adjudicated, votes)
            return self._unless_tied(settled)
        if not votes:
            return None, "no_judgements"
        if len(votes) < recipe.min_annotations:
            return None, "too_few_judgements"
        settled = by_majority(votes) if classes is None else by_posterior(classes, votes)
        if settled.outcome is Outcome.UNRESOLVED:
            return None, "unresolved"
        if recipe.min_agreement and settled.agreement < recipe.min_agreement:
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
        written = {judgement.rewrite or "" for judgement in admitted.judgements}
        return TaskRows(
            responses=task.responses,
            n_annotators=len(votes),
            settled=settled,
            comparisons=()
            if settled is None
            else comparisons(
                settled, votes, pairs=self.plan.recipe.pairs, levels=self.plan.strength_levels
            ),
            ratings=ratings,
            raters=raters,
            rewrites=sorted(text for text in written if text.strip()),  # imported: may be blank
        )
