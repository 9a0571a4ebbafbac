"""How much work is left, how fast people are, and when it will be done: pure rules."""

from collections import Counter
from dataclasses import dataclass

from app.work.rules.census import Census
from app.work.rules.words import does, hours, some
from app.work.rules.words import person_hours as in_person_hours

FEWEST_JUDGEMENTS = 5  # nobody tells a pace by less …
FEWEST_HOURS = 1 / 30  # … nor by less than two minutes of work
FEWEST_SETTLED = 10  # tasks by which it is told how many need more


@dataclass(frozen=True, slots=True)
class Pace:
    """The work of the last 24 hours: what counts of it, and the active time behind all of it.

    Gold and repeats take time and do not count, which is what they cost.
    """

    counted: int
    hours: float
    people: int  # at work now

    @property
    def per_hour(self) -> float | None:
        """Judgements that count per person-hour; None while there is too little to tell."""
        if self.counted < FEWEST_JUDGEMENTS or self.hours < FEWEST_HOURS:
            return None
        return self.counted / self.hours


@dataclass(frozen=True, slots=True)
class Saving:
    """What adaptive overlap has saved: `tasks` were sure before the `most` that each may get."""

    tasks: int
    judgements: int
    most: int


@dataclass(frozen=True, slots=True)
class Demand:
    """What is left. `further`: expected beyond what is wanted now, where overlap is adaptive.

    `settled`: the tasks by which that is told; None where overlap is fixed.
    """

    judgements: int
    further: float
    settled: int | None
    pace: Pace
    saving: Saving | None = None  # where overlap is adaptive

    @property
    def expected(self) -> int:
        return self.judgements + round(self.further)  # as it is told, so that the sum is seen

    @property
    def person_hours(self) -> float | None:
        return hours_for(self.expected, self.pace)

    @property
    def hours(self) -> float | None:
        """On the clock, if the people at work now go on without a break."""
        person_hours = self.person_hours
        return person_hours / self.pace.people if person_hours and self.pace.people else None


def saving(census: Census, *, most: int) -> Saving:
    cells = [
        cell
        for cell in census.cells
        if cell.is_complete and not cell.is_closed and cell.counted < most
    ]
    spared = sum((most - cell.counted) * cell.tasks for cell in cells)
    return Saving(sum(cell.tasks for cell in cells), spared, most)


def hours_for(judgements: float, pace: Pace) -> float | None:
    """Person-hours that so many judgements take."""
    return judgements / pace.per_hour if pace.per_hour else None


def demand(census: Census, *, least: int, most: int, pace: Pace) -> Demand:
    """With adaptive overlap (`least` < `most`) an open task may need more than it wants now.

    How many went on from v judgements to v + 1, of those that were settled at v or went on,
    is taken as the chance that an open task does so. What was closed tells nothing of that.
    """
    if most <= least:
        return Demand(census.left, 0.0, None, pace)
    went_on, stopped = Counter[int](), Counter[int]()
    for cell in (cell for cell in census.cells if not cell.is_closed):
        for v in range(least, most):
            went_on[v] += cell.tasks * (cell.wanted > v)
            stopped[v] += cell.tasks * (cell.is_complete and cell.wanted == v)
    settled = went_on[least] + stopped[least]
    saved = saving(census, most=most)
    if settled < FEWEST_SETTLED:
        return Demand(census.left, 0.0, settled, pace, saved)
    further = 0.0
    for cell in census.cells:
        if cell.is_complete:
            continue
        reach = 1.0
        for v in range(max(cell.wanted, least), most):
            decided = went_on[v] + stopped[v]
            reach *= went_on[v] / decided if decided else 0.0
            further += cell.tasks * reach
    return Demand(census.left, further, settled, pace, saved)


def saving_in_words(demand: Demand) -> str | None:
    """What adaptive overlap has saved so far, where it has."""
    saving = demand.saving
    if saving is None or not saving.judgements:
        return None
    took = hours_for(saving.judgements, demand.pace)
    worth = "" if took is None else f", {in_person_hours(took)} at the pace of the last 24 hours"
    return (
        f"Adaptive overlap has saved {some(saving.judgements, 'judgement')} so far{worth}: "
        f"{some(saving.tasks, 'task')} {does(saving.tasks, 'was', 'were')} sure with fewer than "
        f"{saving.most}."
    )


def in_words(demand: Demand) -> str:
    """How much work is left, in a sentence; what cannot be told is not."""
    if demand.judgements == 0:
        return "Everything that is wanted has been judged."
    wanted = some(demand.expected, "judgement")
    if demand.person_hours is None:
        return f"{wanted} to go. There is no pace yet to tell how long they take."
    sentence = f"{wanted} to go: {in_person_hours(demand.person_hours)}"
    if demand.hours is None:
        return f"{sentence} at the pace of the last 24 hours. Nobody is at work now."
    people = some(demand.pace.people, "person", "people")
    return f"{sentence}; {hours(demand.hours)} at the pace of the {people} at work now."


def how(demand: Demand) -> str:
    """Where the figures of `in_words` come from."""
    pace = demand.pace
    if pace.per_hour:
        told = (
            f"In the last 24 hours {some(pace.counted, 'judgement')} that count took "
            f"{hours(pace.hours)} of active time, gold and repeats included: "
            f"{pace.per_hour:,.0f} an hour of work."
        )
    else:
        told = (
            f"A pace is told from {FEWEST_JUDGEMENTS} judgements and two minutes of work in the "
            "last 24 hours on."
        )
    if demand.settled is None:
        return told
    if demand.settled < FEWEST_SETTLED:
        return (
            f"{told} How many tasks need more than the least number is told from "
            f"{FEWEST_SETTLED} settled tasks on ({demand.settled} so far)."
        )
    return (
        f"{told} {some(demand.further, 'judgement')} of them are not asked for yet: they are "
        f"expected, since overlap is adaptive, by how many of {some(demand.settled, 'task')} with "
        "the least number needed more."
    )
