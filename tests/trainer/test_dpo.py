"""DPO: the start, the losses by name, the reference kept by content, weights, KTO."""

import math
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load

from app.run_config import DpoConfig
from app.trainer import dpo, kto
from app.trainer import lm as models
from app.trainer.batches import Example, Forward, lay_out
from app.trainer.dataset import Row
from app.trainer.reference import content_key, sequence_logps, store_logps, stored_logps
from tests.trainer import manners
from tests.trainer.test_families import made

FORWARD = Forward(packed=True, max_tokens=256, bf16=False)


def pair(chosen: int, rejected: int, *, weight: float = 1.0, ranks=(1, 2)) -> Example:
    row = Row("made", (), ((), ()), ranks, weight=weight)
    return Example(row, (1, 2), (tuple(range(3, 3 + chosen)), tuple(range(3, 3 + rejected))))


class TestBatchLoss:
    def test_weights_and_names(self) -> None:
        logps = torch.tensor([-4.0, -6.0, -3.0, -2.0])
        frozen = torch.tensor([-5.0, -5.0, -3.0, -3.0])
        batch = [pair(2, 3), pair(1, 1, weight=0.5)]
        loss, figures = dpo.batch_loss(batch, logps, frozen, DpoConfig(beta=0.5))
        each = [math.log1p(math.exp(-0.5 * 2.0)), math.log1p(math.exp(0.5 * 1.0))]
        assert loss.item() == pytest.approx(each[0] + 0.5 * each[1])
        means = dpo.named({k: float(v) for k, v in figures.items()})
        assert means["rewards/chosen"] == pytest.approx(0.5 * (1 + 0) / 2)
        assert means["rewards/rejected"] == pytest.approx(0.5 * (-1 + 1) / 2)
        assert means["rewards/margins"] == pytest.approx(0.25)
        assert means["rewards/accuracies"] == 0.5
        assert means["logps/chosen"] == pytest.approx(-3.5)
        unweighted, _ = dpo.batch_loss(batch, logps, frozen, DpoConfig(beta=0.5, use_weights=False))
        assert unweighted.item() == pytest.approx(sum(each))

    def test_order_of_the_file_does_not_matter_ranks_do(self) -> None:
        logps, frozen = torch.tensor([-4.0, -6.0]), torch.tensor([-5.0, -5.0])
        turned = pair(2, 3, ranks=(2, 1))
        loss, _ = dpo.batch_loss([turned], logps, frozen, DpoConfig(beta=0.5))
        assert loss.item() == pytest.approx(math.log1p(math.exp(0.5 * 2.0)))

    def test_ipo_divides_by_the_tokens_of_each_response(self) -> None:
        logps, frozen = torch.tensor([-4.0, -6.0]), torch.tensor([-5.0, -5.0])
        config = DpoConfig(beta=0.5, loss_type="ipo")
        loss, _ = dpo.batch_loss([pair(2, 4)], logps, frozen, config)
        assert loss.item() == pytest.approx((1 / 2 + 1 / 4 - 1) ** 2)

    def test_a_split_vote_counts_both_ways(self) -> None:
        logps, frozen = torch.tensor([-4.0, -6.0]), torch.tensor([-5.0, -5.0])
        row = Row("made", (), ((), ()), (1, 2), p=0.75)
        split = Example(row, (1, 2), ((3, 4), (3, 4)))
        loss, _ = dpo.batch_loss([split], logps, frozen, DpoConfig(beta=0.5, soft_labels=True))
        won, lost = math.log1p(math.exp(-1.0)), math.log1p(math.exp(1.0))
        assert loss.item() == pytest.approx(0.75 * won + 0.25 * lost)
        hard, _ = dpo.batch_loss([split], logps, frozen, DpoConfig(beta=0.5))
        assert hard.item() == pytest.approx(won)
        smooth = DpoConfig(beta=0.5, label_smoothing=0.25)  # what cDPO assumes of every pair
        assert dpo.batch_loss([split], logps, frozen, smooth)[0].item() == pytest.approx(
            loss.item()
        )

    def test_losses_without_a_reference_show_log_probabilities_per_token_as_rewards(self) -> None:
        logps, none = torch.tensor([-4.0, -6.0]), torch.zeros(2)
        config = DpoConfig(beta=2.0, loss_type="simpo")
        _, figures = dpo.batch_loss([pair(2, 4)], logps, none, config)
        assert (float(figures["chosen"]), float(figures["rejected"])) == (-4.0, -3.0)


