"""A policy of four tokens and three places, whose every response can be written down.

What the trainer estimates from samples is compared with the sum over all 40 responses, in 64 bit.
"""

import copy
import itertools
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from app.run_config import PpoConfig
from app.trainer import ppo
from app.trainer.batches import Example, Forward
from app.trainer.dataset import Row
from app.trainer.judges import Verdict
from app.trainer.optimization import Updater
from app.trainer.processes import start_processes

PROMPT, LENGTH, STOP, TEMPERATURE = (1, 3), 3, 0, 0.7
PRICE = 0.4
EVERY = [
    response
    for size in range(1, LENGTH + 1)
    for response in itertools.product(range(4), repeat=size)
    if STOP not in response[:-1] and (response[-1] == STOP or size == LENGTH)
]


def tiny(seed: int) -> Any:
    torch.manual_seed(seed)
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "initializer_range": 0.4}
    return LlamaForCausalLM(LlamaConfig(vocab_size=4, max_position_embeddings=16, **sizes, **heads))


def reward(response: tuple[int, ...]) -> float:
    """Something uneven: the third token early, and not too long."""
    return sum(token * 0.5**place for place, token in enumerate(response)) - 0.6 * len(response)


class Judge:
    def read(self, answered: list[Example]) -> Verdict:
        return Verdict(torch.tensor([[reward(e.responses[0]) for e in answered]]))


@pytest.fixture
def play() -> Callable[..., ppo.Play]:
    def build(**settings: Any) -> ppo.Play:
        given = {"response_length": LENGTH, "temperature": TEMPERATURE, "num_ppo_epochs": 1}
        config = PpoConfig(**given, generation_batch_size=4096, kl_coef=PRICE, **settings)
        accelerator = start_processes(torch.device("cpu"))
        trained = ppo.PolicyAndValue(tiny(1), None, critic=config.algorithm == "ppo")
        updater = Updater(accelerator, trained, config, 10)
        chat: Any = SimpleNamespace(stop_ids=frozenset({STOP}))
        judge: Any = Judge()
        forward = Forward(packed=True, max_tokens=1024, bf16=False)
        return ppo.Play(config, accelerator, updater, tiny(2), judge, chat, forward)

    return build


def asked(count: int) -> list[Example]:
    return [Example(Row("made", ()), PROMPT, ())] * count


def tables(lm: Any) -> Tensor:
    """Log π of the next token behind each beginning of each response: `(40, time, 4)`, 64 bit."""
    lines = torch.tensor([[*PROMPT, *r, *[0] * (LENGTH - len(r))] for r in EVERY])
    logits = lm(input_ids=lines).logits[:, len(PROMPT) - 1 : -1]
    return (logits / TEMPERATURE).log_softmax(-1)


def chances(lm: Any) -> Tensor:
    """Log of the chance of each response: `(40,)`."""
    of = tables(lm)
    return torch.stack(
        [sum(of[i, t, token] for t, token in enumerate(r)) for i, r in enumerate(EVERY)]
    )


def blank(count: int) -> Verdict:
    return Verdict(torch.zeros(1, count))


def plain(play: ppo.Play) -> tuple[Any, Any]:
    policy = copy.deepcopy(play.updater.bare.policy).double()
    return policy, copy.deepcopy(play.reference).double()


def test_the_responses_are_all_there_are(play) -> None:
    policy, _ = plain(play())
    assert len(EVERY) == 40
    assert chances(policy).exp().sum().item() == pytest.approx(1, abs=1e-12)


def test_kl_of_the_budget_is_that_of_all_responses(play) -> None:
    """KL(π ‖ π_ref) over whole responses, cut ones among them; and k1 is as unbiased."""
    own = play(algorithm="rloo", num_generations=2)
    policy, reference = plain(own)
    with torch.no_grad():
        log_p, log_q = chances(policy), chances(reference)
    exact = (log_p.exp() * (log_p - log_q)).sum().item()
    assert exact > 0.3
    answered = [Example(Row("made", ()), PROMPT, (response,)) for response in EVERY]
    every = own.measure(answered, own.judges.read(answered))
    for of in ("drift", "kl"):
        expected = sum(p * getattr(e, of) for p, e in zip(log_p.exp().tolist(), every, strict=True))
        assert expected == pytest.approx(exact, abs=1e-5)
    sampled = own.episodes(asked(1000), stream=0, number=2, group=2)
    figures = ppo.objective(sampled, ppo.Shaping(PRICE), own.config)
    for of, name in (("drift", "objective/kl_exact"), ("kl", "objective/kl")):
        values = torch.tensor([getattr(e, of) for e in sampled])
        assert abs(figures[name] - exact) < 3 * values.std().item() / len(values) ** 0.5
    assert [e.ended for e in every] == [r[-1] == STOP for r in EVERY]


