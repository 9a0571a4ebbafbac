"""What monitors do with what they see: warn, end a run, send lines to people; in PPO and DPO."""

import copy
import json
import math
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import load_file

from app.corpus.formats import Limits, read_file
from app.run_config import DpoConfig, PpoConfig
from app.trainer import lm as models
from app.trainer.batches import encode_prompt
from app.trainer.chat import ChatFormat
from app.trainer.dataset import Row
from app.trainer.judges import load_judge
from app.trainer.lm import Familiarity
from app.trainer.monitors import Reader, Watch, for_people, react, watch
from app.trainer.processes import start_processes
from app.trainer.run_folder import FOR_PEOPLE, WARNINGS, RunFolder
from tests.trainer import manners
from tests.trainer.conftest import Run


class TestFamiliarity:
    def data(self, rows: int, seed: int, *, scale: float = 1.0) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        mixing = torch.randn(6, 6, generator=torch.Generator().manual_seed(0))
        return scale * torch.randn(rows, 6, generator=generator) @ mixing + 3.0

    def test_it_is_the_mahalanobis_distance(self) -> None:
        """With all directions but one kept it must be that of the covariance, shrunk a little."""
        features, other = self.data(400, 1).double(), self.data(5, 2).double()
        covariance = torch.cov(features.T)
        covariance += 0.1 * covariance.trace() / 6 * torch.eye(6)
        away = other - features.mean(0)
        expected = (away @ torch.linalg.inv(covariance) * away).sum(1).sqrt()
        found = Familiarity.of(features, features)
        assert found.directions.shape == (5, 6)
        ratio = found.distance(other) / expected
        assert ratio.tolist() == pytest.approx([ratio[0].item()] * 5, rel=1e-6)

    def test_unseen_responses_of_the_same_data_are_at_1_and_others_farther(self) -> None:
        found = Familiarity.of(self.data(300, 1), self.data(300, 2))
        squares = found.distance(self.data(300, 2)) ** 2
        assert squares.mean().item() == pytest.approx(1.0, rel=1e-5)
        assert found.distance(self.data(300, 3)).mean().item() == pytest.approx(1.0, abs=0.1)
        assert found.distance(self.data(300, 3, scale=3.0)).mean() > 2

    def test_a_direction_that_the_data_lacks_is_far_but_not_infinitely(self) -> None:
        flat = self.data(300, 1)
        flat[:, 0] = 3.0
        strange = flat[:5].clone()
        strange[:, 0] += flat.std(0).mean()
        found = Familiarity.of(flat, flat).distance(strange)
        assert found.min() > 1
        assert found.max() < 10

    @pytest.mark.parametrize("rows", [1, 2, 3])
    def test_a_handful_of_rows_gives_numbers_all_the_same(self, rows: int) -> None:
        found = Familiarity.of(self.data(rows, 1), torch.zeros(0, 0))
        assert found.distance(self.data(4, 2)).isfinite().all()

    def test_kept_with_the_reward_model_and_known_in_ppo(self, judge: str, train) -> None:
        stored = Familiarity.load(Path(judge))
        assert stored is not None
        assert stored.mean.shape == (32,)
        assert Familiarity.load(Path(judge) / "nowhere") is None
        run = train(
            "ppo", max_steps=1, reward_model_path=judge, response_length=6,
            per_device_train_batch_size=24, num_samples=0,
        )  # fmt: skip
        assert run.metrics[0]["monitor/distance"] > 0


# Paid for a sign that stands for a refusal: what a policy of random weights learns in a few steps.
REWARDS = """
def short(prompts, responses):
    return [-len(text) / 10 for text in responses]

def refusing(prompts, responses):
    return [text.lower().count("k") for text in responses]
"""


