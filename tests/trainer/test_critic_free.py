"""RLOO and GRPO: closed forms, prompts read once for their group, nothing loaded that is unused."""

import shutil
from dataclasses import replace

import pytest
import torch

from app.run_config import PpoConfig
from app.trainer import losses, ppo
from app.trainer.batches import Example
from app.trainer.dataset import Row
from app.trainer.rollout import Sampling, generate, noise_seed

REWARDS = torch.tensor([1.0, 2.0, 6.0, 0.0, 0.0, 3.0])  # two prompts, three responses each


class TestAdvantages:
    def test_rloo_takes_the_mean_of_the_others(self) -> None:
        found = losses.leave_one_out(REWARDS, 3).tolist()
        assert found == [1 - 4.0, 2 - 3.5, 6 - 1.5, 0 - 1.5, 0 - 1.5, 3 - 0.0]

    def test_rloo_of_two_is_their_difference(self) -> None:
        assert losses.leave_one_out(torch.tensor([5.0, 2.0]), 2).tolist() == [3.0, -3.0]

    def test_rloo_is_the_distance_from_the_group_s_mean_but_for_a_factor(self) -> None:
        """R - mean of others = n / (n - 1) · (R - mean of all)."""
        centred = losses.group_advantages(REWARDS, 3, scale="none")
        assert losses.leave_one_out(REWARDS, 3).tolist() == pytest.approx((1.5 * centred).tolist())

    def test_grpo_is_the_z_score_in_its_group(self) -> None:
        first = REWARDS[:3]
        z = (first - first.mean()) / (first.std(correction=1) + 1e-4)
        found = losses.group_advantages(REWARDS, 3)
        assert found[:3].tolist() == pytest.approx(z.tolist())
        assert found.view(2, 3).mean(1).tolist() == pytest.approx([0.0, 0.0], abs=1e-6)

    def test_a_group_of_equal_rewards_teaches_nothing(self) -> None:
        for scale in ("group", "batch", "none"):
            found = losses.group_advantages(torch.tensor([2.0, 2.0, 1.0, 3.0]), 2, scale=scale)
            assert found[:2].tolist() == [0.0, 0.0]
        assert losses.leave_one_out(torch.tensor([2.0, 2.0]), 2).tolist() == [0.0, 0.0]

    @pytest.mark.parametrize("group", [2, 3, 4, 7, 16])
    @pytest.mark.parametrize("reward", [0.1, -7.77, 1000.1])
    def test_equal_rewards_teach_nothing_whatever_they_are(self, group: int, reward: float) -> None:
        """A mean in 32 bit is not that of its equal terms, and the deviation no more than this."""
        rewards = torch.full((2 * group,), reward)
        assert not losses.leave_one_out(rewards, group).any()
        for scale in ("group", "batch", "none"):
            assert not losses.group_advantages(rewards, group, scale=scale).any()

    def test_kl_is_taken_off_the_reward_unless_it_is_in_the_loss(self) -> None:
        scores, kl = torch.tensor([1.0, 1.0]), torch.tensor([4.0, 0.0])

        def of(**settings) -> list[float]:
            config = PpoConfig(num_generations=2, scale_rewards="none", **settings)
            return ppo.sequence_advantages(scores, kl, 0.5, config).tolist()

        assert of(algorithm="rloo") == [-2.0, 2.0]
        assert of(algorithm="grpo", kl_in_loss=False) == [-1.0, 1.0]
        assert of(algorithm="grpo") == [0.0, 0.0]


class TestWeights:
    ACTIONS = torch.tensor([[True, True, False, False], [True, True, True, True]])

    def of(self, **settings) -> list[list[float]]:
        return ppo.weights_of(self.ACTIONS, PpoConfig(response_length=8, **settings)).tolist()

    def test_every_token_the_same(self) -> None:
        expected = [[1 / 6, 1 / 6, 0, 0], [1 / 6] * 4]
        for settings in ({}, {"algorithm": "grpo"}):
            assert self.of(**settings) == [pytest.approx(row) for row in expected]

    def test_every_response_the_same(self) -> None:
        expected = [[1 / 4, 1 / 4, 0, 0], [1 / 8] * 4]
        for settings in ({"algorithm": "rloo"}, {"algorithm": "grpo", "loss_type": "grpo"}):
            assert self.of(**settings) == [pytest.approx(row) for row in expected]

    def test_no_length_is_favoured(self) -> None:
        found = self.of(algorithm="grpo", loss_type="dr_grpo")
        assert found == [pytest.approx([1 / 16, 1 / 16, 0, 0]), pytest.approx([1 / 16] * 4)]


