"""How fast the trainer is, and what each lever gives: `python -m tests.benchmarks.trainer`.

Batches shaped like HH harmlessness pairs (prompt 116, responses 40 and 50 tokens on average) on a
Llama from scratch, forward and backward on one thread, CPU seconds; the variants of a table take
turns, so that ratios hold on a busy machine. "Of the peak" counts the operations that are strictly
needed (prompt once, no padding, head and last feed-forward part where read) against the best matrix
product measured here.
Prints; asserts nothing. About three minutes.
"""

import argparse
import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

from app.run_config import DpoConfig, RewardConfig
from app.trainer import dpo, losses, reward
from app.trainer import lm as models
from app.trainer.batches import Example, Forward, Sampler, pieces
from app.trainer.dataset import Row
from app.trainer.lm.attention import mask_for
from app.trainer.reference import sequence_logps
from app.trainer.rollout import Sampling, generate, noise_seed

VOCABULARY = 8192
DEVICE = torch.device("cpu")


def llama(hidden: int, layers: int, heads: int) -> LlamaConfig:
    """A Llama of the usual proportions."""
    return LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=hidden,
        intermediate_size=hidden * 11 // 4,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=2048,
        num_labels=1,
        pad_token_id=0,
    )


SHAPE = llama(hidden=256, layers=6, heads=8)

PADDED = Forward(packed=False, max_tokens=10**9, bf16=False)
VARIANTS = {
    "one padded batch": PADDED,
    "padded, sorted pieces": replace(PADDED, max_tokens=1024),
    "packed, prompt repeated": Forward(
        packed=True, max_tokens=1024, bf16=False, share_prompt=False
    ),
    "packed, prompt shared": Forward(packed=True, max_tokens=1024, bf16=False),
    "the same in bf16": Forward(packed=True, max_tokens=1024, bf16=True),
}


def examples(count: int, responses: int, seed: int = 0) -> list[Example]:
    """Tasks with log-normal lengths around those of the real data."""
    rng = random.Random(seed)

    def ids(mean: int, least: int) -> tuple[int, ...]:
        length = max(least, min(4 * mean, int(rng.lognormvariate(0, 0.7) * mean * 0.8)))
        return tuple(rng.randrange(1, VOCABULARY) for _ in range(length))

    made = []
    for _ in range(count):
        ranks = tuple(range(1, responses + 1))
        row = Row("made", (), tuple(() for _ in ranks), ranks)
        made.append(Example(row, ids(116, 8), tuple(ids(40 + 10 * (r % 2), 3) for r in ranks)))
    return made


def sft_step(lm: LlamaForCausalLM, batch: list[Example], forward: Forward) -> None:
    for layout in layouts(batch, forward):
        with models.autocast(DEVICE, bf16=forward.bf16):
            logits = models.target_logits(lm, layout)
        losses.logps_of(logits, layout.targets).sum().backward()


def reward_step(scorer: models.Scorer, batch: list[Example], forward: Forward) -> None:
    for own, layout in zip(groups(batch, forward), layouts(batch, forward), strict=True):
        with models.autocast(DEVICE, bf16=forward.bf16):
            scores = scorer(layout, layout.ends)
        parts = reward.by_example(own, scores)
        sum(reward.task_loss(e, s, RewardConfig()) for e, s in parts).backward()


def dpo_step(lm: LlamaForCausalLM, batch: list[Example], forward: Forward) -> None:
    for own, layout in zip(groups(batch, forward), layouts(batch, forward), strict=True):
        with models.autocast(DEVICE, bf16=forward.bf16):
            logps = models.target_logps(lm, layout)
        sums = losses.sum_by(logps, layout.owners, layout.responses)
        dpo.batch_loss(own, sums, sums.detach(), DpoConfig())[0].backward()


def dpo_step_everywhere(lm: LlamaForCausalLM, batch: list[Example], forward: Forward) -> None:
    """The same with logits of every token, as most trainers compute them."""
    for own, layout in zip(groups(batch, forward), layouts(batch, forward), strict=True):
        with models.autocast(DEVICE, bf16=forward.bf16):
            logits = lm(
                input_ids=layout.input_ids,
                attention_mask=mask_for(lm, layout, torch.arange(layout.tokens)),
                position_ids=layout.position_ids,
                use_cache=False,
            ).logits
        logps = losses.logps_of(logits.flatten(0, 1)[layout.sources], layout.targets)
        sums = losses.sum_by(logps, layout.owners, layout.responses)
        dpo.batch_loss(own, sums, sums.detach(), DpoConfig())[0].backward()


