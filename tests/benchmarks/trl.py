"""The trainer beside TRL: `python -m tests.benchmarks.trl [--quick] [--only dpo] [--threads 2]`.

Both sides train the same Llama (4.7 M parameters and 2.1 M of embeddings) on the same batches of
8, with gradient checkpointing off and DPO's reference computed before; they take turns, so ratios
hold on a busy machine. Time is CPU seconds on one thread, wall time on more. `--device cuda` does
so on one GPU: a Llama of 205 M parameters and 8.4 M of embeddings, batches of 32, wall time, the
peak of the GPU's memory; 32 bit are 32 there, as neither side turns TF32 on. "Of the peak" counts
the operations that are strictly needed (prompt once, no padding, head and last feed-forward part
where read) against the best matrix product of that type measured here. Pairs are HH harmlessness
judgements where the shared data is there, else made up in their shape; of all draws of so few the
one is taken whose padded batches hold as much filling as those of all pairs. TRL lives in
environments of its own, which are made on first use (tests/parity), or beside what this runs with:
PPO needs another version, so there `--only sft --only reward --only dpo` and `--only ppo` are two
runs. Without a way to install it this says so and ends well.
"""

import argparse
import contextlib
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

from app.trainer.chat import ChatFormat, parse_transcript
from app.trainer.dataset import split_conversations
from app.trainer.new_model import make_tokenizer
from app.trainer.running import quiet
from tests.benchmarks.trainer import VOCABULARY, llama, peak
from tests.parity.environment import (
    HOME,
    TRL,
    TRL_WITH_PPO,
    NoEnvironment,
    environment,
    python_with,
)
from tests.shared_data import shared_rows
from tests.trainer import manners

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
KINDS = {"sft": "sft", "reward": "preference", "dpo": "preference", "ppo": "prompts"}
UNIT = {"sft": "rows", "reward": "pairs", "dpo": "pairs", "ppo": "episodes"}

OURS: dict[str, dict[str, Any]] = {
    "common": {
        "max_length": 1024, "shuffle": False, "num_samples": 0, "eval_steps": 10**6,
        "max_eval_samples": 1,
    },
    "ppo": {"num_ppo_epochs": 4},
}  # fmt: skip
THEIRS: dict[str, dict[str, Any]] = {
    "common": {
        "gradient_checkpointing": False, "save_strategy": "no", "report_to": [],
        "disable_tqdm": True, "logging_steps": 1,
    },
    "sft": {"assistant_only_loss": True, "max_length": 1024},
    "reward": {"max_length": 1024},
    "dpo": {"max_length": 1024, "precompute_ref_log_probs": True},
    "ppo": {
        "num_ppo_epochs": 4, "stop_token": "eos", "num_mini_batches": 1,
        "num_sample_generations": 0,
    },
}  # fmt: skip


@dataclass(frozen=True)
class Scale:
    """The shape of the Llama, and how much is done at once."""

    hidden: int
    layers: int
    heads: int
    batch: int
    longest: int  # tokens of a prompt with its response
    response: int  # most tokens that PPO writes
    steps: int  # in a turn


SCALES = {
    "cpu": Scale(256, 6, 8, batch=8, longest=1024, response=53, steps=2),
    # of 64 padded sequences of 1024 tokens TRL would keep some 90 GB of activations in 32 bit
    "cuda": Scale(1024, 16, 16, batch=32, longest=512, response=128, steps=4),
    "tiny": Scale(64, 2, 4, batch=4, longest=512, response=16, steps=1),
}


# -- the same world for both ------------------------------------------------------------------


def write_world(folder: Path, scale: Scale, rows: int) -> None:
    """Write `model`, `judge` and `data` for so many rows."""
    pairs = real_pairs() or made_up_pairs()
    texts = [m["content"] for pair in pairs for part in pair for m in part]
    tokenizer = make_tokenizer(texts, VOCABULARY)
    chat = ChatFormat(tokenizer)
    short = [p for p in pairs if fits(chat, p, scale.longest)]
    chosen = drawn(chat, short, rows, scale.batch)
    splits: dict[str, list[dict[str, Any]]] = {
        "preference": [{"prompt": p, "chosen": c, "rejected": r} for p, c, r in chosen],
        "sft": [{"messages": [*p, *c]} for p, c, _ in chosen],
        "prompts": [{"prompt": p} for p, _, _ in chosen],
    }
    for name, made in splits.items():
        manners.write_split(folder / "data", name, "train", made)
    settings = llama(scale.hidden, scale.layers, scale.heads).to_dict() | {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": None,
        "tie_word_embeddings": True,
    }
    torch.manual_seed(0)
    for name, kind in (("model", LlamaForCausalLM), ("judge", LlamaForSequenceClassification)):
        kind(LlamaConfig(**settings)).save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)


Pair = tuple[Sequence[dict], Sequence[dict], Sequence[dict]]  # prompt, chosen, rejected


