"""What rewards a policy: a model, an ensemble by its worst or its lower bound, or a function."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from app.run_config import ConfigError, PpoConfig, parse_config
from app.trainer import ppo
from app.trainer.failures import BadInput
from app.trainer.judges import aggregate, members_of
from app.trainer.ppo.training import LEVELS
from tests.trainer import manners
from tests.trainer.manners import ask, say
from tests.trainer.test_ppo import episode

SCORES = torch.tensor([[1.0, 4.0], [3.0, 0.0], [2.0, 2.0]])  # three members, two responses


class TestAggregation:
    def test_mean_worst_and_lower_bound(self) -> None:
        assert aggregate(SCORES).tolist() == [2.0, 2.0]
        assert aggregate(SCORES, "worst").tolist() == [1.0, 0.0]
        sigma = torch.tensor([(2 / 3) ** 0.5, (8 / 3) ** 0.5])
        found = aggregate(SCORES, "lower_bound", 0.5)
        assert found.tolist() == pytest.approx((2.0 - 0.5 * sigma).tolist())

    def test_of_one_model_each_is_its_score(self) -> None:
        for how in ("mean", "worst", "lower_bound"):
            assert aggregate(SCORES[:1], how).tolist() == [1.0, 4.0]

    def test_members_come_to_one_scale_before_they_are_compared(self) -> None:
        """A member with large figures would else decide alone what the worst is."""
        one = episode([-1.0], [-1.0], [0.0])
        one = type(one)(**(vars(one) | {"members": (10.0, 0.0)}))
        shaping = ppo.Shaping(0.1, mean=[20.0, 0.0], std=[10.0, 1.0])
        config = PpoConfig(reward_aggregation="worst")
        assert ppo.shaped_scores([one], shaping, config).tolist() == [-1.0]
        assert ppo.shaped_scores([one], ppo.Shaping(0.1), config).tolist() == [0.0]


class TestEnsembles:
    def test_a_folder_or_a_list_names_the_members(self, ensemble: Path, judge: str) -> None:
        inside = [str(ensemble / f"member-{number}") for number in range(3)]
        assert members_of(str(ensemble)) == inside
        assert members_of(f"{judge}, {ensemble}") == [judge, *inside]
        assert members_of("org/hub-model") == ["org/hub-model"]

    @pytest.mark.parametrize("members", ['["../elsewhere"]', "[]", "3", "[3]"])
    def test_a_folder_names_nothing_but_what_is_in_it(self, members: str, ensemble: Path) -> None:
        (ensemble / "ensemble.json").write_text(f'{{"members": {members}}}')
        with pytest.raises(BadInput, match=r"ensemble\.json"):
            members_of(str(ensemble))

    def test_every_member_scores_and_the_choice_makes_one_of_them(
        self, stage, ensemble: Path
    ) -> None:
        play, prompts = stage(reward_model_path=str(ensemble), reward_aggregation="worst")
        episodes = play.episodes(prompts, stream=0, number=1)
        for e in episodes:
            first, second, third = e.members
            assert (second, third) == pytest.approx((2 * first, 3 * first), rel=1e-4, abs=1e-5)
            assert e.score == pytest.approx(min(e.members))

    def test_a_member_kept_back_only_watches(self, stage, ensemble: Path, judge: str) -> None:
        play, prompts = stage(reward_model_path=str(ensemble), reward_hold_out=True)
        e = play.episodes(prompts[:1], stream=0, number=1)[0]
        assert len(e.members) == 2
        assert e.watched == pytest.approx(3 * e.members[0], rel=1e-4)
        with pytest.raises(BadInput, match="keeps back one member"):
            stage(reward_model_path=judge, reward_hold_out=True)

    def test_a_run_with_an_ensemble_logs_how_far_it_disagrees(self, train, ensemble: Path) -> None:
        given = {"reward_model_path": ensemble, "reward_aggregation": "lower_bound"}
        given |= {"response_length": 6, "per_device_train_batch_size": 4}
        run = train(
            "ppo", max_steps=4, score_normalization="reference", reward_hold_out=True, **given
        )
        assert run.code == 0, run.err
        assert LEVELS not in run.result["notes"]
        bare = train("ppo", max_steps=1, output="bare", **given)
        assert LEVELS in bare.result["notes"]
        assert run.metrics[-1]["monitor/disagreement"] > 0
        assert "monitor/watched_score" in run.metrics[-1]


class TestWhatItCannotRead:
    """A reward model may know less than the policy: said in a sentence, in the middle of a run."""

    def other(self, judge: str, tmp_path: Path, **config: int) -> Path:
        """A copy that refuses system prompts, as Gemma's do, and has a template of its own."""
        folder = tmp_path / "other"
        shutil.copytree(judge, folder)
        known = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(known | config))
        template = folder / "chat_template.jinja"
        refusal = "{%- if messages[0].role == 'system' -%}{{ raise_exception('no system') }}"
        template.write_text(refusal + "{%- endif -%}" + template.read_text())
        return folder

    @pytest.mark.parametrize("kind", ["ppo", "dpo"])
    def test_a_prompt_that_its_template_refuses(
        self, kind: str, train, judge: str, tmp_path: Path
    ) -> None:
        prompt = [{"role": "system", "content": "Be brief."}, *ask("Is tea good?")]
        row = {"prompt": prompt, "chosen": say("Yes."), "rejected": say("No.")}
        name = {"ppo": "prompts", "dpo": "preference"}[kind]
        manners.write_split(tmp_path / "d", name, "train", [row] * 4)
        other = self.other(judge, tmp_path)
        given = {"ppo": QUICK | {"reward_model_path": other},
                 "dpo": {"monitor_reward_model_path": other}}  # fmt: skip
        run = train(kind, dataset=tmp_path / "d", **given[kind])
        assert (run.code, run.err.count("\n")) == (2, 1), run.err
        assert f"cannot read an answer to {name}/train.jsonl.gz line 1: the chat templ" in run.err
        assert "Choose another reward model" in run.err

    def test_an_answer_that_is_too_long_for_it(self, train, judge: str, tmp_path: Path) -> None:
        other = self.other(judge, tmp_path, max_position_embeddings=12)
        run = train("ppo", reward_model_path=other, **QUICK)
        assert (run.code, run.err.count("\n")) == (2, 1), run.err
        assert "longer than the 12 tokens that the model reads" in run.err

    def test_prompts_leave_room_for_it_where_it_shares_the_tokens(
        self, train, judge: str, micro: str, tmp_path: Path
    ) -> None:
        other = self.other(judge, tmp_path, max_position_embeddings=18)
        shutil.copy(Path(micro) / "chat_template.jinja", other)
        run = train("ppo", reward_model_path=other, num_samples=0, **QUICK)
        assert run.code == 0, run.err
        (why,) = run.result["data"]["train"]["dropped"]
        assert why == "the prompt leaves no room for a response (12 tokens at most)"


