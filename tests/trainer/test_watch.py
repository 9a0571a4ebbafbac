"""Signs that a judge is being pleased rather than people, and when a change is one."""

import math
import random
import statistics
from pathlib import Path

import pytest
import torch

from app.run_config import DpoConfig, PpoConfig
from app.trainer.monitors import Seen, Watch, signs


class TestSigns:
    def test_repetition_is_the_share_of_groups_said_before(self) -> None:
        assert signs.repeated([[1, 2, 3, 4, 5], [7, 7, 7, 7, 7, 7]]) == [0, pytest.approx(3 / 4)]
        assert signs.repeated([[1, 2, 3, 1, 2, 3]]) == [pytest.approx(1 / 4)]
        assert signs.repeated([[1], []]) == [0, 0]

    def test_distinct_falls_when_all_say_the_same(self) -> None:
        assert signs.distinct([[1, 2, 3, 4], [5, 6, 7, 8]]) == 1
        assert signs.distinct([[1, 2, 3, 4]] * 4) == pytest.approx(1 / 4)
        assert signs.distinct([[9], [9]]) == 1 / 2

    @pytest.mark.parametrize(
        ("text", "refuses"),
        [
            ("I\N{RIGHT SINGLE QUOTATION MARK}m sorry, but no.", True),
            ("As an AI, I have no shoes.", True),
            ("Boil it for ten minutes. " * 10 + "I cannot say more.", False),  # not a refusal
            ("Certainly, with pleasure.", False),
            ("", False),
        ],
    )
    def test_refusals_are_known_by_their_opening(self, text: str, *, refuses: bool) -> None:
        assert signs.refuses(text, PpoConfig().monitor_refusals) == refuses

    def test_disagreement_ignores_where_a_member_puts_its_zero(self) -> None:
        members = torch.tensor([[0.0, 1.0, 2.0], [0.0, 1.0, 2.0]])
        assert signs.disagreement(members + torch.tensor([[0.0], [9.0]])) == pytest.approx(0.0)
        members[1] = torch.tensor([2.0, 1.0, 0.0])
        assert signs.disagreement(members) == pytest.approx((1 + 0 + 1) / 3)

    def test_answers_to_one_prompt_count_as_one_where_they_are_the_same(self) -> None:
        values = [1.0, 4.0, 2.0, 7.0]
        alone = statistics.pstdev(values) / 2
        assert signs.error_of_mean(values, range(4)) == pytest.approx(alone)
        assert signs.error_of_mean(values * 3, [*range(4)] * 3) == pytest.approx(alone)
        assert signs.error_of_mean(values * 3, range(12)) == pytest.approx(alone / math.sqrt(3))
        assert signs.error_of_mean([1, -1, 1, -1], "aabb") == 0  # opposites tell it the better

    def test_slope_is_that_of_the_line(self) -> None:
        assert signs.slope([0, 1, 2, 3], [1, 3, 5, 7]) == pytest.approx(2.0)
        assert signs.slope([1, 1, 1], [1, 2, 3]) == 0.0