def groups(batch: list[Example], forward: Forward) -> list[list[Example]]:
    return [[batch[i] for i in group] for group in pieces(batch, forward)]


def layouts(batch: list[Example], forward: Forward) -> list:
    return [forward.lay_out(group) for group in groups(batch, forward)]


def needed(batch: list[Example], config: LlamaConfig = SHAPE, *, head: bool) -> float:
    """Operations of forward and backward that no implementation can avoid."""
    hidden, layers = config.hidden_size, config.num_hidden_layers
    square, mlp = hidden**2, 3 * hidden * config.intermediate_size
    last = 2 * square + mlp  # of the last layer: query, output, feed-forward, where it is read
    body = layers * (4 * square + mlp + 2 * hidden) - last
    total = 0.0
    for e in batch:
        total += 6 * body * e.size + 6 * last * (e.targets if head else len(e.responses))
        behind = sum(len(r) * (len(e.prompt) + len(r) / 2) for r in e.responses)
        ends = sum(len(e.prompt) + len(r) for r in e.responses)
        keys = (layers - 1) * (len(e.prompt) ** 2 / 2 + behind) + (behind if head else ends)
        total += 3 * 4 * hidden * keys
        if head:
            total += 6 * hidden * config.vocab_size * e.targets
    return total


def peak(device: torch.device = DEVICE, dtype: torch.dtype = torch.float32) -> float:
    """Operations per second of the best matrix product: per CPU second, on a GPU by the clock."""
    on_gpu = device.type == "cuda"
    sizes, clock = ((8192,), synchronized) if on_gpu else ((512, 1024), time.process_time)
    window = 0.02 if on_gpu else 0.5  # of half a second; for longer a GPU may not hold its clock
    best = 0.0
    for size in sizes:
        a, b = (torch.randn(size, size, device=device).to(dtype) for _ in "ab")
        a @ b
        over = clock() + 0.5
        while (began := clock()) < over:
            done = 0
            while clock() - began < window:
                a @ b
                done += 1
            best = max(best, done * 2 * size**3 / (clock() - began))
    return best


def synchronized() -> float:
    """The clock once the GPU has done what it was given."""
    torch.cuda.synchronize()
    return time.perf_counter()


