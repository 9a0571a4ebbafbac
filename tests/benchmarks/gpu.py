"""The trainer on a CUDA device: `python -m tests.benchmarks.gpu` (`make bench-gpu`).

DPO forward and backward on pairs shaped like HH, in bf16 on a Llama from scratch: padded, packed
with one dense mask, as lines for FlashAttention, with short passes, with FlexAttention, with parts
compiled; then generation with a growing cache that drops ended rows, with room, by recorded steps,
and transformers' own with a static cache. Prints the seconds of the first time (compiling), rates,
ratios, the share of the device's matrix peak that needed operations account for, and peak memory;
asserts nothing. About three minutes on one GPU. Without one it says so; `--device cpu --small` only
shows that it runs.
"""

import argparse
import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import LlamaForCausalLM

from app.run_config import DpoConfig
from app.trainer import dpo, losses
from app.trainer import lm as models
from app.trainer.batches import Example, Forward, lay_out, pieces
from app.trainer.optimization import can_repeat, in_order
from app.trainer.rollout import Sampling, generate, noise_seed
from tests.benchmarks.trainer import VOCABULARY, examples, llama, peak

Step = Callable[[], None]


@dataclass(frozen=True)
class Shape:
    hidden: int
    layers: int
    heads: int
    batch: int
    tokens: int  # of one forward pass
    new: int  # tokens of a response


LARGE = Shape(hidden=1024, layers=16, heads=16, batch=64, tokens=32768, new=128)
SMALL = Shape(hidden=64, layers=2, heads=4, batch=4, tokens=512, new=8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--slow", action="store_true", help="what is compiled first")
    options = parser.parse_args()
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print("No CUDA device here: run `make bench-gpu` on a machine that has one.")
        return
    device, shape = torch.device(options.device), SMALL if options.small else LARGE
    can_repeat()
    torch.manual_seed(0)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    best = peak(device, torch.bfloat16)
    print(f"{name}, torch {torch.__version__}, matrix peak {best / 1e12:.2f} TFLOP/s in bf16")
    body = sum(p.numel() for p in make_lm(shape).parameters())
    print(f"{body / 1e6:.0f} M parameters, batch {shape.batch}")
    training(shape, options.rounds, best, device, slow=options.slow)
    generation(shape, max(1, options.rounds // 2), device, slow=options.slow)


def make_lm(shape: Shape) -> Any:
    config = llama(shape.hidden, shape.layers, shape.heads)
    config.tie_word_embeddings = True
    return models.fuse_norms(
        models.attend_by_tree(models.without_dropout(LlamaForCausalLM(config)))
    )


# -- training ---------------------------------------------------------------------------------


def dpo_step(
    lm: Any, batch: list[Example], forward: Forward, how: str, *, same: bool, fused: bool
) -> None:
    models.choose_attention(how)
    models.choose_norms(fused=fused)
    device = lm.device
    for group in pieces(batch, forward):
        own = [batch[i] for i in group]
        layout = lay_out(own, packed=forward.packed).to(device)
        with models.autocast(device, bf16=forward.bf16):
            logps = models.target_logps(lm, layout)
        sums = losses.sum_by(logps, layout.owners, layout.responses)
        loss = dpo.batch_loss(own, sums, sums.detach(), DpoConfig())[0]
        with in_order(wanted=same and device.type == "cuda"):
            loss.backward()
    lm.zero_grad(set_to_none=True)


def training(shape: Shape, rounds: int, best: float, device: torch.device, *, slow: bool) -> None:
    """`slow`: only what is compiled, beside the best of the others."""
    lm = make_lm(shape).to(device)
    batch = examples(shape.batch, 2)
    long = Forward(packed=True, max_tokens=shape.tokens, bf16=True)
    short, padded = replace(long, max_tokens=shape.tokens // 4), replace(long, packed=False)

    def step(
        how: str, forward: Forward, model: Any = lm, *, same: bool = True, fused: bool = True
    ) -> Step:
        return lambda: dpo_step(model, batch, forward, how, same=same, fused=fused)

    steps = {"as it is": step("auto", long)}
    if slow:
        parts, layers = make_lm(shape).to(device), make_lm(shape).to(device)
        models.compile_parts(parts)
        for layer in layers.model.layers:
            layer.compile(dynamic=True)
        steps["norms and MLPs compiled"] = step("auto", long, parts)
        if device.type == "cuda":
            steps["FlexAttention"] = step("flex_attention", long)
        steps["layers compiled"] = step("auto", long, layers)
    else:
        steps |= {
            "in any order": step("auto", long, same=False),
            "norms of the model": step("auto", long, fused=False),
            "short passes": step("auto", short),
            "dense mask": step("sdpa", short, same=False),
            "padded": step("sdpa", padded, same=False),
        }
    work = needed(lm, batch)
    tokens = sum(e.size for e in batch)
    print(f"\nDPO, forward and backward in bf16, {tokens} tokens in passes of {shape.tokens}")
    first = 0.0
    for name, (seconds, memory, once) in compared(steps, device, rounds):
        first = first or seconds
        print(
            f"  {name:28} {once:6.1f} s {len(batch) / seconds:9.1f} pairs/s "
            f"{first / seconds:6.2f}x {work / seconds / best:5.0%} of the peak {memory:7.0f} MiB",
            flush=True,
        )


def needed(lm: Any, batch: list[Example]) -> float:
    """Operations of forward and backward that no implementation can avoid, attention left out."""
    body = sum(p.numel() for p in lm.model.layers.parameters())
    head = lm.config.hidden_size * VOCABULARY
    return sum(6.0 * (body * e.size + head * e.targets) for e in batch)


# -- generation -------------------------------------------------------------------------------


def generation(shape: Shape, rounds: int, device: torch.device, *, slow: bool) -> None:
    """`slow`: only transformers' own, beside the best of the others."""
    lm = make_lm(shape).to(device)
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

    steps: dict[str, Step] = {"as it is": lambda: ours(pack=8192)}
    if slow:
        steps["transformers, static cache"] = static
    else:
        steps |= {
            "without compaction": lambda: ours(pack=8192, compact=False),
            "steps not recorded": lambda: ours(pack=8192, recorded=False),
            "growing cache": lambda: ours(roomy=False),
        }
    print(f"\ngeneration, {len(prompts)} prompts, up to {shape.new} tokens, bf16")
    first = 0.0
    for name, (seconds, memory, once) in compared(steps, device, rounds):
        first = first or seconds
        rate = len(prompts) / seconds
        print(
            f"  {name:28} {once:6.1f} s {rate:9.1f} responses/s {first / seconds:6.2f}x "
            f"{memory:7.0f} MiB",
            flush=True,
        )


# -- measuring --------------------------------------------------------------------------------


def compared(
    steps: dict[str, Step], device: torch.device, rounds: int
) -> Iterator[tuple[str, tuple[float, float, float]]]:
    """Least seconds, most memory and the seconds of the first time, of one after the other."""
    for name, step in steps.items():
        once = timed(step, device)[0]
        turns = [timed(step, device) for _ in range(rounds)]
        yield name, (min(s for s, _ in turns), max(m for _, m in turns), once)


def timed(step: Step, device: torch.device) -> tuple[float, float]:
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