class TestBalance:
    """KTO's authors: the weighted sides should stand as 1 : 1 to 4 : 3."""

    @pytest.mark.parametrize(
        ("good", "bad", "settings", "advice"),
        [
            (10, 10, {}, ""),
            (12, 10, {}, ""),
            (90, 10, {}, "undesirable_weight=9"),
            (10, 90, {}, "desirable_weight=9"),
            (10, 10, {"desirable_weight": 2.0}, "undesirable_weight=2"),
            (90, 10, {"undesirable_weight": 9.0}, ""),
        ],
    )
    def test_what_to_set(self, good: int, bad: int, settings: dict, advice: str) -> None:
        sentence = kto.imbalance([True] * good + [False] * bad, DpoConfig(**settings))
        if not advice:
            assert sentence == ""
            return
        assert f"Set {advice}." in sentence
        name, value = advice.split("=")
        mended = DpoConfig(**(settings | {name: float(value)}))
        assert kto.imbalance([True] * good + [False] * bad, mended) == ""

    def test_one_side_alone(self) -> None:
        assert "All 3 responses are labelled bad" in kto.imbalance([False] * 3, DpoConfig())


class TestReference:
    def test_sequence_logps_are_those_of_the_plain_model(self, micro: str) -> None:
        lm = models.load_lm(micro)
        batch = [pair(3, 5), pair(2, 2), pair(6, 1)]
        found = sequence_logps(lm, batch, FORWARD)
        for example, sums in zip(batch, found, strict=True):
            for response, value in zip(example.responses, sums, strict=True):
                ids = torch.tensor([example.prompt + response])
                with torch.no_grad():
                    table = lm(input_ids=ids).logits[0].log_softmax(-1)
                expected = sum(table[t - 1, ids[0, t]] for t in range(2, ids.shape[1]))
                assert value.item() == pytest.approx(expected.item(), abs=1e-4)

    def test_its_key_is_the_content(self, micro: str) -> None:
        lm = models.load_lm(micro)
        batch = [pair(3, 5)]
        key = content_key(lm, batch, FORWARD)
        assert content_key(lm, batch, FORWARD) == key
        assert content_key(lm, [pair(3, 4)], FORWARD) != key
        with torch.no_grad():
            lm.model.norm.weight[0] += 0.1
        assert content_key(lm, batch, FORWARD) != key

    def test_a_damaged_file_is_noticed(self, tmp_path: Path) -> None:
        file, values, notes = tmp_path / "r" / "train.safetensors", torch.tensor([1.0, 2.0]), []
        store_logps(file, "key", values)
        assert torch.equal(stored_logps(file, "key", 2, notes.append), values)
        whole = file.read_bytes()
        flipped = whole[:-1] + bytes([whole[-1] ^ 1])
        for number, damaged in enumerate((whole[:20], flipped, b""), 1):
            file.write_bytes(damaged)
            assert stored_logps(file, "key", 2, notes.append) is None
            assert len(notes) == number
        assert f"{file} are damaged" in notes[0]
        file.write_bytes(whole)
        assert stored_logps(file, "other", 2, notes.append) is None
        assert len(notes) == 3  # of other data: no damage

    def test_a_run_reads_it_once_and_anew_where_it_is_damaged(self, train) -> None:
        settings = {"max_steps": 2, "save_steps": 1, "num_samples": 0, "monitor_action": "off"}
        first = train("dpo", **settings)
        file = first.folder / "reference" / "train.safetensors"
        stored = file.read_bytes()
        for damage in (b"", stored):
            file.write_bytes(damage)
            shutil.rmtree(first.folder / "checkpoints" / "step-2")
            again = train("dpo", "--resume", **settings)
            assert again.code == 0, again.err
            assert again.figures() == first.figures()
            assert ("are damaged" in again.out) is (damage == b"")
            assert torch.equal(load(file.read_bytes())["logps"], load(stored)["logps"])


