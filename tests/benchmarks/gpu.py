"""The trainer on a CUDA device: `python -m tests.benchmarks.gpu` (`make bench-gpu`).

DPO forward and backward on pairs shaped like HH, in bf16 on a Llama from scratch: padded, packed
with one dense mask, packed with FlexAttention, and that with the layers compiled; then generation
with a growing cache that drops ended rows, and transformers' own with a static cache. Variants take
turns. Prints rates, ratios, the share of the device's matrix peak that needed operations account
for, and peak memory; asserts nothing. About five minutes on one GPU. Without one it says so;
`--device cpu --small` only shows that it runs.
"""

import argparse
import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import LlamaForCausalLM

from app.run_config import DpoConfig
from app.trainer import dpo, losses
from app.trainer import lm as models
from app.trainer.batches import Example, Forward, lay_out, pieces
from app.trainer.lm.attention import suits
from app.trainer.rollout import Sampling, generate, noise_seed
from tests.benchmarks.trainer import VOCABULARY, examples, llama, peak


@dataclass(frozen=True)
class Shape:
    hidden: int
    layers: int
    heads: int
    batch: int
    tokens: int  # of one forward pass
    new: int  # tokens of a response


LARGE = Shape(hidden=1024, layers=16, heads=16, batch=64, tokens=8192, new=128)
SMALL = Shape(hidden=64, layers=2, heads=4, batch=4, tokens=512, new=8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print("No CUDA device here: run `make bench-gpu` on a machine that has one.")
        return
    device, shape = torch.device(options.device), SMALL if options.small else LARGE
    torch.manual_seed(0)
    lm = make_lm(shape).to(device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    best = peak(device, torch.bfloat16)
    print(f"{name}, torch {torch.__version__}, matrix peak {best / 1e12:.2f} TFLOP/s in bf16")
    print(f"{sum(p.numel() for p in lm.parameters()) / 1e6:.0f} M parameters, batch {shape.batch}")
    training(lm, shape, options.rounds, best)
    generation(lm, shape, max(1, options.rounds // 2))


def make_lm(shape: Shape) -> Any:
    config = llama(shape.hidden, shape.layers, shape.heads)
    config.tie_word_embeddings = True
    return models.attend_by_tree(models.without_dropout(LlamaForCausalLM(config)))


# -- training ---------------------------------------------------------------------------------


def dpo_step(lm: Any, batch: list[Example], forward: Forward, how: str) -> None:
    models.choose_attention(how)
    device = lm.device
    for group in pieces(batch, forward):
        own = [batch[i] for i in group]
        layout = lay_out(own, packed=forward.packed).to(device)
        with models.autocast(device, bf16=forward.bf16):
            logps = models.target_logps(lm, layout)
        sums = losses.sum_by(logps, layout.owners, layout.responses)
        dpo.batch_loss(own, sums, sums.detach(), DpoConfig())[0].backward()
    lm.zero_grad(set_to_none=True)


def training(lm: Any, shape: Shape, rounds: int, best: float) -> None:
    batch = examples(shape.batch, 2)
    packed = Forward(packed=True, max_tokens=shape.tokens, bf16=True)
    padded = replace(packed, packed=False)
    steps: dict[str, Callable[[], None]] = {
        "padded": lambda: dpo_step(lm, batch, padded, "sdpa"),
        "packed, dense mask": lambda: dpo_step(lm, batch, packed, "sdpa"),
    }
    with models.autocast(lm.device, bf16=True):
        has_flex = suits("flex", lm, lm.device)
    if has_flex:
        steps["packed, FlexAttention"] = lambda: dpo_step(lm, batch, packed, "flex_attention")
        compiled = make_lm(shape).to(lm.device)
        for layer in compiled.model.layers:
            layer.compile(dynamic=True)
        steps["the same, layers compiled"] = lambda: dpo_step(
            compiled, batch, packed, "flex_attention"
        )
    elif lm.device.type == "cpu":
        steps["packed, by example"] = lambda: dpo_step(lm, batch, packed, "auto")
    else:
        print("FlexAttention does not work here, so packs keep the dense mask.")
    work = needed(lm, batch)
    print("\nDPO, forward and backward in bf16")
    first = 0.0
    for name, (seconds, memory) in compared(steps, lm.device, rounds).items():
        first = first or seconds
        print(
            f"  {name:28} {len(batch) / seconds:9.1f} pairs/s {first / seconds:6.2f}x "
            f"{work / seconds / best:5.0%} of the peak {memory:7.0f} MiB"
        )


def needed(lm: Any, batch: list[Example]) -> float:
    """Operations of forward and backward that no implementation can avoid, attention left out."""
    body = sum(p.numel() for p in lm.model.layers.parameters())
    head = lm.config.hidden_size * VOCABULARY
    return sum(6.0 * (body * e.size + head * e.targets) for e in batch)


# -- generation -------------------------------------------------------------------------------


def generation(lm: Any, shape: Shape, rounds: int) -> None:
    prompts = [e.prompt for e in examples(shape.batch, 1, seed=1)]
    seeds = [noise_seed(0, i) for i in range(len(prompts))]
    stops = frozenset(range(1, VOCABULARY, shape.new // 2))  # half as long as the most, on average
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(p)) + list(p) for p in prompts], device=lm.device)
    mask = (ids != 0).long()

    def ours(**levers: Any) -> None:
        generate(
            lm, prompts, Sampling(shape.new), stop_ids=stops, seeds=seeds,
            batch_size=len(prompts), bf16=True, **levers,
        )  # fmt: skip

    halved = copy.deepcopy(lm).bfloat16()  # a static cache has the type of the weights

    def static() -> None:
        halved.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=shape.new, do_sample=True,
            top_k=0, eos_token_id=sorted(stops), pad_token_id=0, cache_implementation="static",
        )  # fmt: skip

    steps = {
        "growing cache": lambda: ours(compact=False, roomy=False),
        "growing cache, compaction": lambda: ours(roomy=False),
        "cache with room, compaction": ours,
        "the same, prompts packed": lambda: ours(pack=8192, recorded=False),
        "the same, steps recorded": lambda: ours(pack=8192),
        "recorded, without compaction": lambda: ours(pack=8192, compact=False),
        "transformers, static cache": static,
    }
    print(f"\ngeneration, {len(prompts)} prompts, up to {shape.new} tokens, bf16")
    first = 0.0
    for name, (seconds, memory) in compared(steps, lm.device, rounds).items():
        first = first or seconds
        rate = len(prompts) / seconds
        print(f"  {name:28} {rate:9.1f} responses/s {first / seconds:6.2f}x {memory:7.0f} MiB")


# -- measuring --------------------------------------------------------------------------------


def compared(
    steps: dict[str, Callable[[], None]], device: torch.device, rounds: int
) -> dict[str, tuple[float, float]]:
    """Least seconds and most memory of each; they take turns, the first (it compiles) left out."""
    found: dict[str, tuple[float, float]] = {}
    for turn in range(rounds + 1):
        for name, step in steps.items():
            seconds, memory = timed(step, device)
            if turn:
                least, most = found.get(name, (seconds, memory))
                found[name] = min(least, seconds), max(most, memory)
    return found


def timed(step: Callable[[], None], device: torch.device) -> tuple[float, float]:
    if device.type != "cuda":
        began = time.perf_counter()
        step()
        return time.perf_counter() - began, 0.0
    torch.cuda.reset_peak_memory_stats(device)
    torch.cuda.synchronize(device)
    began = time.perf_counter()
    step()
    torch.cuda.synchronize(device)
    return time.perf_counter() - began, torch.cuda.max_memory_allocated(device) / 2**20


if __name__ == "__main__":
    main()
