"""`python -m app.trainer`: train, make a model, score, generate. Each in a process of its own."""

import argparse
import contextlib
import faulthandler
import gc
import json
import os
import signal
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.run_config import (
    KINDS,
    ConfigError,
    DpoConfig,
    PpoConfig,
    RewardConfig,
    RunConfig,
    SftConfig,
    config_class,
    describe,
    parse_config,
)
from app.trainer.failures import (
    DISK_FULL,
    OUT_OF_MEMORY,
    PROCESS_LOST,
    BadInput,
    Cancelled,
    DiskFull,
    Diverged,
    Failure,
    OutOfMemory,
    ProcessLost,
    is_disk_full,
    is_out_of_memory,
    is_process_lost,
    signals,
)

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def quiet() -> None:
    """Libraries are loaded, and keep to themselves: standard output and error have readers."""
    from transformers.utils import logging  # noqa: PLC0415 - slow to load: not for --help

    gc.enable()
    logging.set_verbosity_error()
    logging.disable_progress_bar()


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
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                raise OutOfMemory(
                    "Out of memory. Lower --batch-size, or use --device cpu."
                ) from error
            raise
        except OSError as error:
            if is_disk_full(error):
                raise DiskFull("The disk is full. Make room, then run it again.") from error
            if error.filename and error.strerror and not isinstance(error, BrokenPipeError):
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


AT_ONCE = "Stopped at once, within a step; add --resume to go on from the last checkpoint."


# -- commands ---------------------------------------------------------------------------------


def run_training(options: argparse.Namespace) -> int:
    """One run in its folder; whatever happens, result.json says it."""
    if options.output is None and not options.check:
        raise BadInput("Name the run folder with --output.")
    try:
        config = parse_config(options.kind, chosen_settings(options))
    except ConfigError as error:
        raise BadInput(f"Settings: {error}") from error
    main_process = os.environ.get("RANK", "0") == "0"
    if options.check:
        return run_check(config, options, main_process=main_process)
    from app.trainer.run_folder import RunFolder  # noqa: PLC0415 - torch loads here

    folder = RunFolder(options.output, kind=options.kind, main=main_process)
    inputs = {
        "dataset": str(options.dataset), "model": options.model, "output": str(options.output)
    }  # fmt: skip
    folder.open(config, inputs, resume=options.resume)
    try:
        with told_as_failure():
            train(config, options, folder)
    except Cancelled as cancelled:
        folder.finish("cancelled", error=str(cancelled))
        raise
    except Diverged as diverged:
        told = Diverged(f"{diverged} {folder.kept()}")
        folder.finish("failed", error=str(told), exit_code=told.exit_code)
        raise told from diverged
    except DiskFull as full:
        with contextlib.suppress(OSError):  # there may be no room for it
            folder.finish("failed", error=str(full), exit_code=full.exit_code)
        raise
    except Failure as failure:
        folder.finish("failed", error=str(failure), exit_code=failure.exit_code)
        raise
    except SystemExit:
        folder.finish("cancelled", error=AT_ONCE)
        raise
    except BaseException as error:
        folder.finish("failed", error=f"{type(error).__name__}: {error}")
        raise
    folder.finish("succeeded")
    return 0


@contextlib.contextmanager
def told_as_failure() -> Iterator[None]:
    """Memory or disk that ran out, or a lost process, as a failure that says what to change."""
    try:
        yield
    except BaseException as error:
        if is_out_of_memory(error):
            raise OutOfMemory(OUT_OF_MEMORY) from error
        if is_disk_full(error):
            raise DiskFull(DISK_FULL) from error
        if is_process_lost(error):
            raise ProcessLost(PROCESS_LOST) from error
        raise


def run_check(config: RunConfig, options: argparse.Namespace, *, main_process: bool) -> int:
    """Rehearse the run; one JSON object on standard output says what it would be."""
    from app.trainer.rehearsal import rehearse  # noqa: PLC0415 - torch loads here

    def rehearsed(short: RunConfig, folder: Any) -> None:
        with told_as_failure():
            train(short, options, folder)

    report: dict[str, Any] = {"ok": False, "kind": options.kind}
    try:
        report = rehearse(config, options.kind, rehearsed, main=main_process)
    except Failure as failure:
        report |= {"error": str(failure), "exit_code": failure.exit_code}
        raise
    finally:
        if main_process:
            print(json.dumps(report, ensure_ascii=False))  # noqa: T201
    return 0


def train(config: RunConfig, options: argparse.Namespace, folder: Any) -> None:
    from app.trainer import dpo, ppo, reward, sft  # noqa: PLC0415
    from app.trainer.lm import choose_attention, choose_last_layer, pick_device  # noqa: PLC0415
    from app.trainer.processes import any_process, start_processes  # noqa: PLC0415

    quiet()
    device = pick_device(options.device)
    choose_attention(config.attn_implementation, device)
    choose_last_layer(sparse=config.sparse_last_layer)
    accelerator = start_processes(device)
    folder.agree = lambda flag: any_process(accelerator, flag=flag)
    try:
        folder.check()
        given = (options.dataset, options.model, folder, accelerator)
        match config:
            case SftConfig():
                sft.train(config, *given)
            case RewardConfig():
                reward.train(config, *given)
            case DpoConfig():
                dpo.train(config, *given)
            case PpoConfig():
                ppo.train(config, *given)
    finally:
        if not is_process_lost(sys.exception()):  # who is gone does not answer a farewell
            accelerator.end_training()  # else the group's threads may abort a process that ends


def chosen_settings(options: argparse.Namespace) -> dict[str, Any]:
    """--config, then --set over it; a resumed run starts from its own config.json."""
    settings: dict[str, Any] = {}
    if options.resume and options.output and (options.output / "config.json").is_file():
        from app.trainer.run_folder import read_config  # noqa: PLC0415 - torch loads here

        known = {row["name"] for row in describe(options.kind)}
        settings |= {k: v for k, v in read_config(options.output).items() if k in known}
    if options.config:
        settings |= read_settings(options.config)
    for pair in options.settings:
        name, equals, value = pair.partition("=")
        if not equals:
            raise BadInput(f"--set {pair}: write it as KEY=VALUE.")
        settings[name.strip()] = value.strip()
    return settings


def read_settings(file: Path) -> dict[str, Any]:
    toml = file.suffix == ".toml"
    try:
        text = file.read_text(encoding="utf-8")
        found = tomllib.loads(text) if toml else json.loads(text)
    except OSError as error:
        raise BadInput(f"The settings in {file} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        language = "TOML" if toml else "JSON (a file of TOML ends in .toml)"
        raise BadInput(f"The settings in {file} cannot be read as {language}: {error}.") from error
    if not isinstance(found, dict):
        raise BadInput(f"The settings in {file} must be an object of names and values.")
    return found


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