def gradients(play: ppo.Play, advantages: Tensor, responses: list[tuple[int, ...]]) -> Tensor:
    """The policy's gradient from each response alone, at its advantages: `(responses, weights)`."""
    config, found = play.config, []
    in_loss = 0.0 if config.priced_in_reward else PRICE
    answered = [Example(Row("made", ()), PROMPT, (response,)) for response in responses]
    for own, episode in zip(advantages, play.measure(answered, blank(len(answered))), strict=True):
        targets = replace(
            ppo.targets_of([episode] * config.group, ppo.Shaping(PRICE), config),
            advantages=own[None, : episode.actions].float(),
        )
        given = (config, play.updater, play.forward, in_loss)
        ppo.mini_batch([episode.example], [0], targets, *given)
        by_token = config.algorithm == "ppo"  # a mean over as many tokens as there happen to be
        weights = list(play.updater.bare.policy.parameters())
        gradient = torch.cat([p.grad.flatten() for p in weights]).double()
        found.append(gradient * (episode.actions if by_token else 1))
        play.updater.optimizer.zero_grad()
    return torch.stack(found)


def mean_advantages(play: ppo.Play, log_p: Tensor) -> Tensor:
    """What the trainer gives each response, over all that may stand beside it: `(40, time)`."""
    answered = [Example(Row("made", ()), PROMPT, (response,)) for response in EVERY]
    episodes, group = play.measure(answered, play.judges.read(answered)), play.config.group
    side_by_side = [e for own in itertools.product(episodes, repeat=group) for e in own]
    found = ppo.targets_of(side_by_side, ppo.Shaping(PRICE), play.config).advantages
    of_first = found.view(len(EVERY), -1, group, LENGTH)[:, :, 0].double()
    beside = log_p.exp() if group == 2 else torch.ones(1, dtype=torch.float64)
    return (of_first * beside[None, :, None]).sum(1)


def objective(policy: Any, reference: Any, missing: float = 0.0) -> Tensor:
    """What is to rise: Σ π (R - price · log π/π_ref), less a penalty for what never ends."""
    log_p, log_q = chances(policy), chances(reference).detach()
    scores = [reward(r) - missing * (r[-1] != STOP) for r in EVERY]
    return (log_p.exp() * (torch.tensor(scores) - PRICE * (log_p - log_q))).sum()


def forward_kl(policy: Any, reference: Any) -> Tensor:
    """Whose gradient k3 has at ratio 1: Σ over visited states of KL(π_ref ‖ π)."""
    now, ref = tables(policy), tables(reference).detach()
    visits = chances(policy).exp().detach()
    each = (ref.exp() * (ref - now)).sum(-1)
    within = torch.tensor([[t < len(r) for t in range(LENGTH)] for r in EVERY])
    return (visits[:, None] * each * within).sum()


def expected(value: Tensor, policy: Any) -> Tensor:
    return torch.cat([g.flatten() for g in torch.autograd.grad(value, list(policy.parameters()))])


CASES: dict[str, dict[str, Any]] = {
    "rloo": {"algorithm": "rloo", "num_generations": 2, "missing_eos_penalty": 0.8},
    "grpo": {"kl_in_loss": False},
    "grpo, kl in the loss": {},
    "ppo": {
        "value_model": "shared", "whiten_advantages": False, "lam": 1.0, "vf_coef": 0.0,
        "missing_eos_penalty": 0.8,
    },
}  # fmt: skip
DR_GRPO = {
    "algorithm": "grpo", "num_generations": 2, "scale_rewards": "none", "loss_type": "dr_grpo",
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_gradient_is_on_average_that_of_the_objective(play, case: str) -> None:
    """Over all responses and all that may stand beside them, as often as they are drawn."""
    own = play(**CASES[case] | (DR_GRPO if "grpo" in case else {}))
    config = own.config
    policy, reference = plain(own)
    if config.priced_in_reward:
        aim = objective(policy, reference, config.missing_eos_penalty or 0.0)
        exact = -expected(aim, policy)
    else:
        score = (chances(policy).exp() * torch.tensor([reward(r) for r in EVERY])).sum()
        exact = -expected(score, policy) / 2 + PRICE * expected(
            forward_kl(policy, reference), policy
        )
    if config.algorithm == "grpo":
        exact = exact / LENGTH
        if config.priced_in_reward:  # the mean that is taken off has the response itself in it
            exact = exact / 2
    log_p = chances(policy).detach()
    each = gradients(own, mean_advantages(own, log_p), EVERY)
    found = (log_p.exp()[:, None] * each).sum(0)
    assert exact.norm().item() > 0.1
    assert (found - exact).norm().item() < 1e-5 * exact.norm().item()


@pytest.mark.parametrize("algorithm", ["rloo", "grpo"])
@pytest.mark.parametrize("equal", [0.1, 1000.1])
def test_where_all_rewards_of_a_group_are_equal_no_weight_moves(
    play, monkeypatch: pytest.MonkeyPatch, algorithm: str, equal: float
) -> None:
    """Not by a rounding error either, of which AdamW would make a whole step."""
    monkeypatch.setattr("tests.trainer.test_enumerated.reward", lambda _: equal)
    own = play(algorithm=algorithm, num_generations=3)
    before = copy.deepcopy(own.updater.bare.state_dict())
    episodes = own.episodes(asked(8), stream=0, number=1, group=3)
    assert len({e.example.responses for e in episodes}) > 2
    figures = ppo.update(episodes, ppo.Shaping(0.0), own.config, own.updater, own.forward, 1)
    assert figures["grad_norm"] == figures["loss"] == 0
    after = own.updater.bare.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
