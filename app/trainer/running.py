"""One training in its folder: settings, processes, and what result.json says in the end."""

import argparse
import contextlib
import gc
import json
import os
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.run_config import (
    ConfigError,
    DpoConfig,
    PpoConfig,
    RewardConfig,
    RunConfig,
    SftConfig,
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
)

AT_ONCE = "Stopped at once, within a step; add --resume to go on from the last checkpoint."


def quiet() -> None:
    """Libraries are loaded, and keep to themselves: standard output and error have readers."""
    from transformers.utils import logging  # noqa: PLC0415 - slow to load: not for --help

    gc.enable()
    logging.set_verbosity_error()
    logging.disable_progress_bar()


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
    from app.trainer import lm as models  # noqa: PLC0415
    from app.trainer.optimization import can_repeat  # noqa: PLC0415
    from app.trainer.processes import any_process, start_processes  # noqa: PLC0415

    quiet()
    can_repeat()
    device = models.pick_device(options.device)
    models.choose_attention(config.attn_implementation, device)
    models.choose_last_layer(sparse=config.sparse_last_layer)
    models.choose_norms(fused=config.fused_norms)
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
        text = file.read_text(encoding="utf-8-sig")  # some editors begin with a byte order mark
        found = tomllib.loads(text) if toml else json.loads(text)
    except OSError as error:
        raise BadInput(f"The settings in {file} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        language = "TOML" if toml else "JSON (a file of TOML ends in .toml)"
        raise BadInput(f"The settings in {file} cannot be read as {language}: {error}.") from error
    if not isinstance(found, dict):
        raise BadInput(f"The settings in {file} must be an object of names and values.")
    return found
