"""Stands in for `python -m app.trainer`: writes a run folder as the contract says, learns nothing.

`FAKE_TRAINER` (JSON) says how it behaves: steps, pace (seconds per step), save (every so many
steps), end (exit code instead of success), at (the step of that end), says (its last line), forks
(leaves a child of its own behind), partial (writes metrics in halves), deaf (ignores SIGTERM),
skips (prompts that it leaves out), wait (after so many prompts, until it is told to end), hang (the
step at which it stands still), halt (the step at which it halts itself), judges (by lengths, or by
numbers of the prompts), once (comes to grief only when it does not resume), bulk (bytes of each
checkpoint).
"""

import argparse
import faulthandler
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

BEHAVIOUR = {
    "steps": 5,
    "pace": 0.02,
    "save": 0,
    "end": 0,
    "at": 3,
    "says": "",
    "forks": "",
    "partial": False,
    "deaf": False,
    "skips": 0,
    "wait": -1,
    "judges": "lengths",
    "hang": 0,
    "halt": 0,
    "once": False,
    "bulk": 0,
} | json.loads(os.environ.get("FAKE_TRAINER", "{}"))

asked_to_end = False


def hear(*_: object) -> None:
    global asked_to_end  # noqa: PLW0603
    asked_to_end = True


def append(file: Path, row: dict[str, object]) -> None:
    line = json.dumps(row) + "\n"
    with file.open("a", encoding="utf-8") as lines:
        if BEHAVIOUR["partial"]:
            lines.write(line[:5])
            lines.flush()
            time.sleep(0.05)
            line = line[5:]
        lines.write(line)


def save(output: Path, step: int) -> None:
    folder = output / "checkpoints" / f"step-{step}"
    partial = folder.with_name(f".{folder.name}.partial")
    partial.mkdir(parents=True)
    (partial / "state.txt").write_text(str(step))
    (partial / "bulk.bin").write_bytes(b"\1" * int(BEHAVIOUR["bulk"]))
    partial.rename(folder)


def result(output: Path, state: str, step: int) -> None:
    found = {"state": state, "steps": step, "seconds": 1.0, "metrics": {"loss": 1 / (step + 1)}}
    if BEHAVIOUR["says"]:
        found["error"] = BEHAVIOUR["says"]
    (output / "result.json").write_text(json.dumps(found))


def stand_still() -> None:
    """Neither compute nor write nor end."""
    threading.Event().wait()


def new_model(options: argparse.Namespace) -> int:
    options.output.mkdir(parents=True)
    (options.output / "config.json").write_text("{}")
    (options.output / "model.safetensors").write_text("weights")
    return 0


def train(options: argparse.Namespace) -> int:
    output = options.output
    output.mkdir(parents=True, exist_ok=True)
    (output / "config.json").write_text(options.config.read_text())
    saved = [int(p.name[5:]) for p in (output / "checkpoints").glob("step-*")]
    begin = max(saved, default=0) if options.resume else 0
    if BEHAVIOUR["forks"]:
        child = subprocess.Popen(["sleep", "600"])
        Path(str(BEHAVIOUR["forks"])).write_text(str(child.pid))
    fails = not (BEHAVIOUR["once"] and options.resume)
    print("loading", flush=True)
    for step in range(begin + 1, int(BEHAVIOUR["steps"]) + 1):
        time.sleep(float(BEHAVIOUR["pace"]))
        append(output / "metrics.jsonl", {"step": step, "epoch": 1.0, "loss": 1 / step})
        append(output / "samples.jsonl", {"step": step, "prompt": "Hi", "response": f"at {step}"})
        if BEHAVIOUR["save"] and step % int(BEHAVIOUR["save"]) == 0:
            try:
                save(output, step)
            except OSError as error:
                print(f"The disk is full ({error.strerror}).", file=sys.stderr)
                return 1
        if fails and step == BEHAVIOUR["hang"]:
            stand_still()
        if fails and step == BEHAVIOUR["halt"]:
            os.kill(os.getpid(), signal.SIGSTOP)
        if asked_to_end and not BEHAVIOUR["deaf"]:
            if not (output / "checkpoints" / f"step-{step}").exists():
                save(output, step)
            result(output, "cancelled", step)
            return 130
        if fails and BEHAVIOUR["end"] and step == BEHAVIOUR["at"]:
            print(BEHAVIOUR["says"], file=sys.stderr, flush=True)
            if int(BEHAVIOUR["end"]) < 0:
                os.kill(os.getpid(), -int(BEHAVIOUR["end"]))
            result(output, "failed", step)
            return int(BEHAVIOUR["end"])
    model = output / "model"
    model.mkdir()
    (model / "config.json").write_text(json.dumps({"from": options.model, "began": begin}))
    (model / "model.safetensors").write_text("weights")
    result(output, "succeeded", int(BEHAVIOUR["steps"]))
    return 0


def generate(options: argparse.Namespace) -> int:
    lines = [json.loads(line) for line in options.file.read_text().splitlines()]
    lines = lines[int(BEHAVIOUR["skips"]) :]
    with options.output.open("a", encoding="utf-8") as output:
        for number, line in enumerate(lines):
            while number == BEHAVIOUR["wait"] and not asked_to_end:
                time.sleep(0.01)
            time.sleep(float(BEHAVIOUR["pace"]))
            by = f"at {options.temperature} to {line['id']} by {options.source}"
            texts = [f"reply {k} {by}" for k in range(options.n)]
            if BEHAVIOUR["says"] == "same":
                texts = ["always this"] * options.n
            responses = [{"text": text, "source": options.source} for text in texts]
            output.write(json.dumps({**line, "responses": responses}) + "\n")
            output.flush()
            if asked_to_end:
                return 130
            if BEHAVIOUR["end"] and number + 1 == BEHAVIOUR["at"]:
                print(BEHAVIOUR["says"], file=sys.stderr)
                return int(BEHAVIOUR["end"])
    return 0


def score(options: argparse.Namespace) -> int:
    """Longer is better; of those judged by numbers, it is the surer the larger the prompt's."""
    with options.output.open("a", encoding="utf-8") as output:
        for line in map(json.loads, options.file.read_text().splitlines()):
            time.sleep(float(BEHAVIOUR["pace"]))
            texts = [r["text"] if isinstance(r, dict) else r for r in line["responses"]]
            scores = [float(len(text)) for text in texts]
            if BEHAVIOUR["judges"] == "numbers":
                number = int(re.findall(r"\d+", line["prompt"][-1]["content"])[-1])
                scores = [float(k * number) for k in range(len(texts))]
            output.write(json.dumps(line | {"scores": scores}) + "\n")
            output.flush()
            if asked_to_end:
                return 130
    return 0


def main() -> int:
    signal.signal(signal.SIGTERM, hear)
    faulthandler.register(signal.SIGUSR1)
    parser = argparse.ArgumentParser()
    parser.add_argument("command")
    parser.add_argument("file", type=Path, nargs="?")
    for name in ("--dataset", "--output", "--config"):
        parser.add_argument(name, type=Path)
    for name in ("--n", "--steps", "--seed", "--max-new-tokens"):
        parser.add_argument(name, type=int)
    for name in ("--temperature", "--top-p"):
        parser.add_argument(name, type=float)
    parser.add_argument("--source")
    parser.add_argument("--corpus", nargs="+", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--size")
    parser.add_argument("--device")
    parser.add_argument("--resume", action="store_true")
    options = parser.parse_args()
    match options.command:
        case "new":
            return new_model(options)
        case "generate":
            return generate(options)
        case "score":
            return score(options)
        case _:
            return train(options)


if __name__ == "__main__":
    sys.exit(main())
