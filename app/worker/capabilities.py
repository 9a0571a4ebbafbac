"""What this machine can do, found without loading torch into the worker."""

import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import structlog

from app.config import settings, usable_cores
from app.db import JsonObject
from app.jobs import Lane, queues_served
from app.worker.machine_memory import memory_limit

log = structlog.get_logger(__name__)

ROOT = Path(__file__).resolve().parent.parent.parent
ASK = (sys.executable, "-m", "app.trainer", "devices")
PATIENCE = 120.0  # seconds for torch to load from a slow disk
SIGNS = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/dxg")  # of a driver for GPUs
NEEDED = ("torch", "transformers", "accelerate", "peft")
GB = 1e9  # cards are sold by a billion bytes and hold a little more


@dataclass(frozen=True)
class Gpu:
    """A device that torch can use."""

    name: str
    memory: int  # bytes


def can_train() -> bool:
    """Whether the `train` extra is here, or something else is named that trains."""
    return bool(settings.train_command) or all(find_spec(name) is not None for name in NEEDED)


def gpus_for(device: str) -> tuple[Gpu, ...]:
    """The GPUs that a training on this device (auto, cpu, cuda, cuda:N) may use."""
    if device == "cpu":
        return ()
    found = gpus()
    number = device.removeprefix("cuda:")
    return found[int(number) : int(number) + 1] if number.isdigit() else found


@cache
def gpus() -> tuple[Gpu, ...]:
    """What torch sees here; a machine without a driver is not asked."""
    has_driver = shutil.which("nvidia-smi") or any(os.path.exists(sign) for sign in SIGNS)  # noqa: PTH110
    if not has_driver or not can_train():
        return ()
    try:
        said = subprocess.run(
            ASK, capture_output=True, check=True, timeout=PATIENCE, cwd=ROOT
        ).stdout
        return tuple(Gpu(gpu["name"], gpu["memory"]) for gpu in json.loads(said)["gpus"])
    except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
        log.warning("the GPUs of this machine could not be asked", error=str(error))
        return ()


def gpu_memory_gb() -> int | None:
    """What the largest GPU holds, of those that trainings here use; None where there is none."""
    usable = gpus_for(settings.train_device)
    return int(max(gpu.memory for gpu in usable) / GB) if usable else None


def capabilities() -> JsonObject:
    return {
        "trains": can_train(),
        "cores": usable_cores(),
        "memory": memory_limit(),
        "gpus": [asdict(gpu) for gpu in gpus_for(settings.train_device)],
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def queues_of(lane: Lane) -> list[str]:
    """The queues that a lane of this worker reads."""
    if lane is not Lane.TRAIN:
        return [lane.value]
    return queues_served(trains=can_train(), gpu_memory_gb=gpu_memory_gb())