def seen(
    length: int = 6, *, score: float = 0.0, way: float = 1.0, count: int = 16, **known
) -> Seen:
    """Responses of which no two are alike; lengths and scores deviate by 1 from their mean."""
    lengths = [length - 1, length + 1] * (count // 2)
    tokens = [[50 * i + t for t in range(n)] for i, n in enumerate(lengths)]
    texts = known.pop("texts", ["Gladly."] * count)
    return Seen(tokens, texts, way, [score - 1, score + 1] * (count // 2), **known)


def drawn(rng: random.Random, count: int, *, each: int = 1) -> Seen:
    """Responses of a policy that stays as it is, so many to `each` prompt; one in ten refuses.

    Those to one prompt are much alike.
    """
    if each > 1:
        one = drawn(rng, count)
        prompts = [i for i in range(count) for _ in range(each)]

        def again(values: list) -> list:
            return [values[i] for i in prompts]

        tokens = [[t + rng.randrange(2) for t in found] for found in again(one.tokens)]
        scores, watched = again(one.scores), again(one.watched)
        members, distances = one.members[:, prompts], again(one.distances)
        return Seen(tokens, again(one.texts), one.way, scores, members, watched, distances, prompts)
    lengths = [min(53, max(1, round(rng.gauss(30, 10)))) for _ in range(count)]
    tokens = [[7 if rng.random() < 0.3 else rng.randrange(400) for _ in range(n)] for n in lengths]
    texts = ["I cannot." if rng.random() < 0.1 else "Gladly." for _ in range(count)]
    scores, watched = ([rng.gauss(0, 1) for _ in range(count)] for _ in range(2))
    members = torch.tensor([[rng.gauss(0, 1) for _ in range(count)] for _ in range(3)])
    distances = [abs(rng.gauss(1, 0.3)) for _ in range(count)]
    return Seen(tokens, texts, 2 * rng.random(), scores, members, watched, distances)


class TestWatch:
    def watch(self, **settings) -> Watch:
        return Watch(PpoConfig(**({"monitor_patience": 1} | settings)))

    def test_all_is_compared_with_the_first_observation(self) -> None:
        watch = self.watch(monitor_max_length_drift=2.0)
        figures, alarms = watch.observe(1, seen(10))
        assert (figures["monitor/length_drift"], alarms) == (0.0, [])
        figures, alarms = watch.observe(2, seen(8))
        assert (figures["monitor/length_drift"], alarms) == (-2.0, [])  # at the limit, not beyond
        figures, alarms = watch.observe(3, seen(7))
        assert figures["monitor/length_drift"] == -3.0
        assert len(alarms) == 1
        assert "Step 3: responses have become shorter: 7 tokens instead of 10" in alarms[0]
        assert not watch.within

    @pytest.mark.parametrize(("mean", "told"), [(2, True), (12, False), (90, True)])
    def test_lengths_as_models_have_them_cannot_move_by_two_deviations(
        self, mean: int, *, told: bool
    ) -> None:
        """Where few are long and most are short, those of 0 tokens are hardly one away."""
        watch, rng = Watch(PpoConfig(response_length=53)), random.Random(3)
        for step, now in enumerate((15, mean, mean)):
            lengths = [min(53, 1 + round(rng.expovariate(1 / now))) for _ in range(64)]
            tokens = [[60 * i + t for t in range(n)] for i, n in enumerate(lengths)]
            alarms = watch.observe(step, Seen(tokens, ["Yes."] * 64, 1.0, [0.0] * 64))[1]
        assert any("responses have become" in alarm for alarm in alarms) == told

    def test_once_is_chance_and_what_was_said_is_not_said_again(self) -> None:
        watch = self.watch(monitor_patience=2)
        lengths = [6, 16, 6, 16, 16, 16]
        told = [len(watch.observe(i, seen(n))[1]) for i, n in enumerate(lengths)]
        assert told == [0, 0, 0, 0, 1, 0]

    def test_a_monitor_without_limit_does_not_look(self) -> None:
        watch = self.watch(monitor_max_length_drift=None)
        watch.observe(1, seen(6))
        assert watch.observe(2, seen(60))[1] == []
        off = self.watch(monitor_action="off")
        assert off.observe(1, seen(6)) == ({}, [])

    def test_refusals_and_sameness_are_told_in_words(self) -> None:
        watch = self.watch(monitor_max_length_drift=None)
        watch.observe(1, seen())
        same = Seen([[1, 2, 3, 4]] * 16, ["I cannot.", "Yes."] * 8, 1.0, [0.0] * 16)
        alarms = watch.observe(2, same)[1]
        assert "responses have become alike: 6%" in alarms[0]
        assert "50% of the responses refuse, 0% at the start" in alarms[1]

    def test_an_ensemble_that_disagrees_more_and_more(self) -> None:
        watch = self.watch()
        members = torch.tensor([[0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 2.0, 4.0]]).repeat(1, 4)
        watch.observe(1, seen(members=members))
        assert watch.observe(2, seen(members=members * 1.9))[1] == []
        assert "disagree 2.1 times as much" in watch.observe(3, seen(members=members * 2.1))[1][0]

    def test_far_from_the_training_data_also_when_it_began_far(self) -> None:
        near, far = self.watch(), self.watch()
        near.observe(1, seen(distances=[1.0] * 16))
        far.observe(1, seen(distances=[4.0] * 16))
        strange = seen(distances=[5.0] * 16)
        assert "5.0 times as far" in near.observe(2, strange)[1][0]
        assert far.observe(2, strange)[1] == []  # it was as far before it was trained

    @pytest.mark.parametrize(("count", "when", "fall"), [(64, 7, "0.833"), (16, 8, "1.33")])
    def test_a_score_that_rises_while_the_watched_one_falls(
        self, count: int, when: int, fall: str
    ) -> None:
        """Gao et al. 2022: the gold score turns while the proxy goes on; few must show it more."""
        watch = self.watch(monitor_max_gold_drop=0.5)
        gold = [0.0, 0.5, 1.0, 1.0, 0.5, 0.0, -0.5, -1.0]
        told = []
        for step, value in enumerate(gold, 1):
            known = {"watched": [value - 1, value + 1] * (count // 2), "count": count}
            figures, alarms = watch.observe(step, seen(score=float(step), way=float(step), **known))
            told += [(step, alarm) for alarm in alarms]
        assert [step for step, _ in told] == [when]  # means of three; the best of them was 0.83
        assert f"has fallen by {fall} deviations from its best" in told[0][1]
        assert figures["monitor/score_slope"] == pytest.approx(1.0)
        assert figures["monitor/watched_slope"] < 0

    def test_both_falling_is_a_bad_policy_but_not_a_game(self) -> None:
        watch = self.watch(monitor_max_gold_drop=0.5)
        for step in range(1, 8):
            known = {"score": -float(step), "watched": [-float(step)] * 16}
            assert watch.observe(step, seen(**known))[1] == []

    def test_what_it_remembers_survives_a_checkpoint(self, tmp_path: Path) -> None:
        whole, part = self.watch(monitor_patience=2), self.watch(monitor_patience=2)
        steps = [seen(n, watched=[0.1 * n] * 16) for n in (6, 6, 16, 16, 16)]
        expected = [whole.observe(i, s) for i, s in enumerate(steps)]
        found = [part.observe(i, s) for i, s in enumerate(steps[:3])]
        torch.save(part.state(), tmp_path / "state.pt")
        again = self.watch(monitor_patience=2)
        again.load(torch.load(tmp_path / "state.pt", weights_only=True))
        found += [again.observe(3 + i, s) for i, s in enumerate(steps[3:])]
        assert found == expected
        assert again.told == whole.told

    @pytest.mark.parametrize(("count", "each"), [(1, 1), (5, 1), (16, 1), (4, 4), (16, 8)])
    def test_a_policy_that_stays_as_it_is_alarms_nobody(self, count: int, each: int) -> None:
        """However few responses a step has, and however alike they are: two of thirty at most."""
        told = []
        for seed in range(30):
            watch, rng = Watch(PpoConfig()), random.Random(seed)
            for step in range(1, 60 if each > 1 else 100):
                told += watch.observe(step, drawn(rng, count, each=each))[1]
        assert len(told) <= 2

    def test_few_responses_are_put_together_until_they_say_something(self, tmp_path: Path) -> None:
        watch, rng = self.watch(), random.Random(1)
        steps = [drawn(rng, 3) for _ in range(12)]
        figures = []
        for step, each in enumerate(steps, 1):
            figures.append(watch.observe(step, each)[0])
            assert watch.within == (step % 6 == 0)  # between them nobody knows
            torch.save(watch.state(), tmp_path / "state.pt")  # a kill at any step leaves no seam
            watch = self.watch()
            watch.load(torch.load(tmp_path / "state.pt", weights_only=True))
        assert [bool(found) for found in figures] == ([False] * 5 + [True]) * 2
        assert watch.start["length"] == statistics.fmean(
            len(response) for each in steps[:6] for response in each.tokens
        )

    def test_a_change_that_chance_explains_is_none(self) -> None:
        """The share of refusals is known to about 15 points from 16 responses, from 400 to 3."""
        for count, told in ((16, 0), (400, 1)):
            watch = self.watch()
            few, more = (["I cannot."] * n + ["Yes."] * (16 - n) for n in (1, 5))
            watch.observe(1, seen(count=count, texts=few * (count // 16)))
            assert len(watch.observe(2, seen(count=count, texts=more * (count // 16)))[1]) == told

    def test_a_run_that_is_to_stop_is_told_again(self) -> None:
        """It may have been warned of before it was resumed with another action."""
        warned, stopping = self.watch(), self.watch(monitor_action="stop")
        for step, length in enumerate((6, 16), 1):
            warned.observe(step, seen(length))
        stopping.load(warned.state())
        assert warned.observe(3, seen(16))[1] == []
        assert "Step 3: responses have become longer" in stopping.observe(3, seen(16))[1][0]

    def test_a_checkpoint_of_an_older_version_is_watched_anew(self) -> None:
        watch = self.watch()
        old = {"start": {"length": 3.0}, "trail": [[1.0, 0.0, 0.0]], "best": [0.0, 0.0]}
        watch.load({**old, "beyond": {}, "told": {"length": "Step 1: long."}})
        assert watch.observe(2, seen(16, watched=[0.0] * 16))[1] == []
        assert watch.told == {"length": "Step 1: long."}

    @pytest.mark.parametrize(
        ("config", "advice"),
        [
            (PpoConfig(), "Raise kl_coef (now 0.05), or lower learning_rate (now 3e-06)."),
            (
                PpoConfig(kl_target=6),
                "Lower kl_target (now 6), or lower learning_rate (now 3e-06).",
            ),
            (DpoConfig(), "Raise beta (now 0.1), or lower learning_rate (now 1e-06)."),
            (DpoConfig(loss_type="simpo"), "Lower learning_rate (now 1e-06)."),
        ],
    )
    def test_each_sentence_says_what_to_change(
        self, config: PpoConfig | DpoConfig, advice: str
    ) -> None:
        watch = Watch(config)
        told = [watch.observe(step, seen(n))[1] for step, n in enumerate((6, 16, 16))]
        assert told[2][0].endswith(f"rather than for what is said. {advice}")
