"""`python -m app.trainer`: train, make a model, score, generate. Each in a process of its own."""

import argparse
import faulthandler
import gc
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from app.run_config import KINDS, config_class, describe
from app.trainer.failures import (
    BadInput,
    DiskFull,
    Failure,
    OutOfMemory,
    ProcessLost,
    is_disk_full,
    is_out_of_memory,
    signals,
)
from app.trainer.running import quiet, run_training

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def main(arguments: list[str] | None = None) -> int:
    """Run one command → its exit code (0, 2 input, 3 memory, 4 not a number, 130 cancelled)."""
    options = parser().parse_args(arguments)
    signals.listen()  # before torch loads, which takes seconds
    gc.disable()  # of which a fifth went into looking for garbage among what stays
    if hasattr(signal, "SIGUSR1") and sys.stderr is sys.__stderr__:
        faulthandler.register(signal.SIGUSR1)  # whoever follows the run asks where it hangs
    try:
        try:
            return int(options.run(options))
        except Failure:
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise OutOfMemory(
                    "Out of memory. Lower --batch-size, or use --device cpu."
                ) from error
            if is_disk_full(error):  # an error of safetensors is no OSError
                raise DiskFull("The disk is full. Make room, then run it again.") from error
            if isinstance(error, BrokenPipeError):
                raise
            if isinstance(error, OSError) and error.filename and error.strerror:
                raise BadInput(f"{error.filename}: {error.strerror}.") from error
            raise
    except Failure as failure:
        print(failure, file=sys.stderr, flush=True)  # noqa: T201
        if isinstance(failure, ProcessLost):  # threads of the group may wait for the lost for long
            sys.stdout.flush()
            os._exit(failure.exit_code)
        return failure.exit_code
    except BrokenPipeError:  # the reader of standard output has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    finally:
        gc.enable()


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="app.trainer", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for kind in KINDS:
        add_train(commands, kind)
    add_new(commands)
    add_score(commands)
    add_generate(commands)
    devices = commands.add_parser("devices", help="The GPUs that torch finds here, as JSON.")
    devices.set_defaults(run=run_devices)
    add_play(commands)
    return top


def add_train(commands: Any, kind: str) -> None:
    first = (config_class(kind).__doc__ or "").splitlines()[0]
    settings = "\n".join(
        f"  {row['name']} = {row['default']}: {row['help']}" for row in describe(kind)
    )
    command = commands.add_parser(
        kind,
        help=first,
        description=first,
        epilog=f"settings (--set KEY=VALUE, or in --config):\n{settings}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--dataset", required=True, type=Path, metavar="DIR")
    command.add_argument("--model", required=True, metavar="DIR_OR_ID")
    command.add_argument("--output", type=Path, metavar="DIR", help="the run folder to write")
    command.add_argument("--config", type=Path, metavar="FILE", help="settings as JSON or TOML")
    command.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    command.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    command.add_argument(
        "--check", action="store_true",
        help="train a few updates only, keep nothing, and print steps, time and memory as JSON",
    )  # fmt: skip
    add_device(command)
    command.set_defaults(run=run_training, kind=kind)


def add_new(commands: Any) -> None:
    command = commands.add_parser(
        "new", help="Tokenizer and language model from scratch, for offline use."
    )
    command.add_argument("--size", required=True, choices=("tiny", "small"))
    command.add_argument("--corpus", required=True, nargs="+", type=Path, metavar="FILE")
    command.add_argument("--output", required=True, type=Path, metavar="DIR")
    command.add_argument("--steps", type=int, default=None, help="updates (default by size)")
    command.add_argument("--vocab-size", type=int, default=None, help="most tokens (by size)")
    command.add_argument("--learning-rate", type=float, default=2e-3)
    command.add_argument("--seed", type=int, default=42)
    add_device(command)
    command.set_defaults(run=run_new)


