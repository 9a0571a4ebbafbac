"""Heads for criteria: which ratings count, how much, and what the score is made of."""

import gzip
import json
import math
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from app.run_config import ConfigError, RewardConfig, parse_config, score_weights
from app.trainer import lm as models
from app.trainer import losses
from app.trainer.__main__ import main
from app.trainer.batches import Example
from app.trainer.dataset import Row
from app.trainer.failures import BadInput
from app.trainer.reward.evaluating import Judged, rating_loss
from app.trainer.reward.objectives import Shares, losses_of
from app.trainer.reward.ratings import Ratings, Scale
from tests.trainer import manners
from tests.trainer.manners import ask, say


def rating(prompt: str, text: str, n: int = 1, **values: float | None) -> dict:
    reply = {"prompt": ask(prompt), "response": say(text)}
    return reply | {"ratings": values, "n_annotators": n}


def pair(prompt: str, better: str, worse: str) -> dict:
    return {"prompt": ask(prompt), "chosen": say(better), "rejected": say(worse)}


def write(folder: Path, ratings: list[dict], pairs: list[dict]) -> Path:
    for config, rows in (("ratings", ratings), ("preference", pairs)):
        manners.write_split(folder, config, "train", rows)
    return folder


@pytest.fixture(scope="session")
def rated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Polite from 1 to 5, short only of some, and a response that nobody compared."""
    folder = tmp_path_factory.mktemp("rated")
    manners.write_dataset(folder, ("preference",), train=24, test=8)
    for split in ("train", "test"):
        with gzip.open(folder / "preference" / f"{split}.jsonl.gz", "rt") as lines:
            made = [json.loads(line) for line in lines]
        rows = [
            rating(
                row["prompt"][0]["content"],
                text := row[side][0]["content"],
                n=2,
                polite=1.0 + 4 * manners.goodness(text)[0],
                short=5 - len(text) / 40 if number % 2 else None,
            )
            for number, row in enumerate(made)
            for side in ("chosen", "rejected")
        ]
        rows.append(rating("Tell me about tea.", "Of course, glad to help.", polite=5.0))
        manners.write_split(folder, "ratings", split, rows)
    return folder


class TestReading:
    def test_each_rated_response_is_used_once_wherever_it_stands(self, tmp_path: Path) -> None:
        """A and B are compared twice, D never: its rating makes a row of its own."""
        ratings = [
            rating("x", "A", 2, honest=4.0, kind=1.0), rating("x", "B", 1, honest=2.0),
            rating("x", "A", 1, honest=1.0), rating("x", "D", 1, honest=3.0, kind=None),
        ]  # fmt: skip
        pairs = [pair("x", "A", "B"), pair("x", "B", "C")]
        found = Ratings(write(tmp_path / "d", ratings, pairs), ["all"])
        assert found.criteria == ("honest", "kind")
        first, second = (found.to_row("here", row) for row in pairs)
        assert first.ratings == ((3.0, 1.0), (2.0, None))  # A: the mean over three people
        assert first.raters == (3.0, 1.0)
        assert second.ratings == ((None, None), (None, None))
        (alone,) = found.left("train")
        assert (alone.replies, alone.ranks, alone.ratings) == (
            (tuple(say("D")),),
            (),
            ((3.0, None),),
        )
        assert found.left("test") == []

    def test_ratings_count_in_standard_deviations_and_by_people(self) -> None:
        scale = Scale(means=(3.0, 0.0), stds=(2.0, 1.0), raters=2.0)
        row = Row("made", (), ((), ()), ratings=((5.0, None), (2.0, 1.0)), raters=(4.0, 1.0))
        wanted, weights = scale.targets(Example(row, (1,), ((2,), (3,))))
        assert wanted[1].tolist() == [-0.5, 1.0]
        assert wanted[0, 0] == 1.0
        assert math.isnan(wanted[0, 1])
        assert weights.tolist() == [2.0, 0.5]

    @pytest.mark.parametrize(
        ("wanted", "says"),
        [
            (["brave"], "objectives: the ratings have no brave; they have honest"),
            (["honest", "calm"], "have no calm"),
        ],
    )
    def test_a_criterion_that_is_not_there(self, tmp_path: Path, wanted: list, says: str) -> None:
        data = write(tmp_path / "d", [rating("x", "A", honest=1.0)], [pair("x", "A", "B")])
        with pytest.raises(BadInput, match=says):
            Ratings(data, wanted)

    @pytest.mark.parametrize(
        ("name", "says"),
        [
            ("preference", "has the name of the output 'preference'. Name the others .*: honest"),
            ("half \ud83d", r"line 1: the criterion 'half \\ud83d' holds half a character"),
        ],
    )
    def test_a_criterion_that_cannot_be_an_output(
        self, tmp_path: Path, name: str, says: str
    ) -> None:
        rated = rating("x", "A", honest=1.0, **{name: 2.0})
        data = write(tmp_path / "d", [rated], [pair("x", "A", "B")])
        with pytest.raises(BadInput, match=says):
            Ratings(data, ["all"])

    def test_data_without_ratings(self, train) -> None:
        run = train("reward", objectives="all")
        assert run.code == 2
        assert "objectives needs ratings" in run.err


class TestLoss:
    def test_squared_error_by_criterion_masks_what_nobody_rated(self) -> None:
        found = torch.tensor([[1.0, 7.0], [0.0, 2.0]])
        wanted = torch.tensor([[0.5, math.nan], [1.0, 1.0]])
        error = losses.rating_error(found, wanted, torch.tensor([2.0, 1.0]))
        assert error.tolist() == pytest.approx([2 * 0.25 + 1, 1.0])

    def test_a_batch_is_the_weighted_mean_of_each_criterion(self) -> None:
        """Two tasks, two members, a criterion known of one response alone."""
        scale, config = Scale((0.0, 0.0), (1.0, 1.0), 1.0), RewardConfig()
        rows = [
            Row("a", (), ((), ()), (1, 2), ratings=((1.0, None), (None, 2.0)), raters=(3.0, 1.0)),
            Row("b", (), ((),), ratings=((2.0, None),), raters=(1.0,)),
        ]
        batch = [Example(row, (1,), tuple((2,) for _ in row.replies)) for row in rows]
        torch.manual_seed(0)
        heads = [torch.randn(2, len(row.replies), 3, dtype=torch.float64) for row in rows]
        shares = Shares.of(batch, torch.ones(2, 2, dtype=torch.float64), scale, config)
        parts = [
            losses_of(e, h, i, shares, scale, config)
            for i, (e, h) in enumerate(zip(batch, heads, strict=True))
        ]
        for member in range(2):
            a, b = heads[0][member], heads[1][member]
            compared = -torch.nn.functional.logsigmoid(a[0, 0] - a[1, 0])
            one = (3 * (a[0, 1] - 1) ** 2 + (b[0, 1] - 2) ** 2) / 4
            two = (a[1, 2] - 2) ** 2
            assert sum(p[0][member] for p in parts).item() == pytest.approx(compared.item())
            found = sum(p[1][member] for p in parts).item()
            assert found == pytest.approx(((one + two) / 2).item())
            judged = [Judged(e, h[member][:, None]) for e, h in zip(batch, heads, strict=True)]
            assert rating_loss(judged, scale) == pytest.approx(found)  # of the test split as well

    def test_gradient(self) -> None:
        scale, config = Scale((0.0,), (1.0,), 1.0), RewardConfig()
        row = Row("a", (), ((), ()), (2, 1), ratings=((1.0,), (None,)), raters=(3.0, 1.0))
        example = Example(row, (1,), ((2,), (3,)))
        shares = Shares.of([example], torch.ones(1, 1, dtype=torch.float64), scale, config)

        def loss(heads: torch.Tensor) -> torch.Tensor:
            return sum(part.sum() for part in losses_of(example, heads, 0, shares, scale, config))

        heads = torch.randn(1, 2, 2, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(loss, heads)


class TestSettings:
    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"objectives": "a, a"}, "names each criterion once"),
            ({"objectives": "preference"}, "the preference is always there"),
            ({"score_weights": "honest=1"}, "'honest' is none of its outputs"),
            ({"score_weights": "preference=much"}, "must be a number, not 'much'"),
            ({"score_weights": "preference=0"}, "would make every score 0"),
        ],
    )
    def test_what_cannot_be(self, settings: dict, says: str) -> None:
        with pytest.raises(ConfigError, match=says):
            parse_config("reward", settings)

    def test_weights(self) -> None:
        assert score_weights(RewardConfig()) == {"preference": 1.0}
        config = parse_config("reward", {"objectives": "a, b", "score_weights": "a = 0.5, b=-1"})
        assert score_weights(config) == {"a": 0.5, "b": -1.0}


class TestRuns:
    @pytest.mark.parametrize("lora", [0, 4])
    def test_heads_have_names_and_come_back(
        self, lora: int, train, rated: Path, tmp_path: Path, capfd
    ) -> None:
        given = {"objectives": "all", "score_weights": "preference=1, polite=0.5"}
        run = train("reward", dataset=rated, max_steps=12, learning_rate=1e-2, lora_r=lora, **given)
        assert run.code == 0, run.err
        assert run.metrics[-1]["ratings_loss"] < run.metrics[0]["ratings_loss"]
        assert run.metrics[-1]["eval_ratings_loss"] > 0
        criteria = run.result["evaluation"]["criteria"]
        assert [row["name"] for row in criteria] == ["polite", "short"]
        assert criteria[0]["rmse"] < criteria[0]["mean_rmse"]
        folder = run.folder / "model"
        if not lora:
            plain = AutoModelForSequenceClassification.from_pretrained(folder)
            assert plain.config.id2label == {0: "preference", 1: "polite", 2: "short"}
        tokenizer = models.load_tokenizer(str(folder))
        loaded = models.load_reward_model(str(folder), tokenizer, fresh=False)
        assert models.heads_of(loaded.config) == ("preference", "polite", "short")
        heads = torch.tensor([[2.0, -4.0, 9.0]])
        assert models.score_of(heads, loaded.config).tolist() == [0.0]
        assert loaded.config.score_std == pytest.approx(run.metrics[-1]["eval_score_std"])

        shown = run.read("samples.jsonl")[-1]
        line = {"prompt": shown["prompt"]}
        line["responses"] = [r["response"] for r in shown["responses"]]
        (tmp_path / "in.jsonl").write_text(json.dumps(line) + "\n")
        capfd.readouterr()
        assert main(["score", "--model", str(folder), str(tmp_path / "in.jsonl")]) == 0
        said = json.loads(capfd.readouterr().out)
        for score, ratings, seen in zip(
            said["scores"], said["predicted_ratings"], shown["responses"], strict=True
        ):
            assert ratings == pytest.approx(seen["ratings"], abs=1e-3)
            mean, std = loaded.config.rating_means[0], loaded.config.rating_stds[0]
            polite = (ratings["polite"] - mean) / std
            assert score == pytest.approx(seen["score"] + 0.5 * polite, abs=2e-3)

    def test_a_weight_of_what_is_no_criterion_of_the_data(self, train, rated: Path) -> None:
        """With objectives=all only the data says what there is; a slip would make all scores 0."""
        run = train("reward", dataset=rated, objectives="all", score_weights="polit=1")
        assert run.code == 2
        assert run.err.startswith("Settings: score_weights: 'polit' is none of its outputs")
        assert "preference, polite, short." in run.err

    def test_a_model_with_heads_goes_on_with_those_that_are_wanted(
        self, train, rated: Path
    ) -> None:
        first = train("reward", dataset=rated, max_steps=1, objectives="polite, short")
        start = str(first.folder / "model")
        tokenizer = models.load_tokenizer(start)
        before = models.load_reward_model(start, tokenizer).score.weight
        wanted = ("preference", "short", "calm")
        after = models.load_reward_model(start, tokenizer, heads=wanted).score.weight
        assert torch.equal(after[:2], before[[0, 2]])
        assert not torch.equal(after[2], before[1])
        plain = train("reward", dataset=rated, max_steps=1, model=start, output="plain")
        assert plain.code == 0, plain.err
        assert AutoConfig.from_pretrained(plain.folder / "model").num_labels == 1

    def test_ppo_reads_the_weighted_score(self, train, rated: Path, data: Path) -> None:
        judge = train("reward", dataset=rated, max_steps=1, objectives="polite", output="judge")
        run = train(
            "ppo", dataset=data, max_steps=1, response_length=4, per_device_train_batch_size=2,
            reward_model_path=judge.folder / "model", num_ppo_epochs=1,
        )  # fmt: skip
        assert run.code == 0, run.err

    def test_labels_of_something_else_are_no_objectives(self, train, judge: str, tmp_path) -> None:
        import shutil

        other = tmp_path / "other"
        shutil.copytree(judge, other)
        model = AutoModelForSequenceClassification.from_pretrained(
            other, num_labels=3, ignore_mismatched_sizes=True
        )
        model.save_pretrained(other)
        run = train("reward", model=str(other), max_steps=1)
        assert run.code == 2
        assert "has 3 labels; a reward model has one" in run.err
