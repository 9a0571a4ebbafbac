"""Generation with a cache equals generation without one; chance is reproducible and right."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from app.trainer.rollout import Sampling, choose, generate, noise_seed

PROMPTS = [(5, 6, 7), (8, 9, 10, 11, 12, 13, 14), (20,), (30, 31, 32, 33)]


@pytest.fixture(scope="module")
def lm(micro: str):
    return AutoModelForCausalLM.from_pretrained(micro, dtype=torch.float32).eval()


def made(lm, sampling: Sampling, *, stops: frozenset = frozenset(), size: int = 4, seed: int = 0):
    seeds = [noise_seed(seed, i) for i in range(len(PROMPTS))]
    return generate(lm, PROMPTS, sampling, stop_ids=stops, seeds=seeds, batch_size=size)


def greedy_without_cache(lm, prompt: tuple, count: int, stops: frozenset) -> list[int]:
    ids = list(prompt)
    while len(ids) < len(prompt) + count:
        with torch.no_grad():
            ids.append(int(lm(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
        if ids[-1] in stops:
            break
    return ids[len(prompt) :]


def test_greedy_text_is_that_of_the_plain_model_one_prompt_at_a_time(lm) -> None:
    responses = made(lm, Sampling(12, temperature=0))
    assert responses == [greedy_without_cache(lm, p, 12, frozenset()) for p in PROMPTS]


def test_rows_that_end_early_do_not_disturb_the_others(lm) -> None:
    """Stops are tokens that some rows reach soon, so that the cache is compacted on the way."""
    free = made(lm, Sampling(12, temperature=0.9))
    stops = frozenset({free[0][1], free[1][3], free[2][2]})
    stopped = made(lm, Sampling(12, temperature=0.9), stops=stops)
    for whole, cut in zip(free, stopped, strict=True):
        ends = [i for i, token in enumerate(whole) if token in stops]
        assert cut == (whole[: ends[0] + 1] if ends else whole)
    assert len({len(r) for r in stopped}) > 1


def test_the_batch_does_not_change_what_a_prompt_gets(lm) -> None:
    assert made(lm, Sampling(10), size=1) == made(lm, Sampling(10), size=4)


def test_another_seed_says_something_else(lm) -> None:
    assert made(lm, Sampling(10)) == made(lm, Sampling(10))
    assert made(lm, Sampling(10)) != made(lm, Sampling(10), seed=1)


def test_tokens_come_as_often_as_they_are_likely() -> None:
    probs = torch.tensor([0.1, 0.0, 0.6, 0.3])
    logits = probs.log().expand(20_000, 4)
    uniform = torch.rand(20_000, generator=torch.Generator().manual_seed(0))
    drawn = choose(logits, uniform, Sampling(1)).bincount(minlength=4) / 20_000
    assert drawn.tolist() == pytest.approx(probs.tolist(), abs=0.012)
    assert drawn[1] == 0


def test_temperature_top_k_and_top_p_narrow_the_choice() -> None:
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log().expand(5000, 4)
    uniform = torch.rand(5000, generator=torch.Generator().manual_seed(0))

    def seen(**settings) -> list[int]:
        return choose(logits, uniform, Sampling(1, **settings)).unique().tolist()

    assert seen() == [0, 1, 2, 3]
    assert seen(temperature=0) == [0]
    assert seen(top_k=2) == [0, 1]
    assert seen(top_p=0.8) == [0, 1]
    assert seen(top_p=0.81) == [0, 1, 2]
    assert seen(top_p=0.01) == [0]
    sharp = choose(logits, uniform, Sampling(1, temperature=0.5)).bincount()[0] / 5000
    assert sharp.item() == pytest.approx(0.25 / (0.25 + 0.09 + 0.0225 + 0.0025), abs=0.02)


@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-24])
def test_the_ends_of_chance_never_choose_the_impossible(uniform: float) -> None:
    logits = torch.tensor([[-torch.inf, 0.0, 1.0, -torch.inf]])
    assert choose(logits, torch.tensor([uniform]), Sampling(1)).item() in (1, 2)
