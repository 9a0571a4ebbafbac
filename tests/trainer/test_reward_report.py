"""The evaluation of a finished reward model, from scores to result.json."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig

from app.trainer.batches import Example
from app.trainer.dataset import Row
from app.trainer.reward import report
from app.trainer.reward.evaluating import Judged, claims
from app.trainer.reward.ratings import Scale
from tests.trainer import manners
from tests.trainer.manners import ask, say


def judged(ranks: tuple, *members: list[float], texts: tuple = (), **row) -> Judged:
    """A task as a model with these members scores it."""
    replies = tuple(tuple(say(t)) for t in texts or ["x"] * len(ranks))
    given = Row("made line 1", tuple(ask("Why?")), replies, ranks, **row)
    example = Example(given, (1,), tuple((2, 3 + i) for i in range(len(ranks))))
    return Judged(example, torch.tensor(members).T[..., None])


def evaluation(*tasks: Judged, **more) -> dict:
    return report.evaluation(list(tasks), **{"scale": Scale(), "criteria": (), **more})


class TestReport:
    def test_accuracy_in_parts(self) -> None:
        found = evaluation(
            judged((1, 2), [1.0, 0.0], agreement=0.55, votes=9, strength=0.2),
            judged((1, 2), [0.0, 1.0], agreement=0.55, votes=9, strength=1.0),
            judged((1, 2), [1.0, 0.0], agreement=1.0, votes=3, strength=2.6),
            judged((1, 2), [1.0, 0.0], agreement=1.0, votes=1),  # one vote agrees with itself
        )
        assert found["accuracy"]["value"] == 0.75
        parts = {row["label"]: (row["value"], row["n"]) for row in found["by_agreement"]}
        assert parts == {"up to 60 %": (0.5, 2), "over 90 %": (1.0, 1)}
        parts = {row["label"]: row["value"] for row in found["by_strength"]}
        assert parts == {"hardly": 1.0, "strength 1": 0.0, "strength 3": 1.0}

    def test_a_strength_between_two_levels_counts_as_the_upper_one(self) -> None:
        """Means of two votes are halves as often as not: levels are to be equally wide."""
        means = (0.5, 1.5, 2.5, 3.5)
        found = evaluation(*(judged((1, 2), [1.0, 0.0], strength=s) for s in means))
        parts = {row["label"]: row["n"] for row in found["by_strength"]}
        assert parts == {"strength 1": 1, "strength 2": 1, "strength 3": 1, "strength 4": 1}

    def test_rankings_by_the_places_between(self) -> None:
        found = evaluation(judged((1, 2, 2, 4), [3.0, 2.0, 1.0, 2.5]))
        parts = {row["label"]: (row["value"], row["n"]) for row in found["by_strength"]}
        assert parts == {"1 place apart": (0.5, 4), "2 places apart": (1.0, 1)}
        assert found["tasks"] == 1
        assert found["accuracy"]["n"] == 5  # the tie is no pair to be right about

    def test_the_better_length_rule_is_the_baseline(self) -> None:
        short = [judged((1, 2), [1.0, 0.0], texts=("a", "long"))] * 3
        found = evaluation(*short, judged((1, 2), [1.0, 0.0], texts=("long", "a")))
        assert found["baseline"]["rule"] == "shorter"
        assert found["baseline"]["value"] == 0.75
        assert found["baseline"]["gain"]["value"] == 0.25
        halves = {row["label"]: row["n"] for row in found["by_length"]}
        assert halves == {"the longer is better": 1, "the shorter is better": 3}

    def test_people_set_the_ceiling_and_no_judge_takes_more_votes(self) -> None:
        tasks = [
            judged((1, 2), [1.0, 0.0], p=0.75, votes=4),
            judged((1, 2), [0.0, 1.0], p=0.75, votes=4),
            judged((1, 2), [1.0, 0.0], p=1.0, votes=2),
        ]
        found = evaluation(*tasks)["people"]
        assert found["best"] == pytest.approx((0.75 + 0.75 + 1) / 3)
        assert found["model"]["value"] == pytest.approx((0.75 + 0.25 + 1) / 3)
        assert found["people"] == pytest.approx((0.5 + 0.5 + 1) / 3)
        assert evaluation(judged((1, 2), [1.0, 0.0], votes=1))["people"] is None

    def test_votes_that_were_ties_are_no_votes_against(self) -> None:
        """One prefers the first, one neither: they agree by one half, and not by nothing."""
        tied = judged((1, 2), [1.0, 0.0], p=0.75, agreement=0.5, votes=2)
        assert evaluation(tied)["people"]["people"] == pytest.approx(0.5)
        even = judged((1, 2), [1.0, 0.0], p=0.75, agreement=0.75, votes=4)  # 3 to 1
        assert evaluation(even)["people"]["people"] == pytest.approx(0.5)
        inferred = judged((1, 2), [1.0, 0.0], p=0.75, agreement=0.6, votes=4)  # no count of votes
        assert evaluation(inferred)["people"]["people"] == pytest.approx(0.5)

    def test_claims_are_held_against_votes_and_ties(self) -> None:
        pair = judged((1, 2), [1.0, 0.5], p=0.6, votes=5)
        ranking = judged((1, 1, 2), [1.0, 0.0, 0.0], agreement=0.8, votes=5)
        deltas, labels = claims([pair, ranking])
        assert deltas == [0.5, 1.0, 1.0, 0.0]
        assert labels == pytest.approx([0.6, 0.5, 0.8, 0.8])

    def test_members_disagree(self) -> None:
        sure = [judged((1, 2), [1.0, 0.0], [1.1, 0.0]) for _ in range(2)]
        torn = judged((1, 2), [0.0, 3.0], [1.0, 0.0])
        found = evaluation(*sure, torn)["ensemble"]
        assert found["alone"] == pytest.approx([2 / 3, 1.0])
        assert found["differ"]["value"] == pytest.approx(1 / 3)
        assert found["disagreement"] == pytest.approx((0.05 + 0.05 + 2) / 3)
        assert [row["value"] for row in found["thirds"]] == [1.0, 1.0, 0.0]

    def test_the_worst_come_first_one_of_a_task(self) -> None:
        tasks = [
            judged((1, 2), [0.0, 1.0], votes=3, p=2 / 3),
            judged((1, 2, 3), [0.0, 5.0, 4.0]),
            judged((1, 2), [1.0, 0.0]),
        ]
        first, second = evaluation(*tasks)["worst"]
        assert first["scores"] == [0.0, 5.0]
        assert second["scores"] == [0.0, 1.0]
        assert (second["votes"], second["share"]) == (3, 0.6667)
        assert second.keys() >= {"prompt", "responses", "where"}

    def test_ties_alone_are_no_evaluation(self) -> None:
        assert evaluation(judged((1, 1), [1.0, 0.0])) == {}


class TestRuns:
    def test_result_json_and_the_card_say_how_good_it_is(self, train, rankings: Path) -> None:
        run = train("reward", dataset=rankings, max_steps=2)
        assert run.code == 0, run.err
        found = run.result["evaluation"]
        last = run.metrics[-1]
        assert found["accuracy"]["value"] == pytest.approx(last["eval_accuracy"])
        assert found["accuracy"]["n"] == last["eval_pairs"] == 8 * 6
        assert found["calibration"]["ece"] == pytest.approx(
            last["eval_calibration_error"], abs=1e-5
        )
        assert found["length"]["pearson"] == pytest.approx(
            last["eval_length_correlation"], abs=1e-5
        )
        card = (run.folder / "model" / "README.md").read_text()
        for sentence in found["sentences"].values():
            assert sentence in card
            assert sentence in run.out
        wrong = run.read("worst.jsonl")
        assert wrong[: len(found["worst"])] == found["worst"]
        assert all(row["scores"][0] < row["scores"][1] for row in wrong)
        json.dumps(found, allow_nan=False)

    def test_a_run_resumed_at_its_end_is_evaluated_too(self, train) -> None:
        whole = train("reward", max_steps=2)
        (whole.folder / "model").rename(whole.folder / ".model")
        again = train("reward", "--resume", max_steps=2)
        assert again.code == 0, again.err
        assert again.result["evaluation"] == whole.result["evaluation"]

    @pytest.mark.parametrize("lora", [0, 4])
    def test_without_a_test_split_the_scale_is_that_of_training_rows(
        self, lora: int, train, tmp_path: Path, tokenizer
    ) -> None:
        from app.trainer import lm as models

        made = manners.rows("preference", manners.prompts()[:12])
        manners.write_split(tmp_path / "d", "preference", "train", made)
        run = train("reward", dataset=tmp_path / "d", max_steps=4, lora_r=lora)
        assert run.code == 0, run.err
        assert "evaluation" not in run.result
        folder = str(run.folder / "model")
        loaded = models.load_reward_model(folder, tokenizer, fresh=False)
        assert loaded.config.score_of == "train"
        assert loaded.config.score_std not in (0.0, 1.0)
        if not lora:
            assert AutoConfig.from_pretrained(folder).score_std == loaded.config.score_std

    def test_rows_that_say_nothing_are_left_out_counted_and_named(
        self, train, tmp_path: Path
    ) -> None:
        good = manners.rows("ranking", manners.prompts()[:4])
        bad = [
            {"prompt": ask("x"), "responses": [say("a")], "ranks": [1]},
            {"prompt": ask("x"), "responses": [say("a"), say("a")], "ranks": [1, 2]},
            {"prompt": ask("x"), "responses": [say(t) for t in "aab"], "ranks": [1, 2, 2]},
            {"prompt": ask("x"), "responses": [say("a"), say("b")], "ranks": [1, 1]},
        ]
        kept = {"prompt": ask("x"), "responses": [say(t) for t in "aab"], "ranks": [1, 1, 2]}
        manners.write_split(tmp_path / "d", "ranking", "train", [*good, *bad, kept])
        run = train("reward", dataset=tmp_path / "d", max_steps=1, ranking_ties="drop")
        assert run.code == 0, run.err
        assert run.result["data"]["train"]["dropped"] == {
            "it has only one response": 1,
            "its responses are all the same": 1,
            "the same response stands at two ranks": 1,
            "all its responses are tied": 1,
        }
        assert "Left out 1 of 9 rows: it has only one response" in run.out
        assert "(first: ranking/train.jsonl.gz line 5)" in run.out
