"""What the trainer learns: `python -m tests.benchmarks.learning [--real]`.

A model from scratch through SFT, reward model, DPO, PPO, RLOO and GRPO on a rule that can be
learned (polite beats rude, then shorter beats longer), tested on prompts it has not seen. With
`--real` a reward model on HH harmlessness judgements, split by first question, with a binomial test
against chance; that takes about ten minutes of CPU. Prints the curves; asserts nothing.
"""

import argparse
import contextlib
import gzip
import hashlib
import io
import json
import os
import tempfile
import time
import unicodedata
from pathlib import Path

from scipy.stats import binomtest

from app.trainer.__main__ import main as trainer
from tests.trainer import manners

HH = "data/hh-harmless/pairs.jsonl.gz"


def trained(kind: str, folder: Path, dataset: Path, model: Path, **settings: object) -> list[dict]:
    """Run one training and print where it began and ended → its metrics."""
    given = {"num_samples": 0, "logging_steps": 10, **settings}
    options = [part for k, v in given.items() for part in ("--set", f"{k}={v}")]
    names = ["--dataset", str(dataset), "--model", str(model), "--output", str(folder)]
    began = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        code = trainer([kind, *names, *options])
    if code:
        raise SystemExit(code)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    seconds = time.process_time() - began
    print(f"\n{folder.name}: {rows[-1]['step']} steps, {seconds:.0f} s of CPU")
    curve = [row for row in rows if any(name.startswith("eval_") for name in row)]
    for name in SHOWN[kind]:
        values = " ".join(f"{row[name]:8.3f}" for row in curve if name in row)
        print(f"  {name:28} {values}")
    told = json.loads((folder / "result.json").read_text()).get("evaluation", {})
    for sentence in told.get("sentences", {}).values():
        print(f"  {sentence}")
    return rows


SHOWN = {
    "sft": ("eval_loss", "eval_mean_token_accuracy"),
    "reward": ("eval_loss", "eval_accuracy", "eval_longer_wins"),
    "dpo": ("eval_loss", "eval_rewards/accuracies", "eval_rewards/margins"),
    "ppo": (
        "eval_objective/scores", "eval_objective/kl", "eval_tokens/response_length",
        "monitor/length_drift", "monitor/distinct", "monitor/distance",
    ),
}  # fmt: skip


def new(corpus: Path, folder: Path, steps: int) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        options = ["--size", "tiny", "--corpus", str(corpus), "--output", str(folder)]
        if trainer(["new", *options, "--steps", str(steps)]):
            raise SystemExit(1)


def made_up(home: Path) -> None:
    data = manners.write_dataset(home / "data", train=140, test=40, rounds=4)
    new(manners.write_corpus(home / "corpus.jsonl"), home / "base", 60)
    trained("sft", home / "sft", data, home / "base", max_steps=60, learning_rate=1e-3)
    start = home / "sft" / "model"
    rows = trained("reward", home / "reward", data, start, max_steps=60, learning_rate=5e-4)
    trained("dpo", home / "dpo", data, start, max_steps=60, learning_rate=2e-4)
    for algorithm in ("ppo", "rloo", "grpo"):  # the same number of episodes each
        played = trained(
            "ppo", home / algorithm, data, start, max_steps=20, learning_rate=3e-4,
            algorithm=algorithm, per_device_train_batch_size=32, response_length=32,
            num_ppo_epochs=1 if algorithm == "rloo" else 2, kl_budget=8, temperature=1.0,
            reward_model_path=home / "reward" / "model",
        )  # fmt: skip
        gain = played[-1]["eval_objective/scores"] - played[0]["objective/scores"]
        gain /= rows[-1]["eval_score_std"]
        print(f"  {algorithm} gained {gain:.2f} deviations of the reward model's scores")


def real(home: Path) -> None:
    """From-scratch reward model on judgements of people, tested on first questions never seen."""
    shared = os.environ.get("TOUCHSTONE_SHARED") or Path(__file__).parents[3] / "shared"
    file = next((p for n in (HH, HH[5:]) if (p := Path(shared) / n).is_file()), None)
    if file is None:
        print(f"\nno {HH} in {shared}: nothing real to learn from")
        return
    splits: dict[str, list[dict]] = {"train": [], "test": []}
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            pair = json.loads(line)
            first = pair["chosen"].partition("\n\nHuman: ")[2].partition("\n\nAssistant:")[0]
            words = " ".join(unicodedata.normalize("NFKC", first).casefold().split())
            held_out = hashlib.sha256(words.encode()).digest()[0] < 64
            row = {side: pair[side] for side in ("chosen", "rejected")}
            splits["test" if held_out else "train"].append(row)
    for split, rows in splits.items():
        manners.write_split(home / "hh", "hh-rlhf", split, rows)
    new(home / "hh" / "hh-rlhf" / "train.jsonl.gz", home / "hh-base", 300)
    last = trained(
        "reward", home / "hh-reward", home / "hh", home / "hh-base", num_train_epochs=2,
        learning_rate=3e-4, per_device_train_batch_size=16, max_length=512, max_eval_samples=0,
        lr_scheduler_type="cosine", warmup_ratio=0.05, weight_decay=0.1,
    )[-1]  # fmt: skip
    count = round(last["eval_pairs"])
    right = round(last["eval_accuracy"] * count)
    chance = binomtest(right, count, alternative="greater").pvalue
    print(
        f"\n{right} of {count} unseen pairs right ({right / count:.1%}); by chance p = {chance:.2g}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--real", action="store_true", help="also learn from real judgements")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made_up(Path(folder))
        if options.real:
            real(Path(folder))


if __name__ == "__main__":
    main()