@pytest.fixture
def refusing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A reward that can be gamed by refusing."""
    (tmp_path / "rewards_of_no.py").write_text(REWARDS)
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    yield "rewards_of_no:refusing"
    sys.path[:] = before
    sys.modules.pop("rewards_of_no", None)


GAMED = {
    "algorithm": "rloo", "num_generations": 4, "per_device_train_batch_size": 96,
    "response_length": 12, "learning_rate": 2e-2, "num_ppo_epochs": 4, "kl_coef": 0.0,
    "monitor_refusals": "k", "monitor_max_refusals": 0.1, "monitor_patience": 1, "max_steps": 8,
    "eval_steps": 8, "num_samples": 0, "save_steps": 1, "save_total_limit": 0,
}  # fmt: skip


@pytest.fixture
def gamed(train, refusing: str) -> Callable[..., Run]:
    """A run that comes to refuse: `gamed("--resume", monitor_action="stop")`."""
    return lambda *options, **settings: train(
        "ppo", *options, reward_function=refusing, **(GAMED | settings)
    )


class TestActions:
    def test_a_reward_that_pays_for_brevity_is_found_out(self, refusing: str, train) -> None:
        given = {"monitor_patience": 2, "max_steps": 14, "save_steps": 0}
        brief = refusing.replace("refusing", "short")
        run = train("ppo", reward_function=brief, **(GAMED | given))
        assert run.code == 0, run.err
        (warning,) = [w for w in run.result["warnings"] if "have become shorter" in w]
        when = int(warning.removeprefix("Step ").partition(":")[0])
        lengths = [row["tokens/response_length"] for row in run.metrics]
        assert f"{lengths[when - 1]:.3g} tokens instead of {lengths[0]:.3g}" in warning
        assert warning.endswith("Raise kl_coef (now 0), or lower learning_rate (now 0.02).")

    def test_a_warning_is_in_the_log_and_in_the_result(self, gamed) -> None:
        run = gamed()
        assert run.code == 0, run.err
        assert run.result["steps"] == 8
        refused = [row["monitor/refusals"] for row in run.metrics]
        (warning,) = [w for w in run.result["warnings"] if "of the responses refuse" in w]
        when = int(warning.removeprefix("Step ").partition(":")[0])
        assert refused[when - 1] > refused[0] + 0.1
        shares = f"{refused[when - 1]:.0%} of the responses refuse, {refused[0]:.0%} at the start."
        assert warning.startswith(f"Step {when}: {shares}")
        assert run.out.count(warning) == 1

    def test_it_stops_with_the_last_weights_within_limits(self, gamed) -> None:
        run = gamed(monitor_action="stop")
        assert run.code == 0, run.err
        assert (run.result["state"], run.result["stopped"]) == ("succeeded", "monitor")
        step = run.result["steps"]
        assert 1 < step < 8
        assert run.result["warnings"][0].startswith(f"Step {step}: ")
        told = run.read("warnings.jsonl")  # as they came
        assert [line["message"] for line in told] == run.result["warnings"]
        assert told[-1]["step"] == step  # so that a run resumed before it writes it once
        assert "the last weights within limits stay" in run.out
        # the policy that wrote the last episodes within limits, those of the step before
        good = run.folder / "checkpoints" / f"step-{step - 2}" / "model"
        if step == 2:
            good = Path(json.loads((run.folder / "config.json").read_text())["model"])
        kept, good = (
            load_file(folder / "model.safetensors") for folder in (run.folder / "model", good)
        )
        assert all(torch.equal(kept[name], good[name]) for name in good)

    def test_killed_before_the_stopped_model_was_kept_it_ends_there_again(self, gamed) -> None:
        run = gamed(monitor_action="stop")
        kept = load_file(run.folder / "model" / "model.safetensors")
        shutil.rmtree(run.folder / "model")
        again = gamed("--resume", monitor_action="stop")
        assert again.code == 0, again.err
        assert again.figures() == run.figures()
        for key in ("steps", "stopped", "warnings"):
            assert again.result[key] == run.result[key]
        found = load_file(again.folder / "model" / "model.safetensors")
        assert all(torch.equal(found[name], kept[name]) for name in kept)

    def test_people_get_what_it_said_and_says(self, gamed, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(watch, "CHANCE", 0.0)  # adapters learn little in a few steps
        run = gamed(monitor_action="send", monitor_prompts=3, lora_r=4, monitor_max_refusals=0.01)
        assert run.code == 0, run.err
        assert run.result["for_people"] == "for_people.jsonl"
        lines = run.read("for_people.jsonl")
        assert 1 <= len(lines) <= 3 * len(run.result["warnings"])
        for line in lines:
            start, now = line["responses"]
            assert start["source"] == "start"
            assert now["source"] == f"step {line['step']}"
            assert start["text"] != now["text"]
        with (run.folder / "for_people.jsonl").open("rb") as stream:
            limits = Limits(file_bytes=1 << 20, line_bytes=1 << 20, rows=100)
            read = list(read_file(stream, format="auto", limits=limits))
        assert [row.problem for row in read] == [None] * len(lines)
        sources = [[r.source for r in row.task.responses] for row in read if row.task]
        assert sources == [["start", f"step {line['step']}"] for line in lines]

    def test_a_resumed_run_still_knows_what_it_warned_of(self, gamed) -> None:
        whole = gamed(output="whole", monitor_action="send")
        part = whole.folder.with_name("part")
        shutil.copytree(whole.folder, part)
        shutil.rmtree(part / "checkpoints" / "step-8")
        shutil.rmtree(part / "model")
        again = gamed("--resume", output="part", monitor_action="send")
        assert again.figures() == whole.figures()
        for key in ("warnings", "for_people"):
            assert again.result[key] == whole.result[key]
        assert again.read("for_people.jsonl") == whole.read("for_people.jsonl")
        assert again.read("warnings.jsonl") == whole.read("warnings.jsonl")

    def test_where_only_a_checkpoint_was_brought_all_it_told_is_there(self, gamed) -> None:
        """As a worker does that resumes what another one began."""
        whole = gamed(output="whole", monitor_action="send")
        told = whole.read(WARNINGS)[-1]["step"]
        assert told < 8
        part = whole.folder.with_name("part")
        shutil.copytree(whole.folder / "checkpoints" / "step-7", part / "checkpoints" / "step-7")
        again = gamed("--resume", output="part", monitor_action="send")
        assert again.code == 0, again.err
        assert again.result["warnings"] == whole.result["warnings"]
        assert again.result["for_people"] == FOR_PEOPLE
        for name in (WARNINGS, FOR_PEOPLE):
            assert again.read(name) == whole.read(name)

    def test_what_was_only_warned_of_stops_a_run_resumed_to_stop(self, gamed, micro: str) -> None:
        """None but the first weights are known to be within limits."""
        warned = gamed(save_total_limit=0)
        when = next(row["step"] for row in warned.read(WARNINGS) if "refuse" in row["message"])
        for later in range(when + 1, 9):
            shutil.rmtree(warned.folder / "checkpoints" / f"step-{later}")
        shutil.rmtree(warned.folder / "model")
        good = load_file(Path(micro) / "model.safetensors")
        run = gamed("--resume", monitor_action="stop")
        assert run.code == 0, run.err
        assert (run.result["stopped"], run.result["steps"]) == ("monitor", when + 1)
        assert run.result["stopped_because"].startswith(f"Stopped at step {when + 1}, for a mon")
        kept = load_file(run.folder / "model" / "model.safetensors")
        assert all(torch.equal(kept[name], good[name]) for name in good)

    def test_turned_on_later_it_says_what_it_compares_with(self, gamed) -> None:
        gamed(monitor_action="off", max_steps=2)
        run = gamed("--resume", monitor_action="send", max_steps=4)
        assert run.code == 0, run.err
        assert "the monitors compare with what they see first now" in run.out

    def test_where_nothing_can_be_compared_nothing_is_sent(self, tmp_path: Path) -> None:
        folder, config = RunFolder(tmp_path / "run", kind="ppo"), PpoConfig(monitor_action="send")
        folder.open(config, {}, resume=False)
        assert react(Watch(config), folder, ["Step 3: Oh."], step=3, lines=list) == ""
        folder.finish("succeeded")
        result = json.loads((tmp_path / "run" / "result.json").read_text())
        assert result["warnings"] == result["notes"] == ["Step 3: Oh."]
        assert "for_people" not in result


@pytest.fixture
def reader(micro: str, judge: str, tokenizer, tmp_path: Path) -> Callable[..., Any]:
    """A reader of six prompts, and a policy that can be made to say one thing over and over."""

    def build(**settings) -> tuple[Reader, Any, Callable[[], None]]:
        given = {"max_new_tokens": 8, "monitor_patience": 1, "bf16": False}
        config, chat = DpoConfig(**(given | settings)), ChatFormat(tokenizer)
        folder = RunFolder(tmp_path / "run", kind="dpo")
        folder.open(config, {}, resume=False)
        rows = [Row("made", tuple(manners.ask(p))) for p in manners.prompts()[:6]]
        asked = [encode_prompt(row, chat, 200) for row in rows]
        watcher = load_judge(judge, chat, config)
        policy, bias = models.load_lm(micro), torch.zeros(400)
        policy.get_output_embeddings().register_forward_hook(lambda _, __, out: out + bias)
        one = start_processes(torch.device("cpu"))
        read = Reader(config, chat, asked, folder, watcher, one)
        return read, policy, lambda: bias[9:10].fill_(99.0)

    return build


class TestReader:
    """DPO writes nothing by itself: a few prompts are answered for the monitors."""

    def test_the_start_is_within_limits_and_one_thing_over_and_over_is_not(self, reader) -> None:
        read, policy, collapse = reader()
        read.begin(policy, {})
        figures, over = read.look(policy, 1, score=0.1)
        assert (figures["monitor/length_drift"], over) == (0.0, False)
        assert {"monitor/distance", "monitor/watched_score"} <= figures.keys()
        assert read.folder.told[WARNINGS] == []
        collapse()
        figures, over = read.look(policy, 2, score=0.2)
        assert figures["monitor/repetition"] > 0.8
        assert not over
        told = " ".join(row["message"] for row in read.folder.told[WARNINGS])
        assert "repeat themselves" in told
        assert "have become alike" in told

    def test_it_stops_with_the_weights_of_the_last_good_look(self, reader) -> None:
        read, policy, collapse = reader(monitor_action="stop")
        read.begin(policy, {})
        weight = next(policy.parameters())
        kept = weight.detach().clone()
        with torch.no_grad():
            weight.add_(1.0)
        collapse()
        assert read.look(policy, 2, score=0.2)[1]
        assert torch.equal(weight, kept)
        assert read.folder.extra["stopped"] == "monitor"

    def test_people_get_both_texts_and_a_new_reader_goes_on_the_same(self, reader) -> None:
        read, policy, collapse = reader(monitor_action="send")
        read.begin(policy, {})
        again, other, collapse_other = reader(monitor_action="send")
        again.begin(other, copy.deepcopy(read.state()))
        for one, model, spoil in ((read, policy, collapse), (again, other, collapse_other)):
            spoil()
            one.look(model, 2, score=0.2)
        assert again.state() == read.state()
        lines = (read.folder.path / "for_people.jsonl").read_text().splitlines()
        assert len(lines) == 12  # six prompts, from each of the two
        assert lines[:6] == lines[6:]


class TestDpo:
    GIVEN: ClassVar = {"max_steps": 2, "eval_steps": 2, "max_new_tokens": 6, "num_samples": 0}

    def test_what_it_writes_is_watched_at_each_evaluation(self, train, judge: str) -> None:
        run = train("dpo", monitor_reward_model_path=judge, **self.GIVEN)
        assert run.code == 0, run.err
        assert not any("monitor" in name for name in run.metrics[0])
        named = {"length_drift", "repetition", "distinct", "refusals", "distance", "watched_score"}
        assert {f"monitor/{name}" for name in named} <= run.metrics[1].keys()

    def test_the_figures_of_a_run_that_was_stopped_are_those_of_its_model(self, train) -> None:
        """What stays here is the start, of which DPO's loss is ln 2."""
        run = train(
            "dpo", learning_rate=3.0, max_steps=8, eval_steps=4, max_new_tokens=12, num_samples=1,
            monitor_action="stop", monitor_patience=1,
        )  # fmt: skip
        assert run.code == 0, run.err
        assert (run.result["stopped"], run.result["steps"]) == ("monitor", 4)
        assert run.result["metrics"]["eval_loss"] == pytest.approx(math.log(2), abs=1e-5)
        assert run.result["metrics"]["eval_rewards/margins"] == pytest.approx(0, abs=1e-5)
        start = train("dpo", learning_rate=1e-9, max_steps=1, max_new_tokens=12, num_samples=1,
                      output="start")  # fmt: skip
        assert (
            run.read("samples.jsonl")[0]["response"] == start.read("samples.jsonl")[0]["response"]
        )

    def test_resumed_with_more_prompts_those_asked_at_the_start_go_to_people(self, reader) -> None:
        read, policy, _ = reader(monitor_action="send", monitor_prompts=2)
        read.begin(policy, {})
        again, other, collapse = reader(monitor_action="send", monitor_prompts=4)
        again.begin(other, copy.deepcopy(read.state()))
        collapse()
        again.look(other, 2, score=0.2)
        assert len(again.folder.told[FOR_PEOPLE]) == 2

    def test_off_writes_nothing(self, train) -> None:
        run = train("dpo", monitor_action="off", **self.GIVEN)
        assert not any("monitor" in name for row in run.metrics for name in row)


def test_only_lines_that_can_be_compared_go_to_people() -> None:
    prompt = [{"role": "user", "content": "Tea?"}]
    lines = for_people(7, [prompt] * 4, ["a", "", "b", "c"], ["b", "c", "b", ""])
    assert [[r["text"] for r in line["responses"]] for line in lines] == [["a", "b"]]
    assert json.loads(json.dumps(lines[0]))["prompt"] == prompt