def real_pairs() -> list[Pair]:
    found = []
    with contextlib.suppress(pytest.skip.Exception):
        for row in shared_rows("hh-harmless/pairs.jsonl.gz"):
            sides = (tuple(parse_transcript(row[k])) for k in ("chosen", "rejected"))
            found.append(split_conversations(*sides, "pair"))
    return found


def made_up_pairs() -> list[Pair]:
    rng = random.Random(0)

    def text(mean: int) -> str:
        length = max(3, min(4 * mean, int(rng.lognormvariate(0, 0.7) * mean * 0.6)))
        return " ".join("".join(rng.choices("aeiounrst", k=4)) for _ in range(length))

    return [
        (manners.ask(text(116)), manners.say(text(40)), manners.say(text(50))) for _ in range(800)
    ]


def fits(chat: ChatFormat, pair: Pair, longest: int) -> bool:
    """Neither side would cut or drop it, so batches stay the same."""
    prompt, *replies = pair
    return all(
        all(m["content"].strip() for m in reply)
        and len(chat.encode(chat.full_text([*prompt, *reply]))) <= longest
        for reply in replies
    )


def drawn(chat: ChatFormat, pairs: Sequence[Pair], rows: int, batch: int) -> list[Pair]:
    """So many pairs whose padded batches are as full as those of all: few may be far from it."""
    lengths = [
        [len(chat.encode(chat.full_text([*prompt, *reply]))) for reply in replies]
        for prompt, *replies in pairs
    ]

    def filling(indices: Sequence[int]) -> float:
        found = [lengths[i] for i in indices]
        batches = [found[i : i + batch] for i in range(0, len(found), batch)]
        return sum(2 * len(b) * max(map(max, b)) for b in batches) / sum(map(sum, found))

    usual = filling(random.Random(0).sample(range(len(pairs)), len(pairs)))
    draws = [random.Random(seed).choices(range(len(pairs)), k=rows) for seed in range(100)]
    best = min(draws, key=lambda draw: abs(filling(draw) - usual))
    print(f"padded, {filling(best):.2f} tokens for one that is wanted ({usual:.2f} in all pairs)")
    return [pairs[i] for i in best]


# -- two processes that take turns ------------------------------------------------------------


@dataclass(frozen=True)
class Turn:
    wall: float
    cpu: float
    peak_mib: float
    needed: float = 0.0


class Failed(Exception):
    """A side ended early; the sentence says why."""


