"""Reward models: what a pair, a vote share, a margin, a weight and a ranking count for."""

import math
from pathlib import Path

import pytest
import torch

from app.run_config import RewardConfig
from app.trainer import reward
from app.trainer.batches import Example
from app.trainer.dataset import Row
from tests.trainer import manners
from tests.trainer.manners import ask, say


def task(
    *ranks: int, p: float = 1.0, margin: float = 0.0, weight: float = 1.0, lengths: str = ""
) -> Example:
    texts = ["x" * (int(lengths[i]) if lengths else 1) for i in range(len(ranks))]
    row = Row("made", (), tuple(tuple(say(t)) for t in texts), ranks, p, margin, weight)
    return Example(row, (1,), tuple((2,) for _ in ranks))


def loss(example: Example, scores: list[float], **settings) -> float:
    return reward.task_loss(example, torch.tensor(scores), RewardConfig(**settings)).item()


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x))


class TestTaskLoss:
    def test_pair(self) -> None:
        assert loss(task(1, 2), [1.0, 0.2]) == pytest.approx(-log_sigmoid(0.8))
        assert loss(task(2, 1), [1.0, 0.2]) == pytest.approx(-log_sigmoid(-0.8))

    def test_margin_share_of_votes_and_weight_count_unless_switched_off(self) -> None:
        row = task(1, 2, p=0.75, margin=0.5, weight=3.0)
        soft = -(0.75 * log_sigmoid(0.3) + 0.25 * log_sigmoid(-0.3))
        assert loss(row, [1.0, 0.2]) == pytest.approx(3 * soft, rel=1e-5)
        off = {"soft_labels": False, "use_margin": False, "use_weights": False}
        assert loss(row, [1.0, 0.2], **off) == pytest.approx(-log_sigmoid(0.8))

    def test_ranking_is_the_mean_over_its_pairs(self) -> None:
        scores = [0.1, 0.7, -0.4]
        pairs = [log_sigmoid(0.6), log_sigmoid(1.1), log_sigmoid(0.5)]
        assert loss(task(2, 1, 3), scores) == pytest.approx(-sum(pairs) / 3)

    def test_ties_pull_scores_together_or_are_left_out(self) -> None:
        scores = [0.7, 0.1, -0.4]
        tie = 0.5 * log_sigmoid(0.6) + 0.5 * log_sigmoid(-0.6)
        strict = [log_sigmoid(1.1), log_sigmoid(0.5)]
        given = task(1, 1, 2)
        assert loss(given, scores) == pytest.approx(-(tie + sum(strict)) / 3)
        assert loss(given, scores, ranking_ties="drop") == pytest.approx(-sum(strict) / 2)
        assert loss(task(1, 1), [1.0, 2.0], ranking_ties="drop") == 0.0

    def test_a_ranking_of_two_is_a_pair(self) -> None:
        for kind in ("pairwise", "plackett_luce"):
            assert loss(task(2, 1), [0.3, 0.9], ranking_loss=kind) == pytest.approx(
                -log_sigmoid(0.6)
            )

    def test_plackett_luce(self) -> None:
        scores = [0.1, 0.7, -0.4]
        e = [math.exp(s) for s in scores]
        chance = e[1] / sum(e) * e[0] / (e[0] + e[2])
        found = loss(task(2, 1, 3), scores, ranking_loss="plackett_luce")
        assert found == pytest.approx(-math.log(chance), rel=1e-5)

    def test_centering_squares_the_sum_of_the_scores(self) -> None:
        found = loss(task(1, 2), [1.0, 0.2], center_rewards_coefficient=0.01)
        assert found == pytest.approx(-log_sigmoid(0.8) + 0.01 * 1.2**2)


class TestFigures:
    def test_equal_scores_are_half_right_and_ties_of_people_are_not_counted(self) -> None:
        sums = dict.fromkeys(("right", "margin", "pairs"), 0.0)
        reward.add_figures(sums, task(1, 2), torch.tensor([1.0, 1.0]))
        reward.add_figures(sums, task(1, 1, 2), torch.tensor([1.0, -1.0, 0.0]))
        reward.add_figures(sums, task(1, 1), torch.tensor([5.0, 0.0]))
        figures = reward.pair_figures(sums)
        assert figures["accuracy"] == pytest.approx((0.5 + 1 + 0) / 3)
        assert figures["margin"] == pytest.approx((0 + 1 - 1) / 3)
        assert reward.pair_figures(dict.fromkeys(sums, 0.0)) == {}

    def test_longer_wins(self) -> None:
        assert reward.longer_wins(task(1, 2, lengths="52")) == 1
        assert reward.longer_wins(task(1, 2, lengths="22")) == 0.5
        assert reward.longer_wins(task(1, 2, 3, lengths="214")) == 1


