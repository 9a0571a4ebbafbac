"""Figures for TensorBoard, wandb, trackio or MLflow beside the files, where that is asked for."""

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.trainer.failures import BadInput

PROJECT = "touchstone"
PACKAGES = {"tensorboard": ("tensorboard", "tensorboardX")}  # else named as the tracker


def require(name: str) -> None:
    """Stop with a sentence where the package of a tracker is missing."""
    packages = PACKAGES.get(name, (name,))
    if name != "none" and not any(importlib.util.find_spec(package) for package in packages):
        raise BadInput(
            f"report_to={name} needs the package {packages[0]}: `pip install {packages[0]}`, or "
            "leave report_to at none; the run folder has all figures."
        )


class Tracker:
    """One of accelerate's trackers, started for a run."""

    def __init__(self, name: str, folder: Path, settings: Mapping[str, Any]) -> None:
        """Start it.

        Raises:
            BadInput: with what the tracker said, when it cannot be started.

        """
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS  # noqa: PLC0415 - slow, rarely needed

        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        known: dict[str, dict[str, Any]] = {
            "tensorboard": {"run_name": "tensorboard", "logging_dir": folder},
            "wandb": {
                "run_name": PROJECT,
                "name": folder.name,
                "dir": os.environ.get("WANDB_DIR", str(folder)),
            },
            "trackio": {"run_name": PROJECT, "name": folder.name},
            "mlflow": {"experiment_name": PROJECT, "run_name": folder.name},
        }
        self.name = name
        plain = {k: v if isinstance(v, int | float | str) else str(v) for k, v in settings.items()}
        try:
            self.inner: Any = LOGGER_TYPE_TO_CLASS[name](**known[name])
            self.inner.start()
            self.inner.store_init_configuration(plain)
        except Exception as error:  # trackers raise anything, also when nobody is logged in
            raise BadInput(
                f"report_to={name} could not be started: {error}. Set it up, or leave report_to at "
                "none; the run folder has all figures."
            ) from error

    def log(self, step: int, metrics: Mapping[str, float]) -> str:
        """Pass figures on → a sentence where that failed, else ""; a run never ends for it."""
        try:
            self.inner.log(dict(metrics), step=step)
        except Exception as error:  # noqa: BLE001 - a network that is away, a disk that is full
            return (
                f"{self.name} took no figures at step {step}: {error}. They are in the run folder."
            )
        return ""

    def finish(self) -> None:
        """Let it write what it holds back."""
        self.inner.finish()