class TestRuns:
    @pytest.mark.parametrize(
        ("settings", "start"),
        [
            ({}, math.log(2)),
            ({"label_smoothing": 0.1}, math.log(2)),
            ({"loss_type": "robust", "label_smoothing": 0.1}, math.log(2)),
            ({"loss_type": "ipo", "beta": 0.5}, 1.0),
            ({"loss_type": "ipo_sum", "beta": 0.5}, 1.0),
            ({"loss_type": "hinge"}, 1.0),
            ({"loss_type": "apo_zero"}, 1.0),
            ({"loss_type": "sigmoid_norm", "soft_labels": True}, math.log(2)),
            ({"loss_type": "kto"}, 0.5),
        ],
    )
    def test_first_loss_is_that_of_policy_equal_to_reference(
        self, train, settings: dict, start: float
    ) -> None:
        run = train("dpo", max_steps=2, num_samples=0, **settings)
        assert run.code == 0, run.err
        first, second = run.metrics
        assert first["loss"] == pytest.approx(start, abs=1e-5)
        assert first.get("rewards/chosen", 0.0) == pytest.approx(0.0, abs=1e-5)
        assert second["loss"] != first["loss"]

    @pytest.mark.parametrize("loss_type", ["simpo", "orpo"])
    def test_losses_without_a_reference_never_read_one(self, loss_type: str, train) -> None:
        run = train("dpo", max_steps=2, num_samples=0, loss_type=loss_type)
        assert run.code == 0, run.err
        assert run.metrics[1]["loss"] < run.metrics[0]["loss"] + 0.5
        assert run.metrics[0]["rewards/chosen"] < 0
        assert not (run.folder / "reference").exists()

    def test_unequal_labels_are_told_with_what_to_set(self, train, tmp_path: Path) -> None:
        made = manners.rows("unpaired", manners.prompts()[:8])
        few = [row for i, row in enumerate(made) if row["label"] or i == 1]
        manners.write_split(tmp_path / "d", "unpaired", "train", few)
        run = train("dpo", dataset=tmp_path / "d", loss_type="kto", max_steps=1)
        assert run.code == 0, run.err
        assert "Set undesirable_weight=8." in run.out

    def test_lora_reference_is_the_model_without_its_adapter(self, train) -> None:
        run = train("dpo", max_steps=2, lora_r=4, num_samples=0)
        assert run.metrics[0]["loss"] == pytest.approx(math.log(2), abs=1e-5)

    def test_rankings_train_every_pair(self, train, rankings: Path) -> None:
        run = train("dpo", dataset=rankings, dataset_config="ranking", max_steps=2)
        assert run.code == 0, run.err

    def test_kto_learns_which_responses_are_good(self, train) -> None:
        given = {"loss_type": "kto", "max_steps": 30, "num_samples": 0, "learning_rate": 3e-3}
        run = train("dpo", per_device_train_batch_size=16, **given)
        assert run.code == 0, run.err
        assert run.metrics[-1]["eval_rewards/accuracies"] > 0.7
        assert run.metrics[-1]["kl"] >= 0

    def test_kto_compares_good_and_bad_whatever_shares_a_forward_pass(self, train) -> None:
        given = {"loss_type": "kto", "max_steps": 4, "num_samples": 0, "monitor_action": "off"}
        whole, apart = (
            train("dpo", output=f"{most}", max_tokens_per_forward=most, **given)
            for most in (10_000, 1)
        )
        for one, other in zip(whole.metrics[1:], apart.metrics[1:], strict=True):
            assert other["rewards/accuracies"] == one["rewards/accuracies"]

    def test_kto_matches_only_what_the_model_can_read(
        self, train, tokenizer, tmp_path: Path
    ) -> None:
        """Each row has 25 tokens, the longer prompt with the longer response 32."""
        model = made("gpt2", vocab_size=400, n_positions=28, max_position_embeddings=28)
        model.save_pretrained(tmp_path / "model")
        tokenizer.save_pretrained(tmp_path / "model")
        long, short = "Begin with plain tea. Old tea can be fine.", "Of course."
        rows = [
            {"prompt": manners.ask(asked), "completion": manners.say(said), "label": good}
            for asked, said, good in ((long, short, True), (short, long, False)) * 4
        ]
        manners.write_split(tmp_path / "d", "unpaired", "train", rows)
        run = train(
            "dpo", dataset=tmp_path / "d", model=str(tmp_path / "model"), loss_type="kto",
            max_steps=1, num_samples=0, monitor_action="off",
        )  # fmt: skip
        assert run.code == 0, run.err
        assert not run.result["data"]["train"]["dropped"]

    def test_kto_needs_unpaired_rows(self, train, rankings: Path) -> None:
        run = train("dpo", dataset=rankings, loss_type="kto")
        assert run.code == 2
        assert "no unpaired folder" in run.err


def test_mismatched_pairs_take_the_response_to_another_prompt() -> None:
    def single(prompt: int, response: int) -> Example:
        return Example(Row("made", ()), (prompt,), ((response,) * response,))

    examples = [single(1, 3), single(1, 4), single(2, 9), single(3, 2)]
    found = kto.mismatched(examples, max_length=8)
    assert [e.prompt for e in found] == [(1,), (1,), (2,), (3,)]
    assert [len(e.responses[0]) for e in found] == [2, 2, 2, 3]  # the 9 never fits into 7
    alone = kto.mismatched([single(1, 3), single(1, 9)], max_length=4)
    assert [len(e.responses[0]) for e in alone] == [3, 3]  # no other prompt: cut to fit


def test_layout_used_here_counts_response_tokens_only() -> None:
    layout = lay_out([pair(3, 5)], packed=True)
    assert layout.targets.tolist() == [3, 4, 5, 3, 4, 5, 6, 7]


def test_manners_prefer_what_they_say() -> None:
    """The world the other tests learn from keeps its own rule."""
    for row in manners.rows("preference", manners.prompts()):
        better, worse = (row[side][0]["content"] for side in ("chosen", "rejected"))
        assert manners.goodness(better) > manners.goodness(worse)