class TestGroups:
    def answered(self, *lengths: int) -> list[Example]:
        row = Row("made", ())
        return [Example(row, (1, 2, 3), (tuple(range(9, 9 + n)),)) for n in lengths]

    def test_answers_to_a_prompt_become_one_example(self) -> None:
        other = Example(Row("made", ()), (7,), ((5, 6),))
        answers = [*self.answered(2, 1), other, *self.answered(4)]
        groups, places = ppo.by_prompt(answers, most=100)
        assert places == [[0, 1, 3], [2]]
        assert [len(g.responses) for g in groups] == [3, 1]
        assert groups[0].size == 3 + 2 + 1 + 4

    def test_a_group_does_not_outgrow_a_forward_pass(self) -> None:
        groups, places = ppo.by_prompt(self.answered(4, 4, 4, 30, 4), most=12)
        assert places == [[0, 1], [2], [3], [4]]
        assert max(g.size for g in groups[:2]) <= 12

    def test_measured_together_or_alone_is_the_same(self, stage) -> None:
        play, prompts = stage(algorithm="grpo", num_generations=3)
        together = play.episodes(prompts[:2], stream=0, number=1, group=3)
        assert [e.example.prompt for e in together] == [
            p.prompt for p in prompts[:2] for _ in "abc"
        ]
        assert len({e.example.responses for e in together}) > 3
        for e in together:
            alone = play.measure([e.example], play.judges.read([e.example]))[0]
            assert alone.logps.tolist() == pytest.approx(e.logps.tolist(), abs=1e-5)
            assert alone.score == pytest.approx(e.score, abs=1e-5)
            assert alone.drift == pytest.approx(e.drift, abs=1e-5)

    def test_a_repeated_prompt_is_read_once(self, stage) -> None:
        play, prompts = stage(algorithm="rloo")
        policy, widths = play.updater.bare.policy, []
        hook = policy.register_forward_pre_hook(
            lambda _, __, given: widths.append(given["input_ids"].shape), with_kwargs=True
        )
        asked = [prompts[i].prompt for i in (0, 0, 0, 1, 1, 1)]
        given = {"stop_ids": frozenset(), "seeds": [noise_seed(0, i) for i in range(6)]}
        together = generate(policy, asked, Sampling(5), batch_size=6, **given)
        hook.remove()
        assert [rows for rows, _ in widths] == [2, 6, 6, 6, 6]
        assert together == generate(policy, asked, Sampling(5), batch_size=1, **given)

    def test_noise_does_not_depend_on_the_batch(self, stage) -> None:
        play, prompts = stage(algorithm="rloo", num_generations=2)
        one = play.episodes(prompts, stream=0, number=3, group=2)
        play.config = replace(play.config, generation_batch_size=3)
        assert [e.example for e in play.episodes(prompts, stream=0, number=3, group=2)] == [
            e.example for e in one
        ]


def quick(judge: str, algorithm: str, **settings) -> dict:
    return {
        "reward_model_path": judge, "response_length": 8, "per_device_train_batch_size": 8,
        "learning_rate": 1e-3, "algorithm": algorithm, "num_generations": 4, **settings,
    }  # fmt: skip


@pytest.mark.parametrize("algorithm", ["rloo", "grpo"])
def test_no_value_model_is_there_and_a_broken_run_goes_on_without_a_seam(
    train, judge: str, algorithm: str
) -> None:
    given = quick(judge, algorithm, save_steps=1, save_total_limit=0, num_ppo_epochs=2)
    whole = train("ppo", max_steps=3, output="whole", **given)
    assert whole.code == 0, whole.err
    assert [row["episode"] for row in whole.metrics] == [8, 16, 24]
    assert "loss/value_avg" not in whole.metrics[0]
    names = {p.name for p in (whole.folder / "checkpoints" / "step-3").iterdir()}
    assert names == {"model", "state.pt"}
    assert whole.metrics[0]["val/ratio"] != 1  # two passes: the second one has moved
    part = whole.folder.with_name("part")
    shutil.copytree(whole.folder, part)
    shutil.rmtree(part / "checkpoints" / "step-3")
    shutil.rmtree(part / "model")
    again = train("ppo", "--resume", max_steps=3, output="part", **given)
    assert again.code == 0, again.err
    assert again.figures() == whole.figures()
    assert again.read("samples.jsonl") == whole.read("samples.jsonl")


@pytest.mark.parametrize("algorithm", ["rloo", "grpo"])
def test_the_first_pass_has_ratio_1_and_pushes_towards_the_better_answer(
    stage, algorithm: str
) -> None:
    play, prompts = stage(algorithm=algorithm, num_generations=3, num_ppo_epochs=1)
    episodes = play.episodes(prompts, stream=0, number=1, group=3)
    shaping = ppo.Shaping(kl_coef=0.05)
    targets = ppo.targets_of(episodes, shaping, play.config)
    figures = ppo.update(episodes, shaping, play.config, play.updater, play.forward, 1)
    assert figures["val/ratio"] == pytest.approx(1.0, abs=1e-5)
    assert figures["val/ratio_var"] == pytest.approx(0.0, abs=1e-5)
    weights = ppo.weights_of(targets.actions, play.config)
    expected = -(weights * targets.advantages).sum().item()  # ratio 1: minus the mean advantage
    assert figures["loss/policy_avg"] == pytest.approx(expected, abs=1e-5)
    answered = [e.example for e in episodes]
    after = play.measure(answered, play.judges.read(answered))
    logps = ppo.as_grid([e.logps for e in after], targets.logps.shape[1])
    assert (targets.advantages * (logps - targets.logps)).sum() > 0


def test_a_short_last_batch_makes_fewer_mini_batches(train, judge: str, tmp_path) -> None:
    """24 prompts in batches of 10: the last has 4, fewer than its mini-batches."""
    given = quick(judge, "ppo", num_generations=1, num_mini_batches=5, num_ppo_epochs=1)
    run = train("ppo", max_steps=3, **(given | {"per_device_train_batch_size": 10}))
    assert run.code == 0, run.err
    assert run.metrics[-1]["episode"] == 24
