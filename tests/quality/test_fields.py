"""The figures of a field: what they rest on, their intervals, and awkward input."""

from itertools import combinations

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from app.quality.rules import bootstrap, fields
from app.quality.rules.fields import Scale
from app.quality.rules.judgements import Judgements, from_rankings
from app.quality.rules.scales import ranking_field


def rng() -> np.random.Generator:
    return np.random.default_rng(20)


def crowd(
    n_tasks: int, people: int = 3, size: int = 2, seed: int = 1, noise: float = 1.0
) -> Judgements:
    """Simulated people who see the same quality, each with her own noise."""
    chance = np.random.default_rng(seed)
    quality = chance.normal(size=(n_tasks, 1, size))
    seen = quality + noise * chance.normal(size=(n_tasks, people, size))
    ranks = np.rint(2 * seen)  # coarse: near responses tie
    return from_rankings(
        [
            (task, person, [1 + sum(other > mine for other in row) for mine in row])
            for task in range(n_tasks)
            for person, row in enumerate(ranks[task].tolist())
        ]
    )


def ranking(judgements: Judgements) -> fields.FieldAgreement:
    return fields.ranking_agreement(judgements, rng=rng())


def slow_figures(judgements: Judgements) -> dict[str, float]:
    """Percent agreement, alpha, tau-b and W of rankings, task by task in plain Python."""
    by_task: dict[int, list[list[int]]] = {}
    for task, ranks, size in zip(
        judgements.task, judgements.ranks.tolist(), judgements.sizes, strict=True
    ):
        by_task.setdefault(int(task), []).append(ranks[:size])
    percent, decisive, taus, ws, counts = [], [], [], [], []
    for rankings in by_task.values():
        for i, j in combinations(range(len(rankings[0])), 2):
            votes = [np.sign(ranks[j] - ranks[i]) for ranks in rankings]
            counts.append([votes.count(sign) for sign in (1, 0, -1)])
            pairs = list(combinations(votes, 2))
            if pairs:
                percent.append(np.mean([a == b for a, b in pairs]))
            clear = [vote for vote in votes if vote]
            if len(clear) > 1:
                decisive.append(np.mean([a == b for a, b in combinations(clear, 2)]))
        tau = [
            stats.kendalltau(a, b).statistic
            for a, b in combinations(rankings, 2)
            if len(set(a)) > 1 and len(set(b)) > 1
        ]
        taus += [np.mean(tau)] if tau else []
        m, n = len(rankings), len(rankings[0])
        mid = np.array([stats.rankdata(ranks) for ranks in rankings])
        spread = sum((t**3 - t) for row in mid for t in np.unique(row, return_counts=True)[1])
        below = m**2 * (n**3 - n) - m * spread
        if m > 1 and below > 0:
            ws.append(12 * ((mid.sum(axis=0) - m * (n + 1) / 2) ** 2).sum() / below)
    return {
        "percent_agreement": np.mean(percent),
        "percent_agreement_no_ties": np.mean(decisive),
        "krippendorff_alpha": krippendorff.alpha(
            value_counts=counts, level_of_measurement="nominal"
        ),
        "kendall_tau_b": np.mean(taus),
        "kendall_w": np.mean(ws),
    }


@pytest.mark.parametrize(("people", "size"), [(2, 2), (3, 2), (3, 4), (5, 6)])
def test_figures_of_rankings_equal_the_slow_formulas(people, size):
    judgements = crowd(60, people, size)
    figures = ranking(judgements).as_json()
    for name, expected in slow_figures(judgements).items():
        assert figures[name]["value"] == pytest.approx(expected, abs=1e-6), name


def test_tasks_of_different_shape_are_mixed_correctly():
    parts = [crowd(20, people, size, seed=people) for people, size in ((1, 2), (2, 3), (4, 2))]
    rows = [
        (100 * number + int(part.task[row]), int(part.annotator[row]), ranks[:size])
        for number, part in enumerate(parts)
        for row, (ranks, size) in enumerate(zip(part.ranks.tolist(), part.sizes, strict=True))
    ]
    judgements = from_rankings(rows)
    figures = ranking(judgements)
    assert (figures.n_tasks, figures.n_shared_tasks, figures.n_annotations) == (60, 40, 140)
    for name, expected in slow_figures(judgements).items():
        assert getattr(figures, name).value == pytest.approx(expected, abs=1e-9), name


