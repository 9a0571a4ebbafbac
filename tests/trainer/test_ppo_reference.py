"""Each quantity of PPO, RLOO and GRPO, and PPO's whole update, stated again in 64 bit."""

from pathlib import Path
from typing import Any

import pytest
import torch

from app.run_config import PpoConfig
from app.trainer import ppo
from app.trainer.batches import Forward
from app.trainer.rollout import noise_seed
from tests.trainer import reference64
from tests.trainer.reference64 import Plain

COEF = 0.3
CASES = {
    "separate": {},
    "shared": {"value_model": "shared"},
    "k3": {"kl_estimator": "k3", "whiten_rewards": True, "gamma": 0.9},
    "trl": {"reward_position": "trl", "whiten_advantages": False},
    "rloo": {"algorithm": "rloo", "num_generations": 2},
    "grpo": {"algorithm": "grpo", "num_generations": 3, "loss_type": "grpo"},
    "dapo": {"algorithm": "grpo", "num_generations": 2, "scale_rewards": "batch"},
    "dr_grpo": {
        "algorithm": "grpo", "num_generations": 2, "scale_rewards": "none",
        "loss_type": "dr_grpo", "kl_in_loss": False,
    },
}  # fmt: skip
LOWER = {"reward_aggregation": "lower_bound", "reward_uncertainty_coef": 0.7}
WORST, SHARED = {"reward_aggregation": "worst"}, {"value_model": "shared"}
UPDATES = {
    "mean": {},  # one mini-batch: the first step takes the pass that measured the episodes
    "worst": WORST | SHARED | {"num_mini_batches": 3, "kl_estimator": "k3"},
    "lower_bound": LOWER | {"reward_position": "trl", "whiten_rewards": True},
    "adapter": LOWER | SHARED | {"lora_r": 4, "num_mini_batches": 4},
    "adapter on each": WORST | {"lora_r": 4, "whiten_rewards": True, "kl_estimator": "k3"},
    "all at trl": SHARED | {"reward_position": "trl", "lora_r": 4, "whiten_advantages": False},
}


def trained(play: ppo.Play) -> list[torch.Tensor]:
    return [p for p in play.updater.bare.parameters() if p.requires_grad]


