"""Responses of a language model to prompts, in batches."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from accelerate import Accelerator

from app.trainer.batches import Example
from app.trainer.chat import ChatFormat
from app.trainer.lm import autocast, limits_of, sharding_wanted
from app.trainer.processes import put_together, shares
from app.trainer.rollout.lines import go_on
from app.trainer.rollout.prompts import read_prompts
from app.trainer.rollout.sampling import Sampling, noise_seed, uniform


@torch.no_grad()
def generate(
    lm: Any,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    *,
    stop_ids: frozenset[int],
    seeds: Sequence[int],
    batch_size: int,
    bf16: bool = False,
    check: Callable[[], None] = lambda: None,
    pack: int = 0,
    compact: bool = True,
    roomy: bool = True,
    recorded: bool = True,
) -> list[list[int]]:
    """Token ids of one response per prompt, the stop token included where one was reached.

    A response ends where the model reads no further. Prompts of like length go together, and are
    read in packs of at most `pack` tokens where that is not 0; one that is asked several times is
    read once in each batch. A cache holds what was read: rows that have ended leave it, unless
    `compact` is off, and it has room for what is to come, unless `roomy` is off. On a CUDA device
    the step of a model that takes packs is recorded and played back, unless `recorded` is off.
    `check` is called between batches and may raise.
    """
    most = min(sampling.max_new_tokens, limits_of(lm).context)  # there is noise and room for each
    sampling = replace(sampling, max_new_tokens=most)
    was_training = lm.training
    lm.eval()
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
    responses: list[list[int]] = [[] for _ in prompts]
    try:
        for start in range(0, len(order), batch_size):
            check()
            rows = order[start : start + batch_size]
            noise = torch.stack([uniform(seeds[i], sampling.max_new_tokens) for i in rows])
            with autocast(lm.device, bf16=bf16):
                batch = [prompts[i] for i in rows]
                begun = read_prompts(lm, batch, pack, room=sampling.max_new_tokens if roomy else 0)
                found = go_on(
                    lm, begun, sampling, stop_ids, noise,
                    compact=compact, recorded=recorded and bool(pack),
                )  # fmt: skip
            for i, response in zip(rows, found, strict=True):
                responses[i] = response
    finally:
        lm.train(was_training)
    return responses


def answers(
    lm: Any,
    chat: ChatFormat,
    asked: Sequence[Example],
    sampling: Sampling,
    accelerator: Accelerator,
    *,
    seed: int,
    bf16: bool,
) -> list[list[int]]:
    """One response to each of a few prompts, with the same noise whenever they are asked.

    Every process writes some of them; with sharded weights all write all, in step.
    """
    every = 1 if sharding_wanted() else accelerator.num_processes
    mine = shares([len(example.prompt) for example in asked], every)
    own = mine[accelerator.process_index % every]
    found = generate(
        lm,
        [asked[place].prompt for place in own],
        sampling,
        stop_ids=chat.stop_ids,
        seeds=[noise_seed(seed, place) for place in own],
        batch_size=max(1, len(own)),
        bf16=bf16,
    )
    return found if every == 1 else put_together(accelerator, own, found)