FUNCTIONS = """
def brief(prompts, responses):
    assert all(prompt[-1]["role"] == "user" for prompt in prompts)
    return [-len(response) for response in responses]

def breaks(prompts, responses):
    raise ValueError("no such table")

def short(prompts, responses):
    return [1.0]

def nan(prompts, responses):
    return [float("nan") for _ in responses]

def careless(prompts, responses):
    fresh = all("?" in prompt[-1]["content"] or "." in prompt[-1]["content"] for prompt in prompts)
    for prompt in prompts:
        prompt[-1]["content"] = prompt[-1]["content"].strip("?.")
    return [float(fresh) for _ in responses]

def huge(prompts, responses):
    return [10.0**60 for _ in responses]

NOTHING = 3
"""


@pytest.fixture
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A module of rewards in the current folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "rewards_of_mine.py").write_text(FUNCTIONS)
    monkeypatch.chdir(folder)
    before = list(sys.path)
    yield
    sys.path[:] = before
    sys.modules.pop("rewards_of_mine", None)


QUICK = {"response_length": 6, "per_device_train_batch_size": 4, "max_steps": 1}


@pytest.mark.usefixtures("functions")
class TestFunctions:
    def test_rewards_what_it_says(self, train) -> None:
        run = train("ppo", reward_function="rewards_of_mine:brief", num_samples=4, **QUICK)
        assert run.code == 0, run.err
        samples = run.read("samples.jsonl")
        assert all(row["score"] == -len(row["response"]) for row in samples)

    def test_what_it_does_to_the_prompts_stays_with_it(self, train) -> None:
        given = QUICK | {"max_steps": 2, "per_device_train_batch_size": 24}
        run = train("ppo", reward_function="rewards_of_mine:careless", **given)
        assert [row["objective/scores"] for row in run.metrics] == [1.0, 1.0]
        assert all(row["prompt"].endswith(("?", ".")) for row in run.read("samples.jsonl"))

    @pytest.mark.parametrize(
        ("name", "says"),
        [
            ("breaks", "raised ValueError: no such table"),
            ("short", "returned 1 numbers for 4 responses"),
            ("nan", "not a finite number"),
            ("huge", "not a finite number"),
            ("missing", "cannot be loaded (AttributeError"),
            ("NOTHING", "is no function"),
        ],
    )
    def test_its_errors_name_it(self, train, name: str, says: str) -> None:
        given = QUICK | {"algorithm": "rloo"}
        run = train("ppo", reward_function=f"rewards_of_mine:{name}", **given)
        assert (run.code, run.err.count("\n")) == (2, 1)
        assert f"rewards_of_mine:{name}" in run.err
        assert says in run.err
        assert run.result["state"] == "failed"

    def test_a_name_that_is_none(self, train) -> None:
        run = train("ppo", reward_function="length", **QUICK)
        assert "write it as package.module:function" in run.err
        run = train("ppo", reward_function="not_here.at_all:f", output="b", **QUICK)
        assert "cannot be loaded (ModuleNotFoundError" in run.err


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"reward_function": "a:b", "reward_model_path": "c"}, "name only one of them"),
        ({"reward_function": "a:b", "score_normalization": "model"}, "stores no figures"),
        ({"algorithm": "rloo", "num_generations": 1}, "at least 2"),
        ({"algorithm": "grpo", "num_generations": 3}, "3 must divide the 16 episodes"),
        ({"algorithm": "rloo", "value_model": "shared"}, "belongs to algorithm=ppo"),
        ({"algorithm": "rloo", "loss_type": "grpo"}, "belongs to algorithm=grpo"),
        ({"scale_rewards": "none"}, "belongs to algorithm=grpo; ppo has no use for it"),
    ],
)
def test_settings_that_contradict_each_other(settings: dict, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_config("ppo", settings)