def test_the_interval_is_that_of_copying_the_data():
    judgements = crowd(150)
    figure = ranking(judgements).krippendorff_alpha
    chance = np.random.default_rng(4)
    counts = ranking_field().units(judgements).counts
    copies = [
        krippendorff.alpha(
            value_counts=counts[chance.integers(0, len(counts), len(counts))],
            level_of_measurement="nominal",
        )
        for _ in range(1_000)
    ]
    low, high = np.percentile(copies, [2.5, 97.5])
    assert (figure.low, figure.high) == pytest.approx((low, high), abs=0.02)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    truth = ranking(crowd(20_000, 2, seed=77)).percent_agreement.value
    figures = [ranking(crowd(80, 2, seed=seed)).percent_agreement for seed in range(150)]
    covered = sum(figure.low <= truth <= figure.high for figure in figures)
    assert stats.binomtest(covered, 150, 0.95).pvalue > 1e-4


def test_many_distinct_tasks_are_grouped_without_changing_value_or_width(monkeypatch):
    judgements = crowd(3_000, 3, 4)
    exact = ranking(judgements).as_json()
    monkeypatch.setattr(bootstrap, "MOST_PROFILES", 1_000)
    grouped = ranking(judgements).as_json()
    for name in (
        "percent_agreement",
        "krippendorff_alpha",
        "gwet_ac",
        "kendall_tau_b",
        "kendall_w",
    ):
        assert grouped[name]["value"] == exact[name]["value"]
        widths = [figure["high"] - figure["low"] for figure in (grouped[name], exact[name])]
        assert widths[0] == pytest.approx(widths[1], rel=0.15)


def test_the_same_judgements_in_another_order_give_the_same_answer():
    judgements = crowd(40)
    rows = list(zip(judgements.task, judgements.annotator, judgements.ranks.tolist(), strict=True))
    shuffled = from_rankings([rows[row] for row in np.random.default_rng(0).permutation(len(rows))])
    before, after = ranking(judgements).as_json(), ranking(shuffled).as_json()
    assert {k: v["value"] for k, v in before.items() if isinstance(v, dict)} == {
        k: v["value"] for k, v in after.items() if isinstance(v, dict)
    }


@given(st.integers(2, 5), st.integers(2, 4), st.integers(0, 1_000))
@settings(max_examples=25)
def test_the_canonical_order_of_responses_does_not_matter(people, size, seed):
    judgements = crowd(12, people, size, seed)
    turned = from_rankings(
        [
            (int(task), int(who), ranks[::-1])
            for task, who, ranks in zip(
                judgements.task, judgements.annotator, judgements.ranks.tolist(), strict=True
            )
        ]
    )
    before, after = ranking(judgements), ranking(turned)
    for name in ("percent_agreement", "percent_agreement_no_ties", "kendall_tau_b", "kendall_w"):
        assert getattr(before, name).value == pytest.approx(getattr(after, name).value, nan_ok=True)


# Awkward input


def test_nothing_judged_is_not_defined():
    figures = fields.ranking_agreement(from_rankings([]), rng=rng())
    assert figures.n_annotations == 0
    assert figures.krippendorff_alpha.reason == fields.NOTHING


def test_one_annotator_agrees_with_nobody():
    figures = ranking(from_rankings([(task, 0, [1, 2]) for task in range(20)]))
    assert figures.n_annotators == 1
    for name in ("percent_agreement", "krippendorff_alpha", "gwet_ac", "kendall_tau_b"):
        assert getattr(figures, name).value is None
        assert getattr(figures, name).reason == fields.NOTHING_SHARED


def test_one_task_has_values_and_no_interval():
    figures = ranking(from_rankings([(0, 0, [1, 2]), (0, 1, [2, 1]), (0, 2, [1, 2])]))
    assert figures.percent_agreement.value == pytest.approx(1 / 3)
    assert figures.percent_agreement.low is None
    assert "fewer than 10 tasks" in figures.percent_agreement.reason


def test_one_answer_everywhere_has_no_alpha():
    figures = ranking(from_rankings([(task, who, [1, 2]) for task in range(12) for who in (0, 1)]))
    assert figures.percent_agreement.value == 1
    assert figures.krippendorff_alpha == fields.Figure(None, reason=fields.ONE_VALUE)


def test_only_ties_have_no_decisive_agreement_and_no_tau():
    figures = ranking(from_rankings([(task, who, [1, 1]) for task in range(12) for who in (0, 1)]))
    assert figures.percent_agreement.value == 1
    assert figures.percent_agreement_no_ties.reason == fields.NOTHING_DECISIVE
    assert figures.kendall_tau_b.reason == figures.kendall_w.reason == fields.NO_ORDER


