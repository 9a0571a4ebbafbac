"""Commands that train and use models; `python -m app.trainer` does it, and loads torch."""

import importlib.util
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from app.cli.terminal import fail

NEEDS = ("torch", "transformers", "accelerate", "peft", "safetensors", "tokenizers")

model = typer.Typer(help="Models of your own.", no_args_is_help=True)


class Kind(StrEnum):
    SFT = "sft"
    REWARD = "reward"
    DPO = "dpo"
    PPO = "ppo"


class Size(StrEnum):
    TINY = "tiny"
    SMALL = "small"


Device = Annotated[
    str | None, typer.Option(help="auto, cpu, cuda or cuda:N; auto takes a GPU where there is one.")
]
Model = Annotated[str, typer.Option(metavar="DIR_OR_ID", help="A folder, or a name on the hub.")]
File = Annotated[Path, typer.Argument(metavar="FILE", help="JSON lines, plain or .gz.")]
Output = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Where to write; else to standard output.")
]


def add_to(app: typer.Typer) -> None:
    app.command()(train)
    app.add_typer(model, name="model")
    app.command()(score)
    app.command()(generate)


def train(
    kind: Annotated[Kind, typer.Argument(help="What to train.")],
    more_settings: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", hidden=True)
    ] = None,
    *,
    dataset: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Dataset folder, as a snapshot writes it.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="DIR_OR_ID", help="A folder, or a name on the hub.")
    ] = None,
    output: Annotated[Path | None, typer.Option(metavar="DIR", help="Run folder to write.")] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Settings as JSON or TOML.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="One setting; may be repeated."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint in the run folder.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Try a few updates, keep nothing; steps, time, memory as JSON."
        ),
    ] = False,
    device: Device = None,
    list_settings: Annotated[
        bool, typer.Option("--list-settings", help="List the settings of this kind, and stop.")
    ] = False,
) -> None:
    """Train a model on a dataset folder, without a server."""
    if list_settings:
        print_settings(kind)
        return
    for name, value in (("--dataset", dataset), ("--model", model), ("--output", output)):
        if value is None and not (check and name == "--output"):
            fail(f"Name the {name[2:]} with {name}; `touchstone train {kind} --help` has all.")
    chosen = [*(settings or []), *(more_settings or [])]
    start_trainer(
        kind,
        *("--dataset", str(dataset), "--model", str(model)),
        *option("--output", output),
        *option("--config", config),
        *(part for setting in chosen for part in ("--set", setting)),
        *(["--resume"] if resume else []),
        *(["--check"] if check else []),
        *option("--device", device),
    )


@model.command("new")
def new_model(
    more_files: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE]...", hidden=True)
    ] = None,
    *,
    size: Annotated[Size, typer.Option(help="How large.")],
    corpus: Annotated[
        list[Path], typer.Option(metavar="FILE...", help="Text or JSON lines to learn from.")
    ],
    output: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write.")],
    steps: Annotated[int | None, typer.Option(min=0, help="Updates; the size decides.")] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same model.")] = 42,
    device: Device = None,
) -> None:
    """Make a tokenizer and a language model from scratch, for offline use."""
    files = [str(file) for file in (*corpus, *(more_files or []))]
    start_trainer(
        "new",
        *("--size", size, "--output", str(output), "--seed", str(seed)),
        *option("--steps", steps),
        *option("--device", device),
        *("--corpus", *files),
    )


def score(
    file: File,
    *,
    model: Model,
    output: Output = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Lines at once.")] = None,
    device: Device = None,
) -> None:
    """Score responses with a reward model: {prompt, responses} in, the same with `scores` out."""
    start_trainer(
        "score",
        *("--model", model),
        *option("--output", output),
        *option("--batch-size", batch_size),
        *option("--device", device),
        str(file),
    )


def generate(
    file: File,
    *,
    model: Model,
    output: Output = None,
    n: Annotated[int, typer.Option("--n", min=1, help="Responses per prompt.")] = 4,
    temperature: Annotated[float | None, typer.Option(min=0, help="0 takes the likeliest.")] = None,
    top_k: Annotated[int | None, typer.Option(min=0, help="0 keeps all tokens.")] = None,
    top_p: Annotated[float | None, typer.Option(min=0, max=1)] = None,
    max_new_tokens: Annotated[int | None, typer.Option(min=1)] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same responses.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Responses at once.")] = None,
    device: Device = None,
) -> None:
    """Answer prompts with a model: `prompts` lines in, lines ready for import out."""
    start_trainer(
        "generate",
        *("--model", model, "--n", str(n)),
        *option("--temperature", temperature),
        *option("--top-k", top_k),
        *option("--top-p", top_p),
        *option("--max-new-tokens", max_new_tokens),
        *option("--seed", seed),
        *option("--batch-size", batch_size),
        *option("--output", output),
        *option("--device", device),
        str(file),
    )


def print_settings(kind: str) -> None:
    from app.run_config import describe

    for row in describe(kind):
        print(f"{row['name']} = {row['default']}\n    {row['help']}")


def option(name: str, value: object) -> list[str]:
    return [] if value is None else [name, str(value)]


def start_trainer(*arguments: str) -> NoReturn:
    """Become the trainer: its exit code, signals and output are this command's."""
    missing = [name for name in NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        fail(
            f"Training needs {', '.join(missing)}, which this installation does not have. Run "
            "`make install`, or `pip install '.[train]'` in Touchstone's folder."
        )
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", "app.trainer", *arguments])  # noqa: S606
