"""Signs that a judge is being pleased rather than people, and what follows from them."""

import copy
import json
import math
import random
import shutil
import statistics
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
from app.trainer.monitors import Reader, Seen, Watch, for_people, react, signs, watch
from app.trainer.processes import start_processes
from app.trainer.run_folder import FOR_PEOPLE, WARNINGS, RunFolder
from tests.trainer import manners
from tests.trainer.conftest import Run


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


def drawn(rng: random.Random, count: int) -> Seen:
    """Responses of a policy that stays as it is; one in ten refuses."""
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

    @pytest.mark.parametrize("count", [1, 5, 16])
    def test_a_policy_that_stays_as_it_is_alarms_nobody(self, count: int) -> None:
        """However few responses a step has: not one of thirty runs."""
        for seed in range(30):
            watch, rng = Watch(PpoConfig()), random.Random(seed)
            for step in range(1, 100):
                assert watch.observe(step, drawn(rng, count))[1] == []

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
    "algorithm": "rloo", "num_generations": 8, "per_device_train_batch_size": 32,
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
