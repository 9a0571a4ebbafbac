"""The command `touchstone`: starts processes, calls services, prints.

Commands import what they need when they run, so that `--help` is quick.
"""

import sys
from typing import Annotated

import typer

from app.cli import comparing, data, people, privacy, training, upkeep
from app.cli.loading import load_quickly
from app.cli.terminal import end_in_order, fail, sentence_of

app = typer.Typer(
    name="touchstone",
    help="People judge model responses; Touchstone turns that into data and models.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
upkeep.add_to(app)
people.add_to(app)
privacy.add_to(people.user)
data.add_to(app)
comparing.add_to(app)
training.add_to(app)


def show_version(is_wanted: bool) -> None:  # noqa: FBT001 # typer calls it so
    if is_wanted:
        from importlib.metadata import version

        print(f"touchstone {version('touchstone')}")
        raise typer.Exit


@app.callback()
def everywhere(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Say which.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run one command; what a person can mend ends with one sentence and a code of 2."""
    end_in_order()
    load_quickly()
    try:
        app(prog_name="touchstone")
    except BrokenPipeError:  # `touchstone … | head`
        sys.stderr.close()
        sys.exit(141)
    except Exception as error:
        sentence = sentence_of(error)
        if sentence is None:
            raise
        fail(sentence)
