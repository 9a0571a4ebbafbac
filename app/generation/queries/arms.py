"""Whether choosing prompts pays: what people made of those chosen and of those drawn by lot."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.annotation.models import Annotation
from app.generation.models import Arm, Generation, GenerationPrompt, PromptState
from app.generation.rules import TaskFacts, task_facts
from app.quality.rules.intervals import Figure, newcombe, share_figure, undefined

FEWEST = 10  # judged tasks of each arm, before anything is said of them

FIGURES = ("decisive", "disagreement", "overruled")
NONE = {
    "decisive": "nothing has been judged yet",
    "disagreement": "no task has been judged by two people yet",
    "overruled": "no reward model scored these responses, or people have decided none yet",
}


@dataclass(frozen=True)
class ArmFacts:
    """One arm: its tasks, those judged, and shares with intervals over the judged tasks.

    `failed`: its prompts that make no task, because fewer than two responses came of them.
    """

    arm: Arm
    tasks: int = 0
    failed: int = 0
    judged: int = 0
    judgements: int = 0
    figures: dict[str, Figure] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """Both arms, the differences (chosen − by lot), and what follows, as a sentence."""

    arms: Sequence[ArmFacts]
    differences: dict[str, Figure]
    sentence: str

    def as_json(self) -> dict[str, Any]:
        return {
            "sentence": self.sentence,
            "arms": [
                {
                    "arm": each.arm.value,
                    "tasks": each.tasks,
                    "failed": each.failed,
                    "judged": each.judged,
                    "judgements": each.judgements,
                    **{name: figure.as_json() for name, figure in each.figures.items()},
                }
                for each in self.arms
            ],
            "differences": {n: figure.as_json() for n, figure in self.differences.items()},
        }


def arm_facts(session: Session, *, generation: Generation) -> Comparison | None:
    """None where the generation has no arms."""
    rows = session.execute(
        select(GenerationPrompt.task_id, GenerationPrompt.arm, GenerationPrompt.score).where(
            GenerationPrompt.generation_id == generation.id,
            GenerationPrompt.arm.is_not(None),
            GenerationPrompt.task_id.is_not(None),
        )
    ).all()
    if not rows:
        return None
    failed = _failed(session, generation)
    rankings: dict[UUID, list[list[int]]] = {}
    for task_id, ranks in session.execute(
        select(Annotation.task_id, Annotation.ranks)
        .join(GenerationPrompt, GenerationPrompt.task_id == Annotation.task_id)
        .where(
            GenerationPrompt.generation_id == generation.id,
            Annotation.is_current,
            Annotation.counted,
        )
    ):
        rankings.setdefault(task_id, []).append(ranks)
    arms = [
        _facts(
            arm,
            tasks=sum(row.arm is arm for row in rows),
            failed=failed.get(arm, 0),
            facts=[
                task_facts(rankings[row.task_id], (row.score or {}).get("scores"))
                for row in rows
                if row.arm is arm and row.task_id in rankings
            ],
        )
        for arm in (Arm.SELECTED, Arm.RANDOM)
    ]
    differences = {
        name: _difference(arms[0].figures[name], arms[1].figures[name]) for name in FIGURES
    }
    return Comparison(arms, differences, _sentence(arms, differences))


def _failed(session: Session, generation: Generation) -> dict[Arm | None, int]:
    rows = session.execute(
        select(GenerationPrompt.arm, func.count())
        .where(
            GenerationPrompt.generation_id == generation.id,
            GenerationPrompt.state == PromptState.FAILED,
        )
        .group_by(GenerationPrompt.arm)
    )
    return {row[0]: row[1] for row in rows}


def _facts(arm: Arm, *, tasks: int, failed: int, facts: Sequence[TaskFacts]) -> ArmFacts:
    figures = {}
    for name in FIGURES:
        told = [value for each in facts if (value := getattr(each, name)) is not None]
        figures[name] = share_figure(sum(told), len(told), none=NONE[name])
    return ArmFacts(
        arm=arm,
        tasks=tasks,
        failed=failed,
        judged=len(facts),
        judgements=sum(each.judgements for each in facts),
        figures=figures,
    )


def _difference(chosen: Figure, by_lot: Figure) -> Figure:
    if chosen.value is None or by_lot.value is None:
        return undefined(chosen.reason or by_lot.reason or "one arm has no figure")
    assert chosen.low is not None
    assert chosen.high is not None
    assert by_lot.low is not None
    assert by_lot.high is not None
    low, high = newcombe(
        chosen.value, (chosen.low, chosen.high), by_lot.value, (by_lot.low, by_lot.high)
    )
    return Figure(chosen.value - by_lot.value, low, high)


def _sentence(arms: Sequence[ArmFacts], differences: dict[str, Figure]) -> str:
    chosen, by_lot = arms
    if min(chosen.judged, by_lot.judged) < FEWEST:
        return (
            f"Not enough judgements yet: {chosen.judged} of the chosen tasks and {by_lot.judged} "
            f"of those drawn by lot have been judged; from {FEWEST} of each on the arms are "
            "compared."
        )
    wrong, decisive = differences["overruled"], differences["decisive"]
    if wrong.low is not None and wrong.low > 0:
        return (
            "Choosing pays: people overrule the reward model more often on the chosen prompts "
            "than on those drawn by lot, so these judgements teach it more."
        )
    if wrong.high is not None and wrong.high < 0:
        return (
            "Choosing does not pay: the reward model is right more often on the chosen prompts "
            "than on those drawn by lot."
        )
    if decisive.high is not None and decisive.high < 0:
        return (
            "People find fewer clear winners among the chosen prompts than among those drawn by "
            "lot: much of what is chosen is merely even."
        )
    if wrong.value is None and decisive.low is not None and decisive.low > 0:
        return "People decide more often on the chosen prompts than on those drawn by lot."
    return "So far no difference between the arms shows that could not be chance."
