"""How well the people behind a snapshot agree, whatever order their judgements come in."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from app.datasets.rules.comparisons import Rankings, Vote, said
from app.quality.rules import agreement as formulas
from app.quality.rules.bootstrap import MOST_PROFILES, Profiles
from app.quality.rules.consensus import pair_votes
from app.quality.rules.fields import NOTHING, NOTHING_DECISIVE, NOTHING_SHARED, ONE_VALUE
from app.quality.rules.intervals import Figure, Floats, bootstrap_figure, undefined
from app.quality.rules.judgements import TIE

Profile = tuple[tuple[int, int, int], ...]  # per implied pair: votes for first, tie, second

_REASONS = {
    "percent_agreement": NOTHING_SHARED,
    "percent_agreement_no_ties": NOTHING_DECISIVE,
    "krippendorff_alpha": ONE_VALUE,
}
_SEED = 20_240_229  # any number, always the same: equal datasets have equal intervals


class AgreementTally:
    """Counts tasks by what was said of them; tasks that were judged alike are one profile."""

    def __init__(self) -> None:
        self.tasks: Counter[Rankings] = Counter()
        self.people: Counter[str] = Counter()

    def add(self, votes: Sequence[Vote], people: Iterable[str]) -> None:
        """One task: `votes` in the order of response ids, one for each of `people`."""
        self.tasks[said(votes)] += 1
        for person in people:
            self.people[person] += 1

    def add_all(self, other: "AgreementTally") -> None:
        """What was counted of other tasks counts here as well."""
        self.tasks.update(other.tasks)
        self.people.update(other.people)

    def figures(self) -> dict[str, Any]:
        """As stored with the snapshot: numbers, and figures with an interval or a reason."""
        return {
            "n_tasks": sum(self.tasks.values()),
            "n_annotations": sum(self.people.values()),
            "n_annotators": len(self.people),
            "annotations_per_annotator": _spread(sorted(self.people.values())),
            **{name: figure.as_json() for name, figure in self._agreement().items()},
        }

    def _agreement(self) -> dict[str, Figure]:
        shared: Counter[Profile] = Counter()
        for rankings, number in self.tasks.items():
            if len(rankings) >= 2:
                shared[_profile(rankings)] += number
        if not shared:
            reason = NOTHING_SHARED if self.tasks else NOTHING
            return dict.fromkeys(_REASONS, undefined(reason))
        names = sorted(shared)
        units = np.array([unit for name in names for unit in name], np.int64)
        starts = np.cumsum([0, *(len(name) for name in names[:-1])])
        sums = np.add.reduceat(formulas.unit_features(units, tie=TIE), starts, axis=0)
        tasks = np.array([shared[name] for name in names], np.int64)
        return _with_intervals(Profiles(sums=sums, tasks=tasks))


def _profile(rankings: Rankings) -> Profile:
    return tuple((votes.first, votes.tie, votes.second) for votes in pair_votes(rankings).values())


def _with_intervals(profiles: Profiles) -> dict[str, Figure]:
    values = _values(profiles.total())
    if len(profiles.tasks) > MOST_PROFILES:
        resampled = dict.fromkeys(values, np.full(1, np.nan))
    else:
        resampled = _values(profiles.resampled(np.random.default_rng(_SEED)))
    n_tasks = int(profiles.tasks.sum())
    return {
        name: undefined(_REASONS[name])
        if np.isnan(value[0])
        else bootstrap_figure(float(value[0]), resampled[name], n_tasks=n_tasks)
        for name, value in values.items()
    }


def _values(flat: Floats) -> dict[str, Floats]:
    sums = formulas.as_sums(flat, categories=3)
    return {
        "percent_agreement": formulas.percent_agreement(sums),
        "percent_agreement_no_ties": formulas.percent_agreement_no_ties(sums),
        "krippendorff_alpha": formulas.krippendorff_alpha(sums, formulas.Level.NOMINAL),
    }


def _spread(numbers: Sequence[int]) -> dict[str, int] | None:
    if not numbers:
        return None
    return {"min": numbers[0], "median": numbers[len(numbers) // 2], "max": numbers[-1]}
