"""Figures of published multi-annotator data, recomputed by an independent path."""

from collections import defaultdict
from itertools import combinations

import krippendorff
import numpy as np
import pytest
from scipy import stats

from app.quality.rules import agreement, fields
from app.quality.rules.agreement import Level
from app.quality.rules.annotators import annotator_health
from app.quality.rules.breakdowns import pairs_of_people
from app.quality.rules.judgements import Judgements, from_rankings
from tests.shared_data import shared_rows

RANKS = {1: [1, 2], 2: [2, 1], 0: [1, 1]}
TULU = {
    "a-is-better": ([1, 2], 2),
    "a-is-slightly-better": ([1, 2], 1),
    "tie": ([1, 1], None),
    "b-is-slightly-better": ([2, 1], 1),
    "b-is-better": ([2, 1], 2),
}


def rng() -> np.random.Generator:
    return np.random.default_rng(20)


@pytest.fixture(scope="module")
def pandalm() -> Judgements:
    return from_rankings(
        [
            (task, int(person[-1]) - 1, RANKS[label])
            for task, row in enumerate(shared_rows("pandalm-3annotators/pairs.jsonl.gz"))
            for person, label in sorted(row["labels"].items())
        ]
    )


def test_pandalm_has_the_kappas_its_authors_report(pandalm: Judgements):
    # Published on 999 pairs: .85, .88, .86; here are 796 of them.
    published = {(0, 1): 0.85, (0, 2): 0.88, (1, 2): 0.86}
    found = {
        pair: fields.ranking_agreement(part, rng=rng(), resamples=500).cohen_kappa
        for pair, part in pairs_of_people(pandalm)
    }
    assert found.keys() == published.keys()
    for pair, figure in found.items():
        assert figure.value == pytest.approx(published[pair], abs=0.03)
        assert figure.low < published[pair] < figure.high


def test_pandalm_by_a_second_path(pandalm: Judgements):
    figures = fields.ranking_agreement(pandalm, rng=rng())
    assert (figures.n_tasks, figures.n_annotations, figures.n_annotators) == (796, 2388, 3)
    labels = np.array(
        [
            [row["labels"][f"annotator{person}"] for person in (1, 2, 3)]
            for row in shared_rows("pandalm-3annotators/pairs.jsonl.gz")
        ]
    )
    same = np.mean([labels[:, i] == labels[:, j] for i, j in combinations(range(3), 2)])
    assert figures.percent_agreement.value == pytest.approx(same)
    assert figures.krippendorff_alpha.value == pytest.approx(
        krippendorff.alpha(labels.T, level_of_measurement="nominal")
    )
    assert figures.krippendorff_alpha.low < figures.krippendorff_alpha.value
    assert figures.percent_agreement_no_ties.value > 0.95


@pytest.fixture(scope="module")
def tulu() -> tuple[Judgements, list[tuple[str, str, int]]]:
    """Judgements, and (pair, person, signed strength) as the file has them, repeats left out."""
    first = {
        row["pair_id"]: min(row["responses"])
        for row in shared_rows("tulu-human-pairs/pairs.jsonl.gz")
    }
    tasks = {pair: code for code, pair in enumerate(first)}
    rankings, strengths, lines, seen = [], [], [], set()
    for row in shared_rows("tulu-human-pairs/annotations.jsonl.gz"):
        pair, person = row["pair_id"], row["annotator"]
        if (pair, person) in seen:
            continue
        seen.add((pair, person))
        ranks, strength = TULU[row["preference"]]
        if row["model_a"] != first[pair]:  # shown the other way round
            ranks = ranks[::-1]
        rankings.append((tasks[pair], int(person[1:]) - 1, ranks))
        strengths.append(strength)
        lines.append((pair, person, int(np.sign(ranks[1] - ranks[0])) * (strength or 0)))
    return from_rankings(rankings, strength=strengths), lines


def test_tulu_rests_on_the_few_pairs_that_several_people_judged(tulu):
    judgements, lines = tulu
    figures = fields.ranking_agreement(judgements, rng=rng())
    by_pair = defaultdict(list)
    for pair, _, signed in lines:
        by_pair[pair].append(np.sign(signed))
    shared = [votes for votes in by_pair.values() if len(votes) > 1]
    assert (figures.n_tasks, figures.n_shared_tasks) == (len(by_pair), len(shared))
    assert figures.n_annotators == len({person for _, person, _ in lines})
    expected = np.mean([np.mean([a == b for a, b in combinations(v, 2)]) for v in shared])
    assert figures.percent_agreement.value == pytest.approx(expected)
    clear = [[vote for vote in votes if vote] for votes in shared]
    expected = np.mean(
        [np.mean([a == b for a, b in combinations(v, 2)]) for v in clear if len(v) > 1]
    )
    assert figures.percent_agreement_no_ties.value == pytest.approx(expected)
    assert figures.percent_agreement_no_ties.low > 0.5