class TestRuns:
    def test_rankings_are_read_where_there_are_any_and_evaluated(
        self, train, rankings: Path
    ) -> None:
        run = train("reward", dataset=rankings, max_steps=2)
        assert run.code == 0, run.err
        assert run.result["data"]["config"] == "ranking"
        last = run.metrics[-1]
        assert last["eval_pairs"] == 8 * 6
        assert 0 <= last["eval_accuracy"] <= 1
        assert {"eval_loss", "eval_longer_wins", "min_reward", "max_reward"} <= last.keys()
        shown = run.read("samples.jsonl")[0]
        assert [r["rank"] for r in shown["responses"]] != []
        assert shown["score"] in [r["score"] for r in shown["responses"]]

    @pytest.mark.parametrize("setting", ["ranking_loss=plackett_luce", "ranking_ties=drop"])
    def test_rankings_with_ties_train(self, train, tmp_path: Path, setting: str) -> None:
        made = manners.rows("ranking", manners.prompts()[:12])
        for row in made[::2]:
            row["ranks"] = [1, 1, 3, 3]
        made[1]["ranks"] = [1, 1, 1, 1]
        manners.write_split(tmp_path / "d", "ranking", "train", made)
        run = train("reward", "--set", setting, dataset=tmp_path / "d", max_steps=2)
        assert run.code == 0, run.err
        assert "no test rows" in run.out

    def test_rankings_equal_their_pairs_when_each_pair_has_its_share(
        self, train, tmp_path: Path
    ) -> None:
        """A task of K responses = its pairs at weight 1/pairs; each response is scored once."""
        made = manners.rows("ranking", manners.prompts()[:8])
        pairs = []
        for row in made:
            ordered = [x for _, x in sorted(zip(row["ranks"], row["responses"], strict=True),
                                            key=lambda pair: pair[0])]  # fmt: skip
            pairs += [
                {"prompt": row["prompt"], "chosen": ordered[i], "rejected": ordered[j],
                 "weight": 1 / 6}
                for i in range(4) for j in range(i + 1, 4)
            ]  # fmt: skip
        manners.write_split(tmp_path / "r", "ranking", "train", made)
        manners.write_split(tmp_path / "p", "preference", "train", pairs)
        given = {"max_steps": 2, "num_samples": 0}
        whole = train("reward", dataset=tmp_path / "r", output="r", **given)
        apart = train(
            "reward", dataset=tmp_path / "p", output="p", per_device_train_batch_size=48, **given
        )
        for a, b in zip(whole.metrics, apart.metrics, strict=True):
            for name in ("loss", "accuracy", "margin", "grad_norm"):
                assert a[name] == pytest.approx(b[name], rel=1e-3), name

    def test_transcripts_train_too(self, train, tmp_path: Path) -> None:
        manners.write_dataset(tmp_path / "d", ("hh-rlhf",), train=10, test=4)
        run = train("reward", dataset=tmp_path / "d", max_steps=1)
        assert run.code == 0, run.err
        assert run.result["data"]["config"] == "hh-rlhf"

    def test_score_scale_is_stored_with_the_model(self, train) -> None:
        from transformers import AutoConfig

        run = train("reward", max_steps=3)
        config = AutoConfig.from_pretrained(run.folder / "model")
        assert config.score_mean == pytest.approx(run.metrics[-1]["eval_score_mean"])
        assert config.score_std == pytest.approx(run.metrics[-1]["eval_score_std"])

    def test_a_model_on_its_way_has_not_the_scale_of_the_one_it_began_as(
        self, train, judge: str
    ) -> None:
        from transformers import AutoConfig

        run = train("reward", model=judge, max_steps=1)
        places = {"start": Path(judge), "way": run.folder / "checkpoints" / "step-1" / "model"}
        places["end"] = run.folder / "model"
        found = {name: AutoConfig.from_pretrained(place) for name, place in places.items()}
        assert not hasattr(found["way"], "score_std")
        assert found["start"].score_std != found["end"].score_std

    def test_a_long_prompt_with_a_system_message_is_fine(self, train, tmp_path: Path) -> None:
        system = [{"role": "system", "content": "Be kind."}]
        row = {"prompt": system + ask("x"), "chosen": say("a"), "rejected": say("b")}
        manners.write_split(tmp_path / "d", "preference", "train", [row] * 3)
        assert train("reward", dataset=tmp_path / "d", max_steps=1).code == 0
