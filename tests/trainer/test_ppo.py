"""PPO's steps one by one: generate → score → penalise → advantages → update."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from app.run_config import PpoConfig
from app.trainer import losses, ppo
from app.trainer.batches import Example, Forward, lay_out
from app.trainer.dataset import Row
from app.trainer.judges import Verdict
from app.trainer.ppo.training import normalise
from tests.trainer import manners


def episode(
    logps: list[float],
    ref_logps: list[float],
    values: list[float],
    *,
    score: float = 1.0,
    ended: bool = True,
) -> ppo.Episode:
    example = Example(Row("made", ()), (1, 2), (tuple(range(5, 5 + len(logps))),))
    tensors = (torch.tensor(x) for x in (logps, ref_logps, values))
    return ppo.Episode(example, ended, score, *tensors, entropy=1.0, drift=0.5)


SHORT = episode([-1.0, -2.0], [-1.5, -1.0], [0.2, 0.4], score=2.0)
LONG = episode([-0.5, -0.5, -1.0], [-0.5, -1.0, -1.0], [0.1, 0.0, 0.3], score=-1.0, ended=False)


class TestScores:
    def test_a_response_that_never_ends_pays_the_penalty(self) -> None:
        shaping = ppo.Shaping(kl_coef=0.1)
        config = PpoConfig(missing_eos_penalty=0.5)
        assert ppo.shaped_scores([SHORT, LONG], shaping, config).tolist() == [2.0, -1.5]
        assert ppo.shaped_scores([SHORT, LONG], shaping, PpoConfig()).tolist() == [2.0, -1.0]

    def test_scores_are_put_on_the_wanted_scale_and_clipped(self) -> None:
        shaping = ppo.Shaping(kl_coef=0.1, mean=[0.5], std=[0.5])
        scores = ppo.shaped_scores([SHORT, LONG], shaping, PpoConfig(score_clip=2.5))
        assert scores.tolist() == pytest.approx([2.5, -2.5])
        scores = ppo.shaped_scores([SHORT, LONG], shaping, PpoConfig())
        assert scores.tolist() == pytest.approx([3.0, -3.0])


class TestRewards:
    def test_every_action_pays_its_kl_and_the_last_one_gets_the_score(self) -> None:
        kl = torch.tensor([[0.5, -1.0, 9.0], [0.1, 0.2, 0.3]])
        rewards = ppo.penalise(
            torch.tensor([2.0, -1.0]), kl, torch.tensor([2, 3]), torch.tensor([1, 2]), 0.1
        )
        expected = [[-0.05, 0.1 + 2.0, 0.0], [-0.01, -0.02, -0.03 - 1.0]]
        assert rewards.tolist() == [pytest.approx(row) for row in expected]

    def test_the_objective_is_in_nats_per_response(self) -> None:
        figures = ppo.objective([SHORT, LONG], ppo.Shaping(kl_coef=0.1), PpoConfig())
        kl = ((0.5 - 1.0) + (0.0 + 0.5 + 0.0)) / 2
        assert figures["objective/kl"] == pytest.approx(kl)
        assert figures["objective/scores"] == pytest.approx(0.5)
        assert figures["objective/non_score_reward"] == pytest.approx(-0.1 * kl)
        assert figures["objective/rlhf_reward"] == pytest.approx(0.5 - 0.1 * kl)
        assert figures["objective/entropy"] == pytest.approx((3.0 + 2.0) / 2)
        assert figures["tokens/response_length"] == 2.5
        assert figures["val/num_eos_tokens"] == 1


class TestAdvantages:
    def test_by_hand_with_the_score_on_the_last_action(self) -> None:
        config = PpoConfig(whiten_advantages=False, gamma=1.0, lam=0.95)
        targets = ppo.targets_of([SHORT, LONG], ppo.Shaping(kl_coef=0.1), config)
        r0, r1 = -0.1 * 0.5, 0.1 * 1.0 + 2.0
        last = r1 - 0.4
        first = (r0 + 0.4 - 0.2) + 0.95 * last
        assert targets.advantages[0].tolist() == pytest.approx([first, last, 0.0])
        assert targets.returns[0].tolist() == pytest.approx([first + 0.2, last + 0.4, 0.0])
        assert targets.actions.tolist() == [[True, True, False], [True, True, True]]

    def test_score_at_the_end_reaches_all_actions_of_a_finished_response_undiminished_at_its_last(
        self,
    ) -> None:
        """Known figures: 0.8574 0.9025 0.95 1.0 with the score on the last of four actions."""
        flat = episode([-1.0] * 4, [-1.0] * 4, [0.0] * 4, score=1.0)
        config = PpoConfig(whiten_advantages=False)
        eos = ppo.targets_of([flat], ppo.Shaping(kl_coef=0.0), config)
        assert eos.advantages[0].tolist() == pytest.approx([0.857375, 0.9025, 0.95, 1.0])
        later = replace(flat, values=torch.zeros(5))  # one more state, behind the end token
        trl = ppo.targets_of(
            [later], ppo.Shaping(kl_coef=0.0), replace(config, reward_position="trl")
        )
        expected = [0.81450625, 0.857375, 0.9025, 0.95, 0.0]
        assert trl.advantages[0].tolist() == pytest.approx(expected)
        assert trl.valued[0].tolist() == [True] * 5
        assert trl.actions[0].tolist() == [True] * 4 + [False]

    def test_whitened_over_the_actions_of_the_whole_batch(self) -> None:
        targets = ppo.targets_of([SHORT, LONG], ppo.Shaping(kl_coef=0.1), PpoConfig())
        inside = targets.advantages[targets.actions]
        assert inside.mean().item() == pytest.approx(0.0, abs=1e-6)
        assert inside.std(correction=1).item() == pytest.approx(1.0, rel=1e-5)
        assert targets.advantages[~targets.actions].tolist() == [0.0]


def unscored(count: int) -> Verdict:
    return Verdict(torch.zeros(1, count))


class TestPlay:
    def test_log_probabilities_are_those_of_the_tempered_policy(self, stage) -> None:
        play, prompts = stage()
        for e in play.episodes(prompts, stream=0, number=1):
            ids = torch.tensor([e.example.prompt + e.example.responses[0]])
            with torch.no_grad():
                logits = play.updater.bare.policy(input_ids=ids).logits[0] / 0.8
            table = logits.log_softmax(-1)
            start = len(e.example.prompt)
            expected = [table[t - 1, ids[0, t]].item() for t in range(start, ids.shape[1])]
            assert e.logps.tolist() == pytest.approx(expected, abs=1e-4)
            assert e.ref_logps.tolist() == e.logps.tolist()
            assert e.kl == 0.0
            assert e.actions == e.values.numel() == len(e.example.responses[0])

    def test_scores_are_those_of_the_reward_model_on_the_whole_conversation(self, stage) -> None:
        play, prompts = stage()
        answered = play.generate(prompts, range(len(prompts)))
        expected = []
        for e in answered:
            layout = lay_out([e], packed=False)
            with torch.no_grad():
                expected.append(play.judges.models[0].scorer(layout, layout.ends).item())
        found = play.judges.read(answered).members
        assert found.tolist() == [pytest.approx(expected, abs=1e-5)]

    def test_a_reward_model_with_other_tokens_reads_the_words(self, stage) -> None:
        play, prompts = stage()
        answered = play.generate(prompts, range(len(prompts)))
        answered = [replace(e, responses=(tuple(play.chat.encode("Old tea.")),)) for e in answered]
        ended = [
            replace(e, responses=((*e.responses[0], min(play.chat.stop_ids)),)) for e in answered
        ]
        judge = play.judges.rewarding[0]
        by_tokens, _ = judge.read(ended)
        judge.shares_tokens = False
        assert judge.read(answered)[0].tolist() == pytest.approx(by_tokens.tolist(), abs=1e-5)

    def test_values_of_a_separate_model_start_as_the_scores_head(self, stage) -> None:
        """At the last state the value model reads what the reward model would score there."""
        play, prompts = stage()
        e = play.episodes(prompts[:1], stream=0, number=1)[0]
        cut = replace(e.example, responses=(e.example.responses[0][:-1],))
        layout = lay_out([cut], packed=False)
        with torch.no_grad():
            expected = play.judges.models[0].scorer(layout, layout.ends).item()
        assert e.values[-1].item() == pytest.approx(expected, abs=1e-5)

    def test_values_of_a_shared_trunk_start_at_0(self, stage) -> None:
        play, prompts = stage(value_model="shared")
        episodes = play.episodes(prompts, stream=0, number=1)
        assert all((e.values == 0).all() for e in episodes)

    def test_trl_position_has_one_more_state_for_responses_that_ended_early(self, stage) -> None:
        play, prompts = stage(reward_position="trl", temperature=1.5)
        stops = play.chat.stop_ids
        short, long = prompts[:2]
        short = replace(short, responses=((9, 10, min(stops)),))
        long = replace(long, responses=((9, 10, 11, 12, 13),))
        episodes = play.measure([short, long], unscored(2))
        assert [e.values.numel() for e in episodes] == [4, 5]
        assert [e.actions for e in episodes] == [3, 5]


class TestUpdate:
    def one_batch(self, stage, **settings) -> tuple[ppo.Play, list[ppo.Episode], dict]:
        play, prompts = stage(num_ppo_epochs=1, **settings)
        episodes = play.episodes(prompts, stream=0, number=1)
        shaping = ppo.Shaping(kl_coef=0.05)
        figures = ppo.update(episodes, shaping, play.config, play.updater, play.forward, 1)
        return play, episodes, figures

    @pytest.mark.parametrize("value_model", ["separate", "shared"])
    def test_the_first_pass_has_ratio_1_and_the_loss_that_follows(
        self, stage, value_model: str
    ) -> None:
        """Ratio 1 → policy loss = -mean advantage (0 when whitened); value loss = ½ (V - R)²."""
        _, episodes, figures = self.one_batch(stage, value_model=value_model)
        targets = ppo.targets_of(episodes, ppo.Shaping(kl_coef=0.05), PpoConfig())
        assert figures["val/ratio"] == pytest.approx(1.0, abs=1e-6)
        assert figures["policy/approxkl_avg"] == pytest.approx(0.0, abs=1e-9)
        assert figures["policy/clipfrac_avg"] == 0
        assert figures["loss/policy_avg"] == pytest.approx(0.0, abs=1e-5)
        error = (targets.values - targets.returns)[targets.valued]
        assert figures["loss/value_avg"] == pytest.approx(0.5 * (error**2).mean().item(), rel=1e-4)

    @pytest.mark.parametrize(
        "settings",
        [
            {}, {"value_model": "shared"}, {"bf16": True},
            {"reward_position": "trl"}, {"algorithm": "rloo", "num_generations": 2},
        ],
        ids=lambda settings: next(iter(settings), "separate"),
    )  # fmt: skip
    def test_the_pass_that_measured_teaches_what_another_would(self, stage, settings: dict) -> None:
        found = []
        for reused in (True, False):
            play, prompts = stage(num_ppo_epochs=2, reuse_first_pass=reused, **settings)
            play.forward = replace(play.forward, bf16=play.config.bf16)
            passes = []
            group = play.config.group
            episodes = play.episodes(prompts, stream=0, number=1, group=group, learning=True)
            assert len(play.kept) == reused
            sizes = [own.layout.tokens for own in play.kept]
            hook = play.updater.bare.register_forward_pre_hook(
                lambda _, given, passes=passes: passes.append(given[0].tokens)
            )
            given = (ppo.Shaping(0.05), play.config, play.updater, play.forward, 1, play.kept)
            figures = ppo.update(episodes, *given)
            hook.remove()
            assert not play.kept  # what it held is free again
            assert len(sizes + passes) == 2
            trained = [p for p in play.updater.bare.parameters() if p.requires_grad]
            found.append((figures, torch.cat([p.detach().flatten() for p in trained])))
        (one, weights), (other, others) = found
        assert one == pytest.approx(other, rel=1e-5, abs=1e-7)
        assert torch.allclose(weights, others, atol=1e-6)

    def test_two_passes_are_kept_each_with_its_own_episodes(self, stage) -> None:
        found = []
        for reused in (True, False):
            play, prompts = stage(num_ppo_epochs=1, reuse_first_pass=reused)
            play.forward = replace(play.forward, max_tokens=100)
            episodes = play.episodes(prompts, stream=0, number=1, learning=True)
            if reused:
                places = [own.places for own in play.kept]
                assert len(places) == 2
                assert sorted(i for own in places for i in own) == list(range(6))
            given = (ppo.Shaping(0.05), play.config, play.updater, play.forward, 1, play.kept)
            found.append(ppo.update(episodes, *given))
        assert found[0] == pytest.approx(found[1], rel=1e-5, abs=1e-7)

    def test_passes_are_measured_apart_where_the_first_update_sees_others(self, stage) -> None:
        for settings in (
            {"num_mini_batches": 2},
            {"gradient_checkpointing": True},
            {"lora_r": 2, "lora_dropout": 0.1},
        ):
            play, prompts = stage(**settings)
            play.episodes(prompts, stream=0, number=1, learning=True)
            assert not play.kept
        play, prompts = stage()
        play.episodes(prompts, stream=0, number=1)
        assert not play.kept  # nothing is learned from an evaluation
        play.forward = replace(play.forward, max_tokens=40)
        play.episodes(prompts, stream=0, number=1, learning=True)
        assert not play.kept  # more activations than two passes have

    def test_an_update_makes_what_was_good_likelier(self, stage) -> None:
        play, episodes, _ = self.one_batch(stage, whiten_advantages=True, vf_coef=0.0)
        targets = ppo.targets_of(episodes, ppo.Shaping(kl_coef=0.05), play.config)
        after = play.measure([e.example for e in episodes], unscored(len(episodes)))
        logps = ppo.as_grid([e.logps for e in after], targets.logps.shape[1])
        gain = (targets.advantages * (logps - targets.logps) * targets.actions).sum()
        assert gain > 0

    def test_mini_batches_make_as_many_steps_as_they_say(self, stage) -> None:
        play, prompts = stage(num_ppo_epochs=3, num_mini_batches=2)
        episodes = play.episodes(prompts, stream=0, number=1)
        before = play.updater.optimizer.state_dict()["state"]
        assert not before
        shaping = ppo.Shaping(kl_coef=0.05)
        ppo.update(episodes, shaping, play.config, play.updater, play.forward, 1)
        state = play.updater.optimizer.state_dict()["state"]
        assert {int(entry["step"]) for entry in state.values()} == {6}

    @pytest.mark.parametrize("position", ["eos", "trl"])
    def test_pieces_do_not_change_the_update(self, stage, position: str) -> None:
        weights = []
        for max_tokens, packed in ((512, True), (20, False)):
            play, prompts = stage(num_ppo_epochs=2, reward_position=position)
            play.forward = Forward(packed=packed, max_tokens=max_tokens, bf16=False)
            stop = min(play.chat.stop_ids)
            answered = [
                replace(p, responses=((*range(9, 9 + i), stop),)) for i, p in enumerate(prompts, 1)
            ]
            episodes = play.measure(answered, Verdict(torch.arange(6.0)[None]))
            shaping = ppo.Shaping(kl_coef=0.05)
            figures = ppo.update(episodes, shaping, play.config, play.updater, play.forward, 1)
            weights.append(figures)
        assert weights[0] == pytest.approx(weights[1], rel=2e-3, abs=1e-5)

    def test_clipped_value_and_policy_losses_match_a_plain_statement(self, stage) -> None:
        """A second pass, where ratios differ from 1, against loops over the formulas."""
        play, prompts = stage(num_ppo_epochs=1, whiten_advantages=False)
        episodes = play.episodes(prompts, stream=0, number=1)
        shaping = ppo.Shaping(kl_coef=0.05)
        ppo.update(episodes, shaping, play.config, play.updater, play.forward, 1)
        targets = ppo.targets_of(episodes, shaping, play.config)
        now = play.measure([e.example for e in episodes], unscored(len(episodes)))
        policy = value = count = 0.0
        for i, e in enumerate(now):
            for t in range(e.actions):
                ratio = math.exp(e.logps[t] - targets.logps[i, t])
                advantage = targets.advantages[i, t].item()
                cut = min(max(ratio, 0.8), 1.2)
                policy += max(-advantage * ratio, -advantage * cut)
                old, aim = targets.values[i, t].item(), targets.returns[i, t].item()
                v = e.values[t].item()
                near = old + min(max(v - old, -0.2), 0.2)
                value += 0.5 * max((v - aim) ** 2, (near - aim) ** 2)
                count += 1
        seen = [e.example for e in episodes]
        figures = ppo.mini_batch(
            seen, range(len(seen)), targets, play.config, play.updater, play.forward
        )
        assert figures["loss/policy_avg"] == pytest.approx(policy / count, rel=1e-3, abs=1e-5)
        assert figures["loss/value_avg"] == pytest.approx(value / count, rel=1e-3)


class TestRuns:
    def quick(self, judge: str, **settings) -> dict:
        return {
            "reward_model_path": judge, "response_length": 8, "per_device_train_batch_size": 8,
            "learning_rate": 3e-3, **settings,
        }  # fmt: skip

    def test_an_adapter_learns_from_the_pass_that_measured_it(self, train, judge: str) -> None:
        """Its reference is the policy without it, read between that pass and its gradient."""
        lines = []
        for reused in (True, False):
            given = {"lora_r": 2, "num_ppo_epochs": 2, "reuse_first_pass": reused}
            run = train("ppo", max_steps=2, output=f"{reused}", **self.quick(judge, **given))
            assert run.code == 0, run.err
            kept = ("loss", "grad_norm", "objective/kl", "objective/scores")
            lines.append([line[name] for line in run.metrics[:2] for name in kept])
        assert lines[0] == pytest.approx(lines[1], rel=1e-3, abs=1e-5)
        assert any(lines[0])

    def test_stops_at_the_kl_budget_and_keeps_weights_within_it(self, train, judge: str) -> None:
        run = train("ppo", max_steps=12, **self.quick(judge, kl_budget=0.5, kl_coef=0.0))
        assert run.code == 0, run.err
        assert run.result["stopped"] == "kl_budget"
        assert run.result["state"] == "succeeded"
        assert run.metrics[-1]["eval_objective/kl"] <= 0.5
        assert run.result["steps"] < 12
        free = train("ppo", max_steps=12, output="free", **self.quick(judge, kl_coef=0.0))
        assert max(row["objective/kl_exact"] for row in free.metrics) > 0.5

    def test_kl_price_adapts_to_its_target(self, train, judge: str) -> None:
        given = self.quick(judge, kl_target=0.01, kl_horizon=40)
        run = train("ppo", max_steps=4, **given)
        prices = [row["objective/kl_coef"] for row in run.metrics]
        assert prices[0] == 0.05
        assert prices[1] == pytest.approx(0.05 * (1 - 0.2 * 8 / 40))  # kl 0: below the target
        assert prices[3] > prices[2]

    def test_scores_are_normalised_on_the_reference(self, train, judge: str) -> None:
        given = self.quick(judge, score_normalization="reference", learning_rate=1e-8)
        run = train("ppo", max_steps=4, **given)
        rewards = [row["objective/rlhf_reward"] for row in run.metrics]
        assert abs(sum(rewards) / 4) < 1
        raw = [row["objective/scores"] for row in run.metrics]
        assert rewards != pytest.approx(raw)

    def test_where_the_reference_scores_all_alike_scores_keep_their_scale(self, stage) -> None:
        play, prompts = stage(score_normalization="reference")
        shaping = ppo.Shaping(0.05)
        normalise(shaping, play, prompts[:1], play.config)
        assert shaping.mean != [0.0]
        assert shaping.std == [1.0]

    def test_a_reward_model_that_does_not_know_its_scale_is_not_taken_for_one_that_has(
        self, train, judge: str, tmp_path: Path
    ) -> None:
        shutil.copytree(judge, tmp_path / "judge")
        file = tmp_path / "judge" / "config.json"
        known = json.loads(file.read_text())
        file.write_text(json.dumps({k: v for k, v in known.items() if not k.startswith("score_")}))
        given = self.quick(str(tmp_path / "judge"), score_normalization="model")
        run = train("ppo", max_steps=1, **given)
        assert run.code == 2
        assert "stores no figures of its scores" in run.err
        assert "Choose reference or none." in run.err

    def test_without_a_reward_model_it_says_what_to_set(self, train, micro: str) -> None:
        run = train("ppo", max_steps=1)
        assert (run.code, run.err.count("\n")) == (2, 1)
        assert "reward_model_path" in run.err
        none = train("ppo", max_steps=1, output="n", **self.quick(","))
        assert (none.code, none.err) == (2, run.err)
        wrong = train("ppo", max_steps=1, output="w", **self.quick(micro))
        assert wrong.code == 2
        assert "is not a reward model" in wrong.err

    def test_a_prompt_that_leaves_no_room_is_left_out_and_counted(
        self, train, judge: str, tmp_path: Path
    ) -> None:
        rows = [
            {"prompt": manners.ask("tea " * 60)},
            *manners.rows("prompts", manners.prompts()[:8]),
        ]
        manners.write_split(tmp_path / "d", "prompts", "train", rows)
        run = train("ppo", max_steps=1, dataset=tmp_path / "d", **self.quick(judge, max_length=48))
        assert run.code == 0, run.err
        assert sum(run.result["data"]["train"]["dropped"].values()) == 1
        assert "leaves no room" in run.out

    def test_shared_trunk_trains_and_resumes(self, train, judge: str) -> None:
        given = self.quick(judge, value_model="shared", save_steps=1, save_total_limit=0)
        whole = train("ppo", max_steps=3, output="a", **given)
        assert whole.code == 0, whole.err
        assert whole.metrics[2]["loss/value_avg"] != whole.metrics[0]["loss/value_avg"]
        part = train("ppo", max_steps=3, output="b", **given)
        import shutil

        shutil.rmtree(part.folder / "checkpoints" / "step-3")
        again = train("ppo", "--resume", max_steps=3, output="b", **given)
        assert again.figures() == whole.figures()
        assert json.loads((again.folder / "result.json").read_text())["state"] == "succeeded"


def test_kl_of_a_policy_that_moved_is_measured_against_its_start() -> None:
    moved = episode([-0.5, -0.7], [-1.5, -1.0], [0.0, 0.0])
    assert moved.kl == pytest.approx(1.3)
    total = losses.kl_per_token(moved.logps, moved.ref_logps).sum()
    assert total.item() == pytest.approx(1.3)