def compared(steps: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Least CPU seconds of each step; they take turns."""
    seconds = {name: [] for name in steps}
    for turn in range(rounds + 1):
        for name, step in steps.items():
            began = time.process_time()
            step()
            if turn:  # the first warms up
                seconds[name].append(time.process_time() - began)
    return {name: min(found) for name, found in seconds.items()}


def print_table(title: str, seconds: dict[str, float], work: float, best: float) -> None:
    print(f"\n{title}")
    first = next(iter(seconds.values()))
    for name, value in seconds.items():
        share = work / value / best
        print(f"  {name:28} {value:8.3f} s   {first / value:5.2f}x   {share:4.0%} of the peak")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=8)
    rounds, size = (options := parser.parse_args()).rounds, options.batch
    torch.set_num_threads(1)
    torch.manual_seed(0)
    best = peak()
    print(f"matrix peak of one thread: {best / 1e9:.0f} GFLOP/s in 32 bit")
    lm = models.attend_by_tree(models.without_dropout(LlamaForCausalLM(SHAPE)))
    judge = models.without_dropout(LlamaForSequenceClassification(SHAPE))
    scorer = models.Scorer(models.attend_by_tree(judge))
    print(f"{sum(p.numel() for p in lm.parameters()) / 1e6:.1f} M parameters, batch {size}")

    pairs, single = examples(size, 2), examples(size, 1)
    for title, step, model, batch, head in (
        ("supervised fine-tuning", sft_step, lm, single, True),
        ("reward model, pairs", reward_step, scorer, pairs, False),
        ("DPO, reference cached", dpo_step, lm, pairs, True),
    ):
        steps = {
            name: (lambda s=step, m=model, b=batch, f=forward: s(m, b, f))
            for name, forward in VARIANTS.items()
        }
        print_table(title, compared(steps, rounds), needed(batch, head=head), best)

    for responses in (3, 6, 9):
        whole_rankings(scorer, responses, max(size // responses, 1), rounds, best)
    levers(lm, pairs, rounds)
    grouping()
    generation(lm, size, rounds)


def whole_rankings(
    scorer: models.Scorer, responses: int, count: int, rounds: int, best: float
) -> None:
    """Every response of a task read once, against all its pairs (wanted: K/2 times faster)."""
    rankings = examples(count, responses)
    exploded = [
        replace(e, row=replace(e.row, replies=((), ()), ranks=(1, 2)), responses=(a, b))
        for e in rankings
        for i, a in enumerate(e.responses)
        for b in e.responses[i + 1 :]
    ]
    packed = VARIANTS["packed, prompt shared"]
    steps = {
        f"all {len(exploded) // count} pairs": lambda: reward_step(scorer, exploded, packed),
        f"rankings of {responses} at once": lambda: reward_step(scorer, rankings, packed),
    }
    title = f"reward model, rankings of {responses} (wanted: {responses / 2:g}x)"
    print_table(title, compared(steps, rounds), needed(rankings, head=False), best)


def levers(lm: LlamaForCausalLM, pairs: list[Example], rounds: int) -> None:
    """What each lever gives to DPO, by switching it off alone."""
    best = VARIANTS["the same in bf16"]

    def densely() -> None:
        models.choose_attention("sdpa")
        dpo_step(lm, pairs, best)
        models.choose_attention("auto")

    def wholly() -> None:
        models.choose_last_layer(sparse=False)
        dpo_step(lm, pairs, best)
        models.choose_last_layer(sparse=True)

    def with_reference() -> None:
        sequence_logps(lm, pairs, best)
        dpo_step(lm, pairs, best)

    steps = {
        "all of them": lambda: dpo_step(lm, pairs, best),
        "without packing": lambda: dpo_step(lm, pairs, replace(best, packed=False)),
        "without a shared prompt": lambda: dpo_step(lm, pairs, replace(best, share_prompt=False)),
        "without sparse attention": densely,
        "last layer whole": wholly,
        "head at every token": lambda: dpo_step_everywhere(lm, pairs, best),
        "without bf16": lambda: dpo_step(lm, pairs, replace(best, bf16=False)),
        "reference not cached": with_reference,
    }
    print("\nDPO, one lever switched off at a time")
    seconds = compared(steps, rounds)
    for name, value in seconds.items():
        print(f"  {name:28} {value:8.3f} s   {value / seconds['all of them']:5.2f}x")


def grouping(count: int = 1024, size: int = 8) -> None:
    """Filling that padded batches carry, with and without grouping by length: no clock needed."""
    rows = examples(count, 2)
    lengths = [e.length for e in rows]
    print("\nlength grouping (where rows are padded): tokens computed for one that is wanted")
    for group in (False, True):
        sampler = Sampler(lengths, batch=size, seed=0, shuffle=True, group=group)
        batches = [[lengths[i] for i in sampler.batch(s)] for s in range(count // size)]
        share = sum(max(b) * len(b) for b in batches) / sum(map(sum, batches))
        print(f"  {'grouped' if group else 'at random':28} {share:8.2f}")


def generation(lm: LlamaForCausalLM, size: int, rounds: int) -> None:
    """Responses with a cache and compaction, against every prompt on its own."""
    prompts = [e.prompt for e in examples(size, 1, seed=1)]
    seeds = [noise_seed(0, i) for i in range(size)]
    stops = frozenset(range(1, VOCABULARY, 24))  # ends after about 24 tokens

    def run(batch_size: int, *, pack: int = 1024, **levers: Any) -> list[list[int]]:
        return generate(
            lm, prompts, Sampling(64), stop_ids=stops, seeds=seeds, batch_size=batch_size,
            pack=pack, **levers,
        )  # fmt: skip

    lengths = [len(response) for response in run(size)]

    @torch.no_grad()
    def read_again() -> None:
        """Without a cache every token reads all that came before it."""
        for prompt, length in zip(prompts, lengths, strict=True):
            for more in range(length):
                ids = torch.tensor([[*prompt, *[1] * more]])
                lm(input_ids=ids, logits_to_keep=1, use_cache=False)

    steps = {
        "one at a time, no cache": read_again,
        "one at a time": lambda: run(1),
        "together, ended rows stay": lambda: run(size, compact=False),
        "together, cache grows": lambda: run(size, pack=0, roomy=False),
        "together, prompts padded": lambda: run(size, pack=0),
        "together": lambda: run(size),
    }
    seconds = compared(steps, rounds)
    print("\ngeneration, up to 64 tokens")
    first = next(iter(seconds.values()))
    for name, value in seconds.items():
        print(f"  {name:28} {value:8.3f} s   {first / value:5.2f}x")


if __name__ == "__main__":
    main()