def moved(play: ppo.Play, by: float, seed: int) -> None:
    """Move what is trained a little, so that ratios, KL and clipping come into play."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in trained(play):
            weights.add_(by * torch.randn(weights.shape, generator=generator))


def scene(stage, **settings: Any) -> tuple[ppo.Play, list[ppo.Episode]]:
    """A policy away from its reference, and six episodes of different length and score."""
    play, prompts = stage(**settings)
    play.forward = Forward(packed=True, max_tokens=60, bf16=False)  # gradients add up over passes
    moved(play, 0.02, seed=1)
    group = play.config.group
    asked = [p for p in prompts[: 6 // group] for _ in range(group)]
    answered = play.generate(asked, range(6))
    stop = min(play.chat.stop_ids)
    cut = [
        type(a)(a.row, a.prompt, ((*a.responses[0][: 3 + i], *([stop] if i % 2 else [])),))
        for i, a in enumerate(answered)
    ]
    return play, play.measure(cut, play.judges.read(cut), at=range(6))


@pytest.mark.parametrize("case", CASES)
def test_every_quantity_equals_its_statement_in_64_bit(stage, case: str) -> None:
    play, episodes = scene(stage, **CASES[case], vf_coef=0.1)
    scores = [e.score for e in episodes]
    config, plain = play.config, Plain.of(play)
    with torch.no_grad():  # what was measured when the episodes were sampled
        for e in episodes:
            prompt, response = e.example.prompt, e.example.responses[0]
            expected = plain.logps(plain.policy, prompt, response)
            assert e.logps.tolist() == pytest.approx(expected.tolist(), abs=2e-5)
            expected = plain.logps(plain.reference, prompt, response)
            assert e.ref_logps.tolist() == pytest.approx(expected.tolist(), abs=2e-5)
            if config.algorithm == "ppo":
                read = (*response, *[0] * (len(e.values) - e.actions))
                expected = plain.values(prompt, read)
                assert e.values.tolist() == pytest.approx(expected.tolist(), abs=2e-5)

    shaping = ppo.Shaping(kl_coef=COEF)
    targets = ppo.targets_of(episodes, shaping, config)
    aim = reference64.ppo_aims if config.algorithm == "ppo" else reference64.group_aims
    aims = aim(episodes, scores, COEF, config)
    for i, e in enumerate(episodes):
        own = targets.advantages[i, : e.actions].tolist()
        assert own == pytest.approx(aims.advantages[i].tolist(), rel=1e-3, abs=2e-5)
        if aims.returns:
            own = targets.returns[i, : len(e.values)].tolist()
            assert own == pytest.approx(aims.returns[i].tolist(), rel=1e-4, abs=2e-5)

    moved(play, 0.01, seed=2)  # as after a step: ratios are no longer 1
    plain = Plain.of(play)
    wanted = reference64.loss(plain, episodes, aims, config, COEF)
    whole = wanted["policy"] + config.vf_coef * wanted["value"] + wanted["kl"]
    whole.backward()
    wanted = {name: part.item() for name, part in wanted.items()}
    seen = [
        type(e.example)(
            e.example.row,
            e.example.prompt,
            ((*e.example.responses[0], *[0] * (len(e.values) - e.actions)),),
        )
        for e in episodes
    ]
    in_loss = 0.0 if config.priced_in_reward else COEF
    figures = ppo.mini_batch(
        seen, range(len(seen)), targets, config, play.updater, play.forward, in_loss
    )
    assert figures["loss/policy_avg"] == pytest.approx(wanted["policy"], rel=1e-3, abs=1e-4)
    assert figures["policy/clipfrac_avg"] == pytest.approx(wanted["clipped"], abs=0.04)
    if config.algorithm == "ppo":
        assert figures["loss/value_avg"] == pytest.approx(wanted["value"], rel=1e-3)
    if in_loss:
        assert figures["loss/kl_avg"] == pytest.approx(wanted["kl"], rel=1e-3)
        assert figures["loss/kl_avg"] > 0

    mine = torch.cat([p.grad.flatten() for p in play.updater.bare.policy.parameters()])
    theirs = torch.cat([p.grad.flatten() for p in plain.policy.parameters()]).float()
    assert torch.nn.functional.cosine_similarity(mine, theirs, dim=0) > 0.9999
    assert mine.norm().item() == pytest.approx(theirs.norm().item(), rel=1e-3)


@pytest.mark.parametrize("case", UPDATES)
def test_a_whole_update_equals_its_statement_in_64_bit(stage, ensemble: Path, case: str) -> None:
    """From the members' scores to the weights after all epochs, mini-batches and passes."""
    play, episodes = scene(
        stage, **UPDATES[case], reward_model_path=str(ensemble), missing_eos_penalty=0.3,
        gamma=0.97, vf_coef=0.3, num_ppo_epochs=3, learning_rate=3e-3, weight_decay=0.1,
        adam_epsilon=1e-2, max_grad_norm=0.5,
    )  # fmt: skip
    config, plain, before = play.config, Plain.of(play), [w.clone() for w in trained(play)]
    assert bool(play.kept) == (config.num_mini_batches == 1)
    shaping = ppo.Shaping(COEF, mean=[0.1, -0.2, 0.3], std=[0.5, 0.7, 1.1])
    scores = reference64.scores(episodes, shaping.mean, shaping.std, config)
    aims = reference64.ppo_aims(episodes, scores, COEF, config)
    batches = []
    for epoch in range(config.num_ppo_epochs):
        seeded = torch.Generator().manual_seed(noise_seed(config.seed, 3, 1, epoch))
        order = torch.randperm(len(episodes), generator=seeded)
        batches += [own.tolist() for own in order.tensor_split(config.num_mini_batches)]
    wanted = reference64.update(plain, episodes, aims, config, COEF, batches)

    figures = ppo.update(episodes, shaping, config, play.updater, play.forward, 1, play.kept)
    assert figures["loss/policy_avg"] == pytest.approx(wanted["policy"], rel=1e-3, abs=1e-4)
    assert figures["loss/value_avg"] == pytest.approx(wanted["value"], rel=1e-3)
    assert figures["grad_norm"] == pytest.approx(wanted["norm"], rel=1e-3)
    for old, mine, theirs in zip(before, trained(play), plain.trained(), strict=True):
        step = (theirs - old).abs().max().item()
        assert step > 0
        assert (mine - theirs).abs().max().item() < 2e-3 * step + 2e-6


def test_the_price_of_kl_follows_its_target_over_many_steps() -> None:
    """Ziegler et al. 2019, §2.2, step by step: error within ±0.2, proportional to the batch."""
    config = PpoConfig(kl_target=6.0, kl_horizon=100, kl_coef=0.2)
    shaping, price = ppo.Shaping(config.kl_coef), 0.2
    for kl in (0.0, 3.0, 6.6, 60.0, 5.7):
        ppo.adapt(shaping, config, kl, 16)
        price *= 1 + max(-0.2, min(0.2, (kl - 6.0) / 6.0)) * 16 / 100
        assert shaping.kl_coef == pytest.approx(price, rel=1e-12)


@pytest.mark.parametrize("kl", [0.0, 60.0])
def test_a_horizon_shorter_than_a_batch_never_pays_for_kl(kl: float) -> None:
    """A price below 0 would push the policy away from its reference, faster with every step."""
    config = PpoConfig(kl_target=6.0, kl_horizon=10, kl_coef=0.2)
    shaping = ppo.Shaping(config.kl_coef)
    for step in range(1, 5):
        ppo.adapt(shaping, config, kl, 64)
        assert shaping.kl_coef == pytest.approx(0.2 * (1.2 if kl else 0.8) ** step)
