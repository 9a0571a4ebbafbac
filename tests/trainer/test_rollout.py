"""Generation with a cache equals generation without one; chance is reproducible and right."""

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from app.trainer.lm import attend_by_tree, cache
from app.trainer.rollout import Sampling, choose, generate, lines, noise_seed
from tests.trainer.test_families import made as made_family

PROMPTS = [(5, 6, 7), (8, 9, 10, 11, 12, 13, 14), (20,), (30, 31, 32, 33)]


@pytest.fixture(scope="module")
def lm(micro: str):
    return AutoModelForCausalLM.from_pretrained(micro, dtype=torch.float32).eval()


def made(lm, sampling: Sampling, *, stops: frozenset = frozenset(), size: int = 4, seed: int = 0):
    seeds = [noise_seed(seed, i) for i in range(len(PROMPTS))]
    return generate(lm, PROMPTS, sampling, stop_ids=stops, seeds=seeds, batch_size=size)


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen2", "gemma2"])
@pytest.mark.parametrize("pack", [0, 12, 1000])
def test_prompts_in_packs_and_a_cache_with_room_change_nothing(family: str, pack: int) -> None:
    """Gemma 2 has layers that look back over a window: they keep the cache of transformers."""
    lm = made_family(family)
    asked = [PROMPTS[0], *PROMPTS, PROMPTS[2]]
    seeds = [noise_seed(0, i) for i in range(len(asked))]
    given = {"seeds": seeds, "batch_size": 6}
    usual = generate(lm, asked, Sampling(12), stop_ids=frozenset(), roomy=False, **given)
    stops = frozenset({usual[0][1], usual[1][3], usual[3][2]})
    usual = generate(lm, asked, Sampling(12), stop_ids=stops, roomy=False, **given)
    assert len({len(r) for r in usual}) > 1
    assert generate(lm, asked, Sampling(12), stop_ids=stops, pack=pack, **given) == usual


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen2", "gemma2"])
@pytest.mark.parametrize("compact", [True, False])
def test_steps_in_place_write_the_same(family: str, monkeypatch, *, compact: bool) -> None:
    """As a GPU records them: in a cache and a mask that never change their shape or place."""
    lm = made_family(family)
    asked = [PROMPTS[0], *PROMPTS, PROMPTS[2]]
    given = {"seeds": [noise_seed(0, i) for i in range(6)], "batch_size": 6, "pack": 1000}
    free = generate(lm, asked, Sampling(40), stop_ids=frozenset(), **given)
    stops = frozenset({free[0][1], free[1][3], free[3][2]})
    usual = generate(lm, asked, Sampling(40), stop_ids=stops, **given)
    recorded = []

    def record(step):
        recorded.append(step)
        return step

    monkeypatch.setattr(lines, "can_record", lambda _device: True)
    monkeypatch.setattr(lines, "record", record)
    assert generate(lm, asked, Sampling(40), stop_ids=frozenset(), **given) == free
    assert generate(lm, asked, Sampling(40), stop_ids=stops, compact=compact, **given) == usual
    assert bool(recorded) == (family != "gemma2")


@pytest.mark.parametrize("compact", [True, False])
def test_nothing_is_written_beyond_what_the_model_reads(*, compact: bool) -> None:
    """GPT-2 has a table of places, with nothing behind its end."""
    given = {"stop_ids": frozenset(), "seeds": range(4), "batch_size": 4, "compact": compact}
    short = made_family("gpt2", n_positions=24, max_position_embeddings=24)
    found = generate(short, PROMPTS, Sampling(40), **given)
    assert [len(p) + len(r) for p, r in zip(PROMPTS, found, strict=True)] == [24] * 4


@pytest.mark.parametrize("pack", [0, 1000])
def test_no_room_is_made_for_tokens_that_the_model_never_reads(lm, pack: int) -> None:
    """Whoever asks for as many as there may be gets the same, not 4 GB of noise for each."""
    first = made(lm, Sampling(12))
    stops = frozenset({response[3] for response in first})
    given = {"stop_ids": stops, "seeds": [noise_seed(0, i) for i in range(4)], "pack": pack}
    endless = generate(lm, PROMPTS, Sampling(10**9), batch_size=4, **given)
    assert endless == generate(lm, PROMPTS, Sampling(2048), batch_size=4, **given)


def test_a_token_is_written_where_there_is_room_for_it(lm, monkeypatch) -> None:
    places = set()
    real = cache.RoomyLayer.update

    def update(self, *given: Any):
        found = real(self, *given)
        if self.keys is not None:  # behind the prompts
            places.add(self.keys.data_ptr())
        return found

    monkeypatch.setattr(cache.RoomyLayer, "update", update)
    generate(lm, PROMPTS, Sampling(8), stop_ids=frozenset(), seeds=range(4), batch_size=4)
    assert len(places) == lm.config.num_hidden_layers


@pytest.mark.parametrize("bf16", [False, True])
def test_on_a_cpu_attention_over_a_cache_is_in_32_bit(lm, monkeypatch, *, bf16: bool) -> None:
    kinds = set()
    real = torch.nn.functional.scaled_dot_product_attention

    def attend(query, key, value, **named):
        kinds.update((query.dtype, key.dtype, value.dtype))
        return real(query, key, value, **named)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", attend)
    given = {"stop_ids": frozenset(), "seeds": range(4), "batch_size": 4, "bf16": bf16}
    generate(attend_by_tree(lm), PROMPTS, Sampling(4), pack=1000, **given)
    assert kinds == {torch.float32}


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


@pytest.mark.parametrize("family", ["mamba2", "lfm2", "qwen3_5_text", "falcon_h1"])
def test_a_state_is_remembered_like_keys_and_values(family: str) -> None:
    """Left padded, asked twice, and left by rows that have ended."""
    lm = made_family(family).eval()
    asked = [*PROMPTS, *PROMPTS[:2]]
    stops = frozenset({greedy_without_cache(lm, p, 12, frozenset())[4] for p in PROMPTS[:2]})
    wanted = [greedy_without_cache(lm, p, 12, stops) for p in asked]
    assert len({len(response) for response in wanted}) > 1
    given = {"stop_ids": stops, "seeds": [0] * len(asked)}
    for size in (1, len(asked)):
        assert generate(lm, asked, Sampling(12, 0), batch_size=size, **given) == wanted


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