def add_score(commands: Any) -> None:
    command = commands.add_parser(
        "score", help="{prompt, responses} lines in, the same with scores out."
    )
    command.add_argument("--model", required=True, metavar="DIR_OR_ID")
    command.add_argument("file", type=Path, metavar="FILE", help="JSON lines, plain or .gz")
    command.add_argument("--output", type=Path, metavar="FILE", help="default: standard output")
    command.add_argument("--batch-size", type=int, default=32, help="lines at once")
    add_device(command)
    command.set_defaults(run=run_score)


def add_generate(commands: Any) -> None:
    command = commands.add_parser(
        "generate", help="Prompts in, lines ready for import with the model's responses out."
    )
    command.add_argument("--model", required=True, metavar="DIR_OR_ID")
    command.add_argument("file", type=Path, metavar="FILE", help="JSON lines, plain or .gz")
    command.add_argument(
        "--output", type=Path, metavar="FILE",
        help="default: standard output; a half-written file is continued",
    )  # fmt: skip
    command.add_argument("--n", type=int, default=4, help="responses per prompt")
    command.add_argument("--temperature", type=float, default=0.7, help="0 takes the likeliest")
    command.add_argument("--top-k", type=int, default=0, help="0 keeps all tokens")
    command.add_argument("--top-p", type=float, default=1.0)
    command.add_argument("--max-new-tokens", type=int, default=128)
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--batch-size", type=int, default=32, help="responses at once")
    command.add_argument("--source", help="name of the model in the lines (default: its folder)")
    add_device(command)
    command.set_defaults(run=run_generate)


def add_play(commands: Any) -> None:
    command = commands.add_parser("play", help="Answer a worker's orders with models kept loaded.")
    command.add_argument("inbox", type=Path, metavar="PIPE", help="where orders come from")
    command.add_argument("--idle", type=float, default=300.0, help="seconds before it ends itself")
    command.add_argument("--threads", type=int, default=1, help="threads for the arithmetic")
    add_device(command)
    command.set_defaults(run=run_play)


def add_device(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")


# -- commands ---------------------------------------------------------------------------------


def run_new(options: argparse.Namespace) -> int:
    from app.trainer.new_model import new_model  # noqa: PLC0415 - torch loads here

    quiet()
    new_model(
        options.size,
        options.corpus,
        options.output,
        steps=options.steps,
        vocab_size=options.vocab_size,
        learning_rate=options.learning_rate,
        seed=options.seed,
        device=options.device,
    )
    return 0


def run_score(options: argparse.Namespace) -> int:
    from app.trainer.score import score_file  # noqa: PLC0415 - torch loads here

    quiet()
    score_file(
        options.model,
        options.file,
        options.output,
        batch_size=options.batch_size,
        device=options.device,
    )
    return 0


def run_generate(options: argparse.Namespace) -> int:
    from app.trainer.generate import generate_file  # noqa: PLC0415 - torch loads here
    from app.trainer.rollout import Sampling  # noqa: PLC0415

    quiet()
    generate_file(
        options.model,
        options.file,
        options.output,
        sampling=Sampling(
            options.max_new_tokens, options.temperature, options.top_k, options.top_p
        ),
        n=options.n,
        seed=options.seed,
        batch_size=options.batch_size,
        source=options.source,
        device=options.device,
    )
    return 0


def run_devices(_: argparse.Namespace) -> int:
    import torch  # noqa: PLC0415

    found = [
        torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())
    ]
    gpus = [{"name": gpu.name, "memory": gpu.total_memory} for gpu in found]
    print(json.dumps({"gpus": gpus, "torch": torch.__version__}))  # noqa: T201
    return 0


def run_play(options: argparse.Namespace) -> int:
    from app.trainer.play import play  # noqa: PLC0415 - torch loads here

    quiet()
    play(options.inbox, idle=options.idle, device=options.device, threads=options.threads)
    return 0


if __name__ == "__main__":
    sys.exit(main())
