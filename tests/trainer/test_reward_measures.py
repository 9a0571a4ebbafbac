"""How good a judge is, in numbers: intervals, calibration, ceiling and correlations."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from app.trainer.reward import measures
from app.trainer.reward.sentences import in_words


class TestShares:
    @pytest.mark.parametrize(("right", "of"), [(0, 7), (7, 7), (35, 50), (1, 3)])
    def test_independent_pairs_have_wilsons_interval(self, right: int, of: int) -> None:
        values = [1.0] * right + [0.0] * (of - right)
        found = measures.share(values, range(of))
        low, high = stats.binomtest(right, of).proportion_ci(method="wilson")
        assert found["value"] == right / of
        assert (found["low"], found["high"]) == pytest.approx((low, high), abs=1e-9)

    def test_pairs_of_one_ranking_are_one_witness_when_they_stand_and_fall_together(self) -> None:
        values = [1.0] * 36 * 6 + [0.0] * 36 * 4  # ten rankings of nine, six wholly right
        found = measures.share(values, [i // 36 for i in range(360)])
        alone = measures.share([1.0] * 6 + [0.0] * 4, range(10))
        assert found["low"] == pytest.approx(alone["low"])
        assert found["n"] == 360

    def test_interval_holds_what_it_promises_for_pairs_of_rankings(self) -> None:
        """Simulated: tasks differ in difficulty, each has six pairs; truth is 0.7."""
        rng = np.random.default_rng(1)
        tasks = np.repeat(np.arange(60), 6)
        inside = 0
        for _ in range(300):
            chance = rng.beta(7 / 4, 3 / 4, 60)[tasks]
            found = measures.share(list((rng.random(360) < chance).astype(float)), list(tasks))
            inside += found["low"] <= 0.7 <= found["high"]
        assert 0.91 <= inside / 300 <= 0.99
        naive = measures.wilson(0.7, 360)
        assert found["high"] - found["low"] > 1.2 * (naive[1] - naive[0])

    def test_nothing_is_not_defined(self) -> None:
        assert measures.share([], []) == {"value": None, "low": None, "high": None, "n": 0}

    def test_gain_is_of_paired_pairs(self) -> None:
        """Two judges that are nearly always right together differ by a sure little."""
        right, other = [1.0] * 90 + [0.0] * 10, [1.0] * 80 + [0.0] * 20
        found = measures.gain(right, other, range(100))
        difference = np.array(right) - np.array(other)
        error = 1.96 * difference.std() / 10
        assert found["value"] == pytest.approx(0.1)
        assert found["low"] == pytest.approx(0.1 - error, rel=1e-4)
        assert found["low"] > 0


class TestCalibration:
    def test_a_judge_that_says_what_is_has_no_error(self) -> None:
        rng = np.random.default_rng(0)
        deltas = rng.normal(0, 2, 20_000)
        labels = (rng.random(20_000) < 1 / (1 + np.exp(-deltas))).astype(float)
        found = measures.calibration(deltas, labels)
        assert found["ece"] < 0.015
        assert sum(row["n"] for row in found["bins"]) == 20_000
        bold = measures.calibration(3 * deltas, labels)
        assert bold["ece"] > 0.08
        assert bold["claimed"] > bold["held"]

    def test_by_hand_with_shares_of_votes_and_a_wrong_side(self) -> None:
        odds = math.log(3)  # claims 75 %
        found = measures.calibration([odds, -odds, odds], [0.75, 1.0, 0.5])
        (row,) = found["bins"]
        assert row["claimed"] == pytest.approx(0.75)
        assert row["held"] == pytest.approx((0.75 + 0.0 + 0.5) / 3)
        assert found["ece"] == pytest.approx(0.75 - 1.25 / 3)

    def test_equal_scores_claim_one_half_and_hold_it(self) -> None:
        """Pairs come with the better response first, which such a judge does not know."""
        found = measures.calibration([0.0, 0.0, 0.0], [1.0, 1.0, 0.75])
        assert (found["ece"], found["claimed"], found["held"]) == (0.0, 0.5, 0.5)


class TestCeiling:
    def test_by_hand(self) -> None:
        """3 of 4 votes: 3 of 6 pairs of people agree; the majority has 75 % of the votes."""
        found = measures.ceiling([0.75], [4], [0.0])
        assert (found["people"], found["best"]) == pytest.approx((0.5, 0.75))

    def test_agreement_of_people_is_unbiased_with_few_votes(self) -> None:
        rng = np.random.default_rng(3)
        votes = rng.binomial(2, 0.8, 50_000)
        found = measures.ceiling(np.maximum(votes, 2 - votes) / 2, [2] * 50_000, [0.0] * 50_000)
        assert found["people"] == pytest.approx(0.8**2 + 0.2**2, abs=0.01)

    @pytest.mark.parametrize("votes", ["110", "1hh", "11h0", "1h"])
    def test_a_tie_agrees_by_one_half_with_any_other_vote(self, votes: str) -> None:
        each = [{"1": 1.0, "h": 0.0, "0": -1.0}[vote] for vote in votes]
        pairs = [(1 + a * b) / 2 for a, b in itertools.combinations(each, 2)]
        share, tie = (1 + np.mean(each)) / 2, votes.count("h") / len(votes)
        found = measures.ceiling([share], [len(votes)], [tie])
        assert found["people"] == pytest.approx(np.mean(pairs))


class TestCorrelations:
    def test_one_prompt_equals_scipy(self) -> None:
        rng = np.random.default_rng(5)
        scores, lengths = rng.normal(size=9), rng.integers(1, 5, 9)
        found = measures.within([scores], [lengths])
        assert found["pearson"] == pytest.approx(stats.pearsonr(scores, lengths).statistic)
        assert found["spearman"] == pytest.approx(stats.spearmanr(scores, lengths).statistic)
        assert measures.correlation(scores, lengths) == pytest.approx(found["pearson"])

    def test_levels_of_prompts_do_not_count(self) -> None:
        """Long prompts with high scores, and inside each the shorter one wins."""
        found = measures.within([[1.0, 0.0], [9.0, 8.0]], [[1, 2], [11, 12]])
        assert found["pearson"] == pytest.approx(-1)

    def test_without_any_spread_there_is_none(self) -> None:
        assert measures.within([[1.0, 2.0]], [[5, 5]]) == {"pearson": None, "spearman": None}

    def test_thirds(self) -> None:
        assert measures.thirds([5, 1, 3, 2, 4, 6]) == [2, 0, 1, 0, 1, 2]


def evaluation(**parts) -> dict:
    share = {"value": 0.74, "low": 0.7, "high": 0.78, "n": 512}
    gain = {"value": 0.12, "low": 0.08, "high": 0.16, "n": 512}
    bins = [{"claimed": 0.8, "held": 0.78, "low": 0.7, "high": 0.84, "n": 100}]
    found = {
        "tasks": 512,
        "accuracy": share,
        "baseline": {"rule": "longer", **share, "value": 0.62, "gain": gain},
        "people": {"people": 0.76, "best": 0.83, "votes": 3.2, "n": 400, "model": share},
        "calibration": {"ece": 0.02, "claimed": 0.8, "held": 0.78, "bins": bins},
        "length": {"pearson": 0.41, "spearman": 0.4},
        "by_length": [],
    }
    return found | parts


class TestSentences:
    def test_a_good_judge(self) -> None:
        said = in_words(evaluation())
        assert said["accuracy"] == (
            "It puts 74 % of 512 unseen pairs in the order that people did (70–78 %)."
        )
        assert said["baseline"] == (
            "It beats “the longer answer wins” (62 %) by 12 points (+8 to +16)."
        )
        assert "someone who always knew the majority would with 83 %" in said["people"]
        assert said["calibration"].startswith("It can be taken at its word")
        assert "leans towards longer answers (correlation within a prompt +0.41)" in said["length"]

    def test_so_few_pairs_that_far_off_is_within_chance(self) -> None:
        few = evaluation()["calibration"] | {"ece": 0.48}
        said = in_words(evaluation(calibration=few))["calibration"]
        assert said.startswith("These pairs are too few to tell if it can be taken at its word")
        assert "differ by 48 points" in said

    def test_a_judge_that_knows_only_length(self) -> None:
        none = {"value": 0.01, "low": -0.03, "high": 0.05, "n": 512}
        rule = {"rule": "shorter", "value": 0.62, "gain": none}
        said = in_words(evaluation(baseline=rule, people=None, tasks=90))
        assert said["baseline"].startswith("It is not clearly better than “the shorter answer wins")
        assert "(−3 to +5)" in said["baseline"]
        assert "of 90 tasks" in said["accuracy"]
        assert "nobody knows how far people agree" in said["people"]
        worse = {**rule, "gain": {"value": -0.2, "low": -0.3, "high": -0.1, "n": 5}}
        assert "It is worse than" in in_words(evaluation(baseline=worse))["baseline"]

    def test_one_that_is_too_sure(self) -> None:
        bins = [{"claimed": 0.95, "held": 0.7, "low": 0.6, "high": 0.8, "n": 100}]
        said = in_words(
            evaluation(calibration={"ece": 0.25, "claimed": 0.95, "held": 0.7, "bins": bins})
        )
        assert said["calibration"].startswith("It is too sure of itself: it claims 95 %")

    def test_members_that_disagree_where_they_are_wrong(self) -> None:
        def third(label: str, value: float) -> dict:
            return {"label": label, "value": value, "low": value - 0.05, "high": value + 0.05}

        thirds = [third("least disagreement", 0.9), third("most disagreement", 0.6)]
        members = {"members": 3, "alone": [0.7, 0.72, 0.71], "thirds": thirds}
        said = in_words(evaluation(ensemble=members | {"differ": {"value": 0.2}}))["ensemble"]
        assert "alone they are right in 70–72 %" in said
        assert "disagreement warns of mistakes" in said
