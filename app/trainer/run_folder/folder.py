"""What a run writes, from config.json to result.json."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from app.run_config import MonitorSettings, RunConfig, defaults, to_mapping
from app.trainer.card import model_card
from app.trainer.failures import BadInput, Cancelled, is_disk_full, signals
from app.trainer.run_folder.console import Console
from app.trainer.run_folder.files import (
    append,
    discard,
    finite,
    keep_upto,
    read_config,
    replaced,
    tidy,
    write_whole,
)
from app.trainer.run_folder.tracker import Tracker, require
from app.trainer.run_folder.watch import DivergenceWatch

# Settings that may differ between a run and its resumption: they change no update.
FREE_ON_RESUME = frozenset(
    {"logging_steps", "eval_steps", "save_steps", "save_total_limit", "num_samples"}
    | {"max_eval_samples", "max_steps", "num_train_epochs", "total_episodes", "report_to"}
    | {"dataset", "model", "output", "reward_model_path"}  # paths: the content is compared
    | {f.name for f in fields(MonitorSettings)}  # they look, and may end a run; no update changes
)


# Lines for people, few enough to stand in each checkpoint: a worker resumes in another folder.
WARNINGS, FOR_PEOPLE = "warnings.jsonl", "for_people.jsonl"

# What a folder has once a run has really begun.
TRAINED = ("metrics.jsonl", "checkpoints", "model")


# Figures that describe the moment: the last value is written, not the mean since the last line.
LATEST = ("eval_", "learning_rate", "episode", "objective/kl_coef")


def unreadable(checkpoint: Path) -> BadInput:
    return BadInput(
        f"The checkpoint {checkpoint} cannot be read. Remove it to go on from the one before it, "
        "or begin anew with another --output."
    )


class RunFolder:
    """Everything a run writes. Only the main process writes; all processes may ask it to stop."""

    def __init__(self, path: Path, *, kind: str, main: bool = True) -> None:
        self.path, self.kind, self.main = path, kind, main
        self.started = time.time()
        self.before = 0.0  # seconds of earlier attempts
        self.total_steps = 0
        self.step = 0
        self.steps_per_epoch = 1.0
        self.start: dict[str, str] = {}
        self.last: dict[str, float] = {}
        self.notes: list[str] = []
        self.extra: dict[str, Any] = {}
        self._sums: dict[str, list[float]] = {}
        self.told: dict[str, list[dict[str, Any]]] = {WARNINGS: [], FOR_PEOPLE: []}
        self.stopped: list[str] = []  # why, and in a sentence, once it is to end early
        self.resuming = False
        self._console = Console()
        self._tracker: Tracker | None = None
        self.agree: Callable[[bool], bool] = bool  # with several processes: any of them

    # -- opening ------------------------------------------------------------------------------

    def open(self, config: RunConfig, inputs: Mapping[str, str], *, resume: bool) -> None:
        """Make the folder and write config.json.

        Raises:
            BadInput: when it holds another run, or one with other settings.

        """
        self.config, self.resuming = config, resume
        self._watch = DivergenceWatch(config)
        require(config.report_to)
        file = self.path / "config.json"
        if resume and not file.is_file() and not self._checkpoints():
            raise BadInput(
                f"There is nothing to resume: {self.path} holds no run. Leave out --resume to "
                "begin one, or name the folder of the run with --output."
            )
        if not resume and any((self.path / name).exists() for name in TRAINED):
            raise BadInput(
                f"{self.path} already holds a run. Choose another --output, or add --resume."
            )
        described = {"kind": self.kind, **inputs, **to_mapping(config)}
        if resume and file.is_file():
            self._compare(read_config(self.path), described)
        if self.main:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                tidy(self.path)
                tidy(self.path / "checkpoints")
                write_whole(file, json.dumps(described, indent=2, ensure_ascii=False) + "\n")
            except OSError as error:
                if is_disk_full(error):
                    raise
                raise BadInput(
                    f"The run folder {self.path} cannot be written: {error.strerror}. "
                    "Choose another --output."
                ) from error
            (self.path / "result.json").unlink(missing_ok=True)

    def _compare(self, stored: dict[str, Any], given: Mapping[str, Any]) -> None:
        if stored.get("kind", self.kind) != self.kind:
            raise BadInput(
                f"{self.path} holds a run of {stored['kind']}, which {self.kind} cannot resume. "
                "Choose another --output."
            )
        stored = defaults(self.kind) | stored  # a setting may be newer than the run
        changed = [k for k in given if k not in FREE_ON_RESUME and stored.get(k) != given[k]]
        if changed:
            raise BadInput(
                f"{self.path} was trained with other settings: "
                + ", ".join(f"{k} was {stored.get(k)!r}, now {given[k]!r}" for k in changed)
                + ". Resume with the same ones, or choose another --output."
            )

    def plan(self, *, total_steps: int, steps_per_epoch: float, start: Mapping[str, str]) -> None:
        """How long the run is, and hashes of the model and data it starts from."""
        self.total_steps, self.steps_per_epoch = total_steps, steps_per_epoch
        self.start = dict(start)
        if self.main and self.config.report_to != "none":
            settings = {"kind": self.kind, **to_mapping(self.config)}
            self._tracker = Tracker(self.config.report_to, self.path, settings)

    def describe_data(self, figures: Mapping[str, Any], sentences: Sequence[str]) -> None:
        """Keep what was read and left out for result.json, and say it."""
        self.extra["data"] = dict(figures)
        for sentence in sentences:
            self.note(sentence)

    def packs(self, able: bool) -> bool:  # noqa: FBT001 - a finding, passed through
        """Say it when the model cannot take packed rows."""
        if not able:
            self.note("This model cannot take packed rows; each row is padded instead (slower).")
        return able

    def stop_here(self, step: int, why: str, sentence: str) -> None:
        """End before the planned last step: `why` goes to result.json, the sentence to people."""
        self.total_steps = step
        self.stopped = [why, sentence]
        self.extra |= {"stopped": why, "stopped_because": sentence}
        self.note(sentence)

    # -- in the loop --------------------------------------------------------------------------

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Record an update; writes the mean since the last logged one.

        Evaluation figures (`eval_…`) are written as they are.

        Raises:
            Cancelled: once SIGTERM has come. The update is complete; the caller saves it.

        """
        self.step = step
        if sentence := self._watch.sees(step, metrics):
            self.warn(step, sentence)
        for name, value in metrics.items():
            self._sums.setdefault(name, []).append(float(value))
        every = self.config.logging_steps
        evaluated = any(name.startswith("eval_") for name in metrics)
        if step % every == 0 or step in (1, self.total_steps) or evaluated:
            means = {name: sum(v) / len(v) for name, v in self._sums.items()}
            means |= {k: v[-1] for k, v in self._sums.items() if k.startswith(LATEST)}
            self._sums.clear()
            self._write(step, means)
        self.check()

    def check(self) -> None:
        """Stop here if somebody asked for it; for the long stretches outside the loop."""
        if self.agree(signals.came):
            raise Cancelled(f"Cancelled after step {self.step}; add --resume to go on from there.")

    def _write(self, step: int, means: Mapping[str, float]) -> None:
        self.last |= means
        if not self.main:
            return
        row = {"step": step, "epoch": round(step / self.steps_per_epoch, 4), "time": time.time()}
        append(self.path / "metrics.jsonl", row | dict(means))
        self._console.step(step, self.total_steps, means)
        if self._tracker and (sentence := self._tracker.log(step, means)):
            self._tracker = None
            self.note(sentence)

    def sample(self, step: int, rows: list[dict[str, Any]]) -> None:
        """Texts for people to read."""
        if self.main:
            for row in rows:
                append(self.path / "samples.jsonl", {"step": step, **row})

    def warn(self, step: int, sentence: str) -> None:
        """Something that people should know at once, and in the end."""
        self.note(sentence)
        self._tell(WARNINGS, {"step": step, "message": sentence})

    def send(self, step: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Prompts with responses that people are to compare, ready for import."""
        for row in rows:
            self._tell(FOR_PEOPLE, {**row, "step": step})

    def _tell(self, name: str, row: dict[str, Any]) -> None:
        self.told[name].append(row)
        if self.main:
            append(self.path / name, row)

    def note(self, sentence: str) -> None:
        """Something the reader of the log and of result.json should know."""
        self.notes.append(sentence)
        self.say(sentence)

    def say(self, sentence: str) -> None:
        """Something for the log alone."""
        if self.main:
            self._console.say(sentence)

    def keep(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """A file of JSON lines, whole."""
        if self.main:
            lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            write_whole(self.path / name, "".join(lines))

    def note_if(self, sentence: str) -> None:
        """The same for a finding that may be empty."""
        if sentence:
            self.note(sentence)

    def eval_due(self, step: int) -> bool:
        every = self.config.eval_steps or -(-self.total_steps // 5)
        return step == self.total_steps or step % every == 0

    def save_due(self, step: int) -> bool:
        every = self.config.save_steps
        return step == self.total_steps or bool(every and step % every == 0)

    # -- checkpoints --------------------------------------------------------------------------

    def save_checkpoint(self, step: int, write: Callable[[Path], None], state: Any) -> None:
        """`checkpoints/step-N`, complete or not there: `write` puts the models into a folder.

        `state` (tensors, numbers, lists and dicts of them) is what the loop needs to go on. Every
        process calls `write`, which may have to put weights together; the main one keeps files.
        """
        final = self.path / "checkpoints" / f"step-{step}"
        if not self.main:
            write(final)
            return
        own = {
            "step": step,
            "seconds": self.seconds(),
            "sums": self._sums,
            "last": self.last,
            "start": self.start,
            "stopped": self.stopped,
            "watch": self._watch.state(),
            "told": self.told,
        }
        with replaced(final) as partial:
            write(partial)
            torch.save({"loop": state, "folder": own}, partial / "state.pt")
        limit = self.config.save_total_limit
        for old in self._checkpoints()[: -limit if limit else 0]:
            discard(self.path / "checkpoints" / f"step-{old}")

    def _checkpoints(self) -> list[int]:
        folders = (p for p in (self.path / "checkpoints").glob("step-*") if p.is_dir())
        numbers = (folder.name.removeprefix("step-") for folder in folders)
        return sorted(int(number) for number in numbers if number.isdecimal())  # else: a copy of it

    def kept(self) -> str:
        """Where a run that went wrong can be taken up."""
        steps = self._checkpoints()
        if not steps:
            return "No checkpoint had been saved (save_steps)."
        model = self.path / "checkpoints" / f"step-{steps[-1]}" / "model"
        return f"The last good weights are in {model}: a new run can begin there with --model."

    def load_checkpoint(self) -> tuple[int, Path, Any] | None:
        """The last checkpoint: step, folder, state; what was logged after it is forgotten.

        Raises:
            BadInput: when the run began with another model or other data.

        """
        steps = self._checkpoints()
        step = steps[-1] if steps else 0
        if self.main:
            for name in ("metrics.jsonl", "samples.jsonl", *self.told):
                keep_upto(self.path / name, step)
        if not steps:
            if self.resuming:
                self.note("The run has no checkpoint yet: it begins at the start.")
            return None
        folder = self.path / "checkpoints" / f"step-{step}"
        try:
            state = torch.load(folder / "state.pt", map_location="cpu", weights_only=True)
            own = state["folder"]
        except (OSError, EOFError, RuntimeError, UnpicklingError, KeyError, TypeError) as error:
            raise unreadable(folder) from error
        for what, found in self.start.items():
            if own["start"].get(what, found) != found:  # an older run may not have noted it
                raise BadInput(
                    f"The checkpoint at step {step} was trained on another {what} than the one "
                    "given now. Resume with the same one, or choose another --output."
                )
        self.step, self.before = step, own["seconds"]
        self._sums, self.last = own["sums"], own["last"]
        if watch := own.get("watch"):
            self._watch.load(watch)
        for name, rows in own.get("told", {}).items():
            self.told[name] = rows
            if rows:
                self.keep(name, rows)
        if own.get("stopped") and not (self.path / "model").is_dir():  # killed just before that
            self.stop_here(step, *own["stopped"])
        return step, folder, state["loop"]

    def save_model(self, write: Callable[[Path], None], *, base: str, dataset: Path) -> None:
        """The final model with its card, in `model/`; `write` as for a checkpoint."""
        if not self.main:
            write(self.path / "model")
            return
        card = model_card(
            self.kind,
            base=base,
            dataset=dataset.resolve().name,
            metrics=self.last,
            settings=to_mapping(self.config),
            sentences=self.extra.get("evaluation", {}).get("sentences", {}).values(),
        )
        with replaced(self.path / "model") as partial:
            write(partial)
            (partial / "README.md").write_text(card, encoding="utf-8")

    # -- the end ------------------------------------------------------------------------------

    def seconds(self) -> float:
        return self.before + time.time() - self.started

    def finish(self, state: str, *, error: str | None = None, exit_code: int = 0) -> None:
        """Write result.json: `{state, steps, seconds, metrics, error?}` and what else is known.

        `exit_code` is that of this process, which a launcher of several may not hand on.
        """
        if not self.main:
            return
        self._console.end()
        if self._tracker:
            self._tracker.finish()
        result: dict[str, Any] = {
            "state": state,
            "steps": self.step,
            "seconds": round(self.seconds(), 3),
            "metrics": {k: finite(v) for k, v in self.last.items()},
        }
        if error:
            result["error"] = error
        if exit_code:
            result["exit_code"] = exit_code
        result |= {"kind": self.kind, "notes": self.notes, **self.extra}
        if warnings := self.told[WARNINGS]:
            result["warnings"] = [row["message"] for row in warnings]
        if self.told[FOR_PEOPLE]:
            result["for_people"] = FOR_PEOPLE
        self.path.mkdir(parents=True, exist_ok=True)
        write_whole(
            self.path / "result.json", json.dumps(result, indent=2, ensure_ascii=False) + "\n"
        )