def test_tulu_strength_is_ordinal(tulu):
    judgements, lines = tulu
    figures = fields.strength_agreement(judgements, levels=2, rng=rng())
    pairs = sorted({pair for pair, _, _ in lines})
    people = sorted({person for _, person, _ in lines})
    table = np.full((len(people), len(pairs)), np.nan)
    for pair, person, signed in lines:
        table[people.index(person), pairs.index(pair)] = signed
    for level, figure in (("ordinal", figures.krippendorff_alpha),):
        expected = krippendorff.alpha(
            table, level_of_measurement=level, value_domain=[-2, -1, 0, 1, 2]
        )
        assert figure.value == pytest.approx(expected)
    assert figures.gwet_ac.low < figures.gwet_ac.value < figures.gwet_ac.high


def test_dices_with_123_people_on_every_item():
    labels = [row["labels"] for row in shared_rows("dices-350/items.jsonl.gz")]
    counts = np.array([[row.count(letter) for letter in "YNU"] for row in labels])
    sums = agreement.sums_of(counts)
    assert agreement.krippendorff_alpha(sums, Level.NOMINAL)[0] == pytest.approx(
        krippendorff.alpha(value_counts=counts, level_of_measurement="nominal")
    )
    n = counts.sum(axis=1)
    same = (counts * (counts - 1)).sum(axis=1) / (n * (n - 1))
    assert agreement.percent_agreement(sums)[0] == pytest.approx(same.mean())


def test_xstest_two_people_and_what_kappa_says():
    names = ["1_full_compliance", "2_full_refusal", "3_partial_refusal"]
    table = np.zeros((1, 3, 3))
    for row in shared_rows("xstest/labels.jsonl.gz"):
        table[0, names.index(row["annotation_1"]), names.index(row["annotation_2"])] += 1
    share = table[0] / table.sum()
    chance = share.sum(axis=0) @ share.sum(axis=1)
    assert agreement.cohen_kappa(table)[0] == pytest.approx(
        (np.trace(share) - chance) / (1 - chance)
    )


@pytest.fixture(scope="module")
def translations() -> tuple[Judgements, list[np.ndarray]]:
    """Three professionals rank ten translations of each segment by penalty, ties included."""
    segments: dict[str, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for row in shared_rows("mt-mqm-ende/ratings.jsonl.gz"):
        segments[row["segment_id"]][row["rater"]][row["system"]] = row["penalty"]
    people = sorted({rater for raters in segments.values() for rater in raters})
    rankings, panels = [], []
    for task, raters in enumerate(segments.values()):
        systems = sorted(next(iter(raters.values())))
        penalties = np.array([[raters[r][s] for s in systems] for r in sorted(raters)])
        panels.append(penalties)
        rankings += [
            (task, people.index(rater), stats.rankdata(row, method="min").astype(int).tolist())
            for rater, row in zip(sorted(raters), penalties, strict=True)
        ]
    return from_rankings(rankings), panels


def test_rankings_of_ten_translations_by_a_second_path(translations):
    judgements, panels = translations
    figures = fields.ranking_agreement(judgements, rng=rng())
    taus = []
    for penalties in panels:
        tau = [
            stats.kendalltau(a, b).statistic
            for a, b in combinations(penalties, 2)
            if len(set(a)) > 1 and len(set(b)) > 1
        ]
        taus += [np.mean(tau)] if tau else []
    assert figures.kendall_tau_b.value == pytest.approx(np.mean(taus))
    ws = [
        stats.friedmanchisquare(*penalties.T).statistic / (len(penalties) * 9)
        for penalties in panels
        if any(len(set(row)) > 1 for row in penalties)
    ]
    assert figures.kendall_w.value == pytest.approx(np.mean(ws))
    assert 0 < figures.kendall_tau_b.low < figures.kendall_tau_b.high < 1


def test_every_professional_has_peers(translations):
    judgements, _ = translations
    people = int(judgements.annotator.max()) + 1
    health = annotator_health(judgements, n_annotators=people)
    for row in health:
        if row.n_annotations:
            assert 0.5 < row.peer_agreement.value < 1
            assert row.position_bias.share.value is None
