"""Progress, for people at a terminal and for logs."""

import shutil
import sys
from collections.abc import Mapping

SHOWN = (
    "loss", "accuracy", "mean_token_accuracy", "rewards/accuracies", "objective/scores",
    "objective/kl", "loss/policy_avg", "loss/value_avg", "tokens/response_length", "eval_loss",
    "eval_accuracy", "eval_rewards/accuracies", "learning_rate",
)  # fmt: skip


class Console:
    """Progress for people: one moving line on a terminal, plain lines elsewhere."""

    def __init__(self) -> None:
        self.moving = sys.stdout.isatty()
        self.dirty = False

    def step(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        shown = [k for k in SHOWN if k in metrics]
        figures = "  ".join(f"{name} {metrics[name]:.4g}" for name in shown)
        if self.moving:
            width = 20
            bar = "█" * (width * step // max(total, 1))
            line = f"{bar:·<{width}} {step}/{total}  {figures}"
            columns = shutil.get_terminal_size().columns - 1
            print(f"\r\x1b[K{line[:columns]}", end="", flush=True)  # noqa: T201
            self.dirty = True
        else:
            print(f"step {step}/{total}  {figures}", flush=True)  # noqa: T201

    def say(self, sentence: str) -> None:
        self.end()
        print(sentence, flush=True)  # noqa: T201

    def end(self) -> None:
        if self.dirty:
            print(flush=True)  # noqa: T201
            self.dirty = False


class Progress:
    """The same for commands that write their result to standard output: on standard error."""

    def __init__(self, name: str, total: int) -> None:
        self.name, self.total = name, total
        self.moving = sys.stderr.isatty()
        self.spoken = 0

    def at(self, done: int, figures: str = "") -> None:
        line = f"{self.name} {done}/{self.total}  {figures}".rstrip()
        if self.moving:
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)  # noqa: T201
        elif done == self.total or done >= self.spoken + max(self.total // 20, 1):
            self.spoken = done
            print(line, file=sys.stderr, flush=True)  # noqa: T201

    def end(self) -> None:
        if self.moving:
            print(file=sys.stderr, flush=True)  # noqa: T201
