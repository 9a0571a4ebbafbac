"""Can today's labels be trusted? One sentence, and what speaks against it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from app.quality.rules.comparing import Difference
from app.quality.rules.intervals import Figure
from app.quality.rules.words import percent

BAND = (0.63, 0.80)  # human–human agreement on decisive votes in published preference data
FLOOR = 0.60  # below it the guidelines are unclear or the people careless
ENOUGH_TASKS = 30
WIDE = 0.2  # an interval this wide decides little


class Trust(StrEnum):
    YES = "good"
    MOSTLY = "warn"
    NO = "bad"
    UNKNOWN = "info"


class Span(StrEnum):
    """What the verdict is about: the newest stretch that has enough tasks to tell."""

    TODAY = "today"
    WEEK = "in the last 7 days"
    ALL = ""


@dataclass(frozen=True, slots=True)
class Change:
    """Agreement in the last seven days against before."""

    week: float
    before: float
    difference: Difference


@dataclass(frozen=True, slots=True)
class Evidence:
    """agreement: on decisive votes of `span`, which rests on `n_shared_tasks`.

    n_annotations: of all times; failed_share: of them.
    """

    n_annotations: int
    n_shared_tasks: int
    agreement: Figure
    span: Span
    change: Change | None
    n_failed: int
    n_warned: int
    failed_share: float  # of the counted judgements that failed people have made
    n_gold: int


@dataclass(frozen=True, slots=True)
class Verdict:
    trust: Trust
    sentence: str
    reasons: Sequence[str]


def judge(evidence: Evidence) -> Verdict:
    """The headline of the dashboard, from agreement first and gold second."""
    agreement = evidence.agreement
    if evidence.n_annotations == 0:
        return Verdict(
            Trust.UNKNOWN,
            "Nothing has been judged yet.",
            ["Import prompts with responses, invite people, and the figures appear here."],
        )
    if agreement.value is None:
        return Verdict(
            Trust.UNKNOWN,
            "Not known yet: nobody's judgement can be held against another's.",
            [
                (
                    f"{agreement.reason} Set the overlap of the project to two or more, so that "
                    "tasks are judged by several people."
                ),
                *_gold_reasons(evidence),
            ],
        )
    return _from_agreement(evidence, agreement.value)


def _from_agreement(evidence: Evidence, value: float) -> Verdict:
    agreement = evidence.agreement
    reasons = [*_agreement_reasons(agreement, value), *_gold_reasons(evidence)]
    if evidence.change is not None and evidence.change.difference.is_fall:
        reasons.insert(0, _fall(evidence.change))
    when = f" {evidence.span}" if evidence.span else ""
    known = f"people prefer the same response in {percent(value)} of decisive comparisons{when}"
    if value < FLOOR and (agreement.high is None or agreement.high < BAND[0]):
        return Verdict(Trust.NO, f"Not as they are: {known}.", reasons)
    if evidence.n_shared_tasks < ENOUGH_TASKS:
        few = f"Only {evidence.n_shared_tasks} tasks have been judged by two people or more."
        return Verdict(Trust.UNKNOWN, f"Too early to say; so far {known}.", [few, *reasons])
    if reasons:
        return Verdict(Trust.MOSTLY, f"With care: {known}.", reasons)
    usual = f"Usual among people is {percent(BAND[0])} to {percent(BAND[1])}."
    return Verdict(Trust.YES, f"Yes: {known}, and nobody fails the gold questions.", [usual])


def _agreement_reasons(agreement: Figure, value: float) -> list[str]:
    reasons = []
    if value < BAND[0]:
        reasons.append(
            f"That is below what is usual among people ({percent(BAND[0])} to "
            f"{percent(BAND[1])}): look at the most disputed tasks and at the guidelines."
        )
    low, high = agreement.low, agreement.high
    if low is not None and high is not None and high - low > WIDE:
        reasons.append(
            f"The true figure may lie anywhere from {percent(low)} to {percent(high)}: more "
            "tasks with two judgements will tell."
        )
    return reasons


def _gold_reasons(evidence: Evidence) -> list[str]:
    reasons = []
    if evidence.n_failed:
        who = "person fails" if evidence.n_failed == 1 else "people fail"
        reasons.append(
            f"{evidence.n_failed} {who} the gold questions and made "
            f"{percent(evidence.failed_share)} of the judgements: snapshots can leave those out."
        )
    if evidence.n_warned:
        who = "person is" if evidence.n_warned == 1 else "people are"
        reasons.append(f"{evidence.n_warned} {who} close to failing the gold questions.")
    if not evidence.n_gold:
        reasons.append(
            "There are no gold questions, so agreement is all there is: people can agree and be "
            "wrong. Mark some tasks with a certain answer as gold."
        )
    return reasons


def _fall(change: Change) -> str:
    return (
        f"Agreement has fallen: {percent(change.week)} in the last 7 days, "
        f"{percent(change.before)} before."
    )


def span_of(*, today: int, week: int) -> Span:
    """What the verdict can be about, by the shared tasks of today and of the last seven days."""
    if today >= ENOUGH_TASKS:
        return Span.TODAY
    return Span.WEEK if week >= ENOUGH_TASKS else Span.ALL
