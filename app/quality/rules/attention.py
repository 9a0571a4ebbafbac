"""Who needs a look today, and why: a few rules that rarely cry wolf."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.quality.rules.comparing import Sums, difference, total_of
from app.quality.rules.words import percent

SIDED = 0.15  # further than this from one half a share of one side is more than a habit
SIDED_P = 0.001


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a person; week, before: agreement with everybody on the same tasks.

    has_fallen: clearly, from before to the week (`days.changes_of_people`);
    left: share of decisive answers for the one on the left, with the p-value of its test.
    """

    user_id: str
    name: str
    is_paused: bool
    standing: str
    gold_seen: int
    gold_passed: int
    week: Sums
    before: Sums
    has_fallen: bool
    left: float | None
    left_p: float | None

    @property
    def all(self) -> Sums:
        return total_of([self.week, self.before])


@dataclass(frozen=True, slots=True)
class Look:
    """A person and what speaks against her, the weightiest first; `weight` orders people."""

    person: Known
    reasons: Sequence[str]
    weight: int


def to_look_at(people: Sequence[Known]) -> list[Look]:
    """Those who need a look, the most urgent first.

    Each comparison is made at a level for all people at once (Bonferroni), so that in a clean
    project somebody is named by chance in fewer than one round in twenty.
    """
    judged = sum(person.all.tasks > 0 for person in people)
    total = total_of(person.all for person in people)
    found = [_look(person, total, judged) for person in people]
    return sorted(
        (look for look in found if look.reasons),
        key=lambda look: (-look.weight, look.person.name.casefold()),
    )


def _look(person: Known, total: Sums, looks: int) -> Look:
    reasons: list[tuple[int, str]] = []
    right = f"{person.gold_passed} of {person.gold_seen} right"
    if person.standing == "failed":
        reasons.append((5, f"fails the gold questions ({right})"))
    elif person.standing == "warned":
        reasons.append((3, f"is close to failing the gold questions ({right})"))
    if person.has_fallen:
        reasons.append(
            (
                4,
                (
                    f"agrees less than before: {_percent(person.week)} in the last 7 days, "
                    f"{_percent(person.before)} earlier"
                ),
            )
        )
    others = total.without(person.all)
    apart = difference(person.all, others, looks=looks)
    if apart is not None and apart.is_fall:
        reasons.append(
            (
                2,
                (
                    f"agrees with others in {_percent(person.all)}, where others do in "
                    f"{_percent(others)}"
                ),
            )
        )
    if (
        person.left is not None
        and person.left_p is not None
        and abs(person.left - 0.5) > SIDED
        and person.left_p < SIDED_P / max(1, looks)
    ):
        side, share = ("left", person.left) if person.left > 0.5 else ("right", 1 - person.left)
        reasons.append((2, f"takes the one on the {side} in {100 * share:.0f} % of the cases"))
    if person.is_paused:
        reasons.append((1, "is paused"))
    reasons.sort(key=lambda reason: -reason[0])
    return Look(person, [text for _, text in reasons], sum(weight for weight, _ in reasons))


def _percent(sums: Sums) -> str:
    return percent(sums.value or 0.0)