def test_where_ties_are_not_allowed_chance_has_two_answers():
    judgements = crowd(40)
    judgements = judgements.where((judgements.ranks[:, 0] != judgements.ranks[:, 1]).nonzero()[0])
    with_ties = fields.ranking_agreement(judgements, rng=rng())
    without = fields.ranking_agreement(judgements, ties=False, rng=rng())
    counts = ranking_field().units(judgements).counts[:, [0, 2]].astype(float)
    number = counts.sum(axis=1)
    several = counts[number > 1]
    ordered = number[number > 1] * (number[number > 1] - 1)
    same = ((several * (several - 1)).sum(axis=1) / ordered).mean()
    share = (counts / number[:, None]).mean(axis=0)[0]
    chance = 2 * share * (1 - share)  # Gwet's for two categories
    assert without.gwet_ac.value == pytest.approx((same - chance) / (1 - chance))
    assert without.gwet_ac.value < with_ties.gwet_ac.value
    assert without.percent_agreement_no_ties.value == pytest.approx(same)
    assert without.krippendorff_alpha.value == pytest.approx(with_ties.krippendorff_alpha.value)


def test_repeats_do_not_agree_with_themselves():
    judgements = crowd(30, 2)
    doubled = Judgements(
        **{
            name: np.repeat(getattr(judgements, name), 2, axis=0)
            for name in Judgements.__slots__
            if name not in {"ratings", "repeat", "characters", "rationale"}
        },
        repeat=np.tile([False, True], len(judgements)),
    )
    assert ranking(doubled).as_json() == ranking(judgements).as_json()


# Strength and ratings


def test_strength_is_signed_towards_the_first_response_and_ordinal():
    rows = [
        (0, 0, [1, 2]),
        (0, 1, [2, 1]),
        (1, 0, [1, 1]),
        (1, 1, [1, 2]),
        (2, 0, [2, 1]),
        (2, 1, [2, 1]),
    ]
    judgements = from_rankings(rows, strength=[3, 1, None, 2, 3, 2])
    figures = fields.strength_agreement(judgements, levels=3, rng=rng())
    expected = krippendorff.alpha(
        [[3, 0, -3], [-1, 2, -2]],
        level_of_measurement="ordinal",
        value_domain=[-3, -2, -1, 0, 1, 2, 3],
    )
    assert figures.krippendorff_alpha.value == pytest.approx(expected)
    assert figures.kendall_w.reason == fields.NOT_A_RANKING


def test_a_decisive_judgement_without_strength_is_missing_not_zero():
    judgements = from_rankings([(0, 0, [1, 2]), (0, 1, [1, 2])], strength=[2, None])
    figures = fields.strength_agreement(judgements, levels=3, rng=rng())
    assert figures.n_annotations == 1
    assert figures.percent_agreement.value is None


def test_a_criterion_is_ordinal_over_every_rated_response():
    chance = np.random.default_rng(9)
    judgements = crowd(30, 3, 2)
    ratings = chance.integers(1, 6, size=(90, 2)).astype(float)
    ratings[::7, 1] = np.nan
    rated = Judgements(
        **{name: getattr(judgements, name) for name in Judgements.__slots__ if name != "ratings"},
        ratings={"helpful": ratings},
    )
    figures = fields.rating_agreement(rated, criterion="helpful", scale=Scale(1, 5), rng=rng())
    by_unit = ratings.reshape(30, 3, 2).transpose(1, 0, 2).reshape(3, 60)
    expected = krippendorff.alpha(by_unit, level_of_measurement="ordinal")
    assert figures.krippendorff_alpha.value == pytest.approx(expected)
    assert figures.percent_agreement_no_ties.reason == fields.NO_TIES


def test_every_field_of_the_project_goes_by_its_wire_name():
    judgements = crowd(12)
    rated = Judgements(
        **{name: getattr(judgements, name) for name in Judgements.__slots__ if name != "ratings"},
        ratings={"helpful": np.full((36, 2), np.nan)},
    )
    found = fields.all_fields(rated, levels=3, scales={"helpful": Scale(1, 5)}, rng=rng())
    assert list(found) == ["ranking", "strength", "criterion:helpful"]
    assert found["criterion:helpful"].krippendorff_alpha.reason == fields.NOTHING