@contextlib.contextmanager
def side(command: list[str], job: dict[str, Any], folder: Path) -> Iterator[subprocess.Popen]:
    """A process that trains a turn and waits."""
    folder.mkdir(parents=True)
    (folder / "job.json").write_text(json.dumps(job | {"output": str(folder / "run")}))
    with (folder / "errors").open("w") as errors:
        process = subprocess.Popen(
            [*command, str(folder / "job.json")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=HOME,
            env=environment(threads=job["threads"], device=job["device"]),
        )
        try:
            yield process
        except Failed:
            process.kill()  # whoever has not failed may be far from the end of a turn
            raise
        finally:
            process.stdin.close()
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()


def turn(process: subprocess.Popen, folder: Path) -> Turn:
    """Wait for the line that ends a turn; other lines are the trainer's own.

    Raises:
        Failed: when the process ends without it.

    """
    for line in process.stdout:
        if line.startswith('{"wall"'):
            return Turn(**json.loads(line))
    raise Failed(f"{folder.name} ended early:\n{(folder / 'errors').read_text()[-3000:]}")


def let_on(process: subprocess.Popen) -> None:
    process.stdin.write("\n")
    process.stdin.flush()


def version_for(kind: str) -> str:
    return TRL_WITH_PPO if kind == "ppo" else TRL


def compared(
    kind: str, world: Path, scale: Scale, *, bf16: bool, options: argparse.Namespace
) -> tuple[list[Turn], list[Turn]]:
    """The turns of TRL and of Touchstone, the first of each (it warms up) left out."""
    python = python_with(version_for(kind))
    home = world.parent / f"{kind}-{'bf16' if bf16 else 'fp32'}"
    job = {
        "kind": kind,
        "config": KINDS[kind],
        "data": str(world / "data"),
        "model": str(world / "model"),
        "judge": str(world / "judge"),
        "steps": options.steps,
        "threads": options.threads,
        "device": options.device,
    }
    total = (options.rounds + 1) * options.steps + 1
    start = {"model": str(world / "judge")} if kind == "reward" else {}
    both: dict[str, Any] = {"per_device_train_batch_size": scale.batch, "bf16": bf16}
    ours = OURS["common"] | OURS.get(kind, {}) | {"max_steps": total}
    ours |= {"dataset_config": KINDS[kind]}
    theirs = THEIRS["common"] | THEIRS[kind] | {"use_cpu": options.device == "cpu"}
    if kind == "ppo":
        both["response_length"] = scale.response
        ours |= {"reward_model_path": str(world / "judge"), "generation_batch_size": scale.batch}
        if options.shared_trunk:
            ours["value_model"] = "shared"
        theirs["total_episodes"] = total * scale.batch
        theirs["local_rollout_forward_batch_size"] = scale.batch
    else:
        theirs |= {"max_steps": total, "train_sampling_strategy": "sequential"}
    ours |= both | dict(pair.split("=", 1) for pair in options.set)
    theirs |= both
    here = [sys.executable, "-m", "tests.benchmarks.sides.ours"]
    there = [str(python), str(HOME / "tests/benchmarks/sides/theirs.py")]
    found: tuple[list[Turn], list[Turn]] = ([], [])
    names = (home / "TRL", home / "Touchstone")
    with (
        side(there, job | start | {"settings": theirs}, names[0]) as trl,
        side(here, job | start | {"settings": ours}, names[1]) as own,
    ):
        for number in range(options.rounds + 1):
            for place, process in enumerate((trl, own)):
                if number:  # they warm up at the same time, which saves some
                    let_on(process)
                found[place].append(turn(process, names[place]))
    return found[0][1:], found[1][1:]


def print_row(
    kind: str,
    dtype: str,
    turns: tuple[list[Turn], list[Turn]],
    best: float,
    scale: Scale,
    options: argparse.Namespace,
) -> None:
    """One line: rate, share of the peak and memory of both sides, and how they compare."""
    on_gpu = options.device == "cuda"

    def spent(own: Turn) -> float:
        return own.wall if on_gpu or options.threads > 1 else own.cpu

    cells, work = [], sum(t.needed for t in turns[1])
    for own in turns:
        busy = sum(t.wall if on_gpu else t.cpu for t in own)
        rate = len(own) * scale.batch * options.steps / sum(map(spent, own))
        cells.append(f"{rate:7.2f} {work / busy / best:5.0%} {max(t.peak_mib for t in own):6.0f}")
    ratios = [spent(a) / spent(b) for a, b in zip(*turns, strict=True)]
    middle = statistics.median(ratios)
    print(
        f"  {kind:7}{dtype:6}{UNIT[kind]:>9}  {cells[0]:>22}   {cells[1]:>22}"
        f"   {min(ratios):5.2f} {middle:5.2f} {max(ratios):5.2f}",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--scale", choices=SCALES, help="else by device; tiny shows that it runs")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, help="steps in a turn (cpu: 2, cuda: 4)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="one turn of one step, 32 bit")
    parser.add_argument("--only", choices=KINDS, action="append", help="may be given several times")
    parser.add_argument("--dtype", choices=DTYPES)
    parser.add_argument("--shared-trunk", action="store_true", help="PPO's values from the policy")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE",
        help="a setting of Touchstone's side, such as a lever to switch off: packing=false",
    )  # fmt: skip
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print("No CUDA device here.")
        return 0
    scale = SCALES[options.scale or options.device]
    options.steps = options.steps or scale.steps
    if options.quick:
        options.rounds = options.steps = 1
        options.dtype = options.dtype or "fp32"
    kinds = options.only or list(KINDS)
    try:
        for version in {version_for(kind) for kind in kinds}:
            python_with(version)
    except NoEnvironment as error:
        print(f"{error} There is nothing to compare with.")
        return 0
    quiet()
    torch.set_num_threads(1)
    began = time.perf_counter()
    bests = peaks(options)
    print(f"TRL {TRL} (PPO: {TRL_WITH_PPO}), batch {scale.batch}, {options.threads} threads a side")
    heads = "rate  peak    MiB"
    print(f"\n  {'':22}  {'TRL: ' + heads:>22}   {'here: ' + heads:>22}   ratio min/median/max")
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        world = Path(folder) / "world"
        write_world(world, scale, ((options.rounds + 1) * options.steps + 1) * scale.batch)
        for kind in kinds:
            for dtype, best in bests.items():
                try:
                    turns = compared(kind, world, scale, bf16=dtype == "bf16", options=options)
                    print_row(kind, dtype, turns, best, scale, options)
                except Failed as failure:  # the others may do
                    print(f"  {kind:7}{dtype:6}{failure}", flush=True)
                    failed = True
    print(f"\n{time.perf_counter() - began:.0f} s")
    return int(failed)


def peaks(options: argparse.Namespace) -> dict[str, float]:
    """The best matrix product in each wanted type, which is printed too."""
    device = torch.device(options.device)
    wanted = {options.dtype: DTYPES[options.dtype]} if options.dtype else DTYPES
    bests = {name: peak(device, dtype) for name, dtype in wanted.items()}
    one = "one thread"
    if device.type == "cuda":
        one = torch.cuda.get_device_name(device)
        torch.cuda.empty_cache()  # the sides need it
    print(f"matrix peak of {one}: ", end="")
    print(", ".join(f"{best / 1e9:.0f} GFLOP/s in {name}" for name, best in bests.items()))
    return bests


if __name__ == "__main__":
    sys.exit(main())
