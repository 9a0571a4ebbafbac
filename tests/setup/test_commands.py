"""The command line: bad input ends with one sentence and a code of 2; output is for programs."""

import errno
import gc
import io
import json
import re
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import psycopg
import psycopg_pool
import pytest
from procrastinate.exceptions import ConnectorException

from app.cli import main
from app.cli.terminal import sentence_of
from app.config import settings
from app.db import SessionLocal
from tests.conftest import fresh_database, psycopg_url
from tests.setup.processes import touchstone as program

PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class Said:
    code: int
    output: str
    errors: str


@pytest.fixture
def touchstone(monkeypatch, capsys):
    """Run a command in this process (a program of its own would load everything anew)."""
    threshold = gc.get_threshold()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}

    def run(*arguments, given=""):
        monkeypatch.setattr(sys, "argv", ["touchstone", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(given))
        with pytest.raises(SystemExit) as end:
            main()
        output = capsys.readouterr()
        return Said(int(end.value.code or 0), output.out, output.err)

    yield run
    gc.set_threshold(*threshold)
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def installation(server_url, template, touchstone):
    """A migrated database of its own where Ada is administrator."""
    with fresh_database(server_url, template) as name:
        object.__setattr__(settings, "database_url", psycopg_url(server_url, name))
        made = touchstone(
            *("user", "create", "ada@example.org", "--role", "admin", "--password-stdin"),
            given=f"{PASSWORD}\n",
        )
        assert made.code == 0, made.errors
        yield
        object.__setattr__(settings, "database_url", None)
        SessionLocal.configure(bind=None)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["user", "create", "nonsense", "--role", "admin"], "'nonsense' is no e-mail address."),
        (["user", "create", "a@example.org", "--role", "king"], "There is no role 'king'."),
        (["user", "create", "a@example.org"], "Missing option '--role'"),
        (["token", "create"], "Missing option '--user'"),
        (["token", "create", "--user", "a@example.org", "--expires", "0"], "'--expires'"),
        (["import", "Kitchen", "missing.jsonl"], "There is no file missing.jsonl."),
        (["snapshot", "Kitchen", "--recipe", "missing.json"], "missing.json: No such file"),
        (["train", "guess"], "'guess' is not one of"),
        (["train", "sft"], "Name the dataset with --dataset;"),
        (["model", "new", "--size", "huge", "--corpus", "x", "--output", "y"], "'huge' is not"),
        (["score", "file"], "Missing option '--model'"),
        (["up", "--port", "70000"], "Invalid value for '--port'"),
        (["dance"], "No such command 'dance'"),
    ],
)
def test_bad_input_ends_with_a_sentence(touchstone, arguments, sentence):
    said = touchstone(*arguments)
    assert said.code == 2
    assert said.output == ""
    assert sentence in said.errors


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("recipe.json", "{", "is not valid JSON"),
        ("recipe.toml", "a = ", "is not valid TOML"),
        ("recipe.json", "[1]", "must hold one object"),
        ("recipe.json", '{"min_votes": 2}', "recipe.json: min_votes: there is no such setting"),
        ("recipe.json", '\ufeff{"min_votes": 2}', "min_votes: there is no such setting"),
        ("recipe.json", b'{"name": "caf\xe9"}', "is not UTF-8. Save it as UTF-8."),
    ],
)
def test_a_recipe_that_cannot_be_read_is_explained(touchstone, tmp_path, name, content, sentence):
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    said = touchstone("snapshot", "Kitchen", "--recipe", file)
    assert said.code == 2
    assert sentence in said.errors
    assert said.errors.count("\n") == 1


def test_every_command_of_the_contract_has_help(touchstone):
    names = "up serve worker migrate doctor backup restore import snapshot train score generate"
    groups = ["user create", "user list", "user disable", "token create", "model new"]
    for name in [*names.split(), *groups, "project create", "project list"]:
        said = touchstone(*name.split(), "--help")
        assert said.code == 0
        assert said.output.startswith(f"Usage: touchstone {name}")
    assert "prepare" not in touchstone("--help").output  # a step of `up`, not for people


def test_the_settings_of_each_kind_of_training_can_be_listed(touchstone):
    for kind in ("sft", "reward", "dpo", "ppo"):
        said = touchstone("train", kind, "--list-settings")
        assert said.code == 0
        assert "learning_rate = " in said.output


def test_a_setting_that_makes_no_sense_is_named(tmp_path):
    done = program(tmp_path / "home", "user", "list", TOUCHSTONE_POOL_SIZE="one")
    assert done.returncode == 2
    assert done.stderr.startswith("touchstone: pool_size: Input should be a valid integer")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("TOUCHSTONE_LOG_LEVEL", "loud", "log_level: String should match pattern"),
        ("TOUCHSTONE_HOME", "~nobody-knows/x", "there is no account ~nobody-knows on this machine"),
        ("DATABASE_URL", "postgresql://me@here:port/x", "DATABASE_URL must look like postgresql:"),
    ],
)
def test_a_setting_that_cannot_be_meant_ends_with_a_sentence(tmp_path, name, value, sentence):
    done = program(tmp_path / "home", "user", "list", **{name: value})
    assert done.returncode == 2
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "error",
    [
        psycopg.OperationalError("the connection is closed"),
        psycopg_pool.PoolTimeout("pool initialization incomplete after 30.0 sec"),
        ConnectorException(),
    ],
)
def test_a_worker_without_its_database_says_so(error):
    assert sentence_of(error).startswith("The database does not answer: ")


@pytest.fixture
def full(monkeypatch):
    """A disk where the files of one folder find no room: opening works, writing does not."""

    def fill(folder):
        folder.mkdir()
        opened = Path.open

        def on_a_full_disk(path, *arguments, **options):
            if path.parent != folder:
                return opened(path, *arguments, **options)
            opened(path, *arguments, **options).close()
            return opened(Path("/dev/full"), "wb", buffering=0)

        monkeypatch.setattr(Path, "open", on_a_full_disk)
        return folder

    return fill


def test_a_full_disk_is_named_though_no_file_is():
    error = OSError(errno.ENOSPC, "No space left on device")
    assert sentence_of(error) == "A file could not be written: No space left on device."
    assert sentence_of(OSError("something of our own")) is None


def test_a_database_that_does_not_answer_is_named(tmp_path):
    url = "postgresql://nobody@127.0.0.1:1/none"
    done = program(tmp_path / "home", "user", "list", DATABASE_URL=url)
    assert done.returncode == 2
    assert done.stderr.startswith("touchstone: The database does not answer: ")
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("installation")
def test_people_and_their_tokens(touchstone):
    invited = touchstone("user", "create", "ana@example.org", "--role", "annotator")
    assert re.fullmatch(r"http://127\.0\.0\.1:8000/invitation/[\w-]{43}\n", invited.output)
    again = touchstone(
        *("user", "create", "ada@example.org", "--role", "admin", "--password-stdin"),
        given=f"{PASSWORD}\n",
    )
    assert again.code == 2
    assert again.errors == (
        "touchstone: There is already somebody with the address ada@example.org.\n"
    )
    token = touchstone("token", "create", "--user", "ada@example.org", "--expires", "30")
    assert re.fullmatch(r"tst_[\w-]{43}\n", token.output)
    assert token.errors == ""
    assert touchstone("token", "create", "--user", "sam@example.org").code == 2
    assert touchstone("user", "disable", "ana@example.org").code == 0
    listed = touchstone("user", "list").output.splitlines()
    assert "ada@example.org\tadmin\tada" in listed
    assert "ana@example.org\tannotator\tana\tdisabled" in listed


@pytest.mark.usefixtures("installation")
def test_from_a_file_to_a_dataset_folder(touchstone, tmp_path):
    file = tmp_path / "kitchen.jsonl"
    lines = [
        {
            "prompt": f"How long do I boil {number} eggs?",
            "responses": ["Ten minutes.", "No idea."],
            "annotations": [{"annotator": "Rosa", "ranks": [1, 2]}],
        }
        for number in range(12)
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    project = touchstone("project", "create", "Kitchen").output.strip()
    assert touchstone("project", "list").output == f"{project}\tKitchen\n"

    done = touchstone("import", "kitchen", file)
    assert done.code == 0, done.errors
    assert done.output == f"{file}: touchstone, 12 imported, 0 already there, 0 refused\n"
    assert ", 0 imported, 12 already there" in touchstone("import", project, file).output

    broken = tmp_path / "broken.jsonl"
    broken.write_text(file.read_text() + "{oops\n")
    looked = touchstone("import", "Kitchen", broken, "--dry-run")
    assert looked.code == 1
    assert ", 0 would be imported, 12 already there, 1 refused\n" in looked.output
    assert f"{broken}:13: " in looked.errors
    refused = touchstone("import", "Kitchen", broken)
    assert refused.code == 1
    assert f"{broken}:13: " in refused.errors

    nowhere = touchstone("snapshot", "Kitchen", "--output", file / "dataset")
    assert nowhere.code == 2
    assert "cannot be made" in nowhere.errors
    assert "Nothing was frozen." in nowhere.errors
    counted = touchstone("snapshot", "Kitchen", "--dry-run")
    assert counted.code == 0, counted.errors
    assert counted.output.startswith("12 comparisons, ")
    with psycopg.connect(settings.database_url.replace("+psycopg", "")) as connection:
        assert connection.execute("SELECT count(*) FROM snapshot").fetchone() == (0,)

    output = tmp_path / "dataset"
    frozen = touchstone("snapshot", "Kitchen", "--output", output)
    assert frozen.code == 0, frozen.errors
    assert (output / "manifest.json").exists()
    assert (output / "preference").is_dir()
    assert "files," in touchstone("verify", output).output
    second = touchstone("snapshot", "Kitchen", "--output", output)
    assert second.code == 2
    assert "is not empty. Name a new folder" in second.errors
    assert "There is no project 'Garden'" in touchstone("snapshot", "Garden").errors


@pytest.mark.usefixtures("installation")
def test_a_project_moves_as_one_file(touchstone, tmp_path):
    line = {
        "prompt": "How long do I boil eggs?",
        "responses": ["Ten minutes.", "No idea."],
        "annotations": [{"annotator": "Rosa", "ranks": [1, 2]}],
    }
    file = tmp_path / "kitchen.jsonl"
    file.write_text(json.dumps(line) + "\n")
    touchstone("project", "create", "Kitchen")
    touchstone("import", "Kitchen", file)
    whole = tmp_path / "whole.jsonl.gz"
    settings = tmp_path / "settings.json"
    options = ("--annotators", "names", "--settings", settings)
    done = touchstone("export", "Kitchen", whole, *options)
    assert (done.code, done.output) == (0, f"{whole}: 1 line\n"), done.errors
    assert json.loads(settings.read_text())["guidelines_versions"][0]["text"] == ""
    made = touchstone("project", "create", "Garden", "--settings", settings)
    assert made.code == 0, made.errors
    assert touchstone("import", "Garden", whole).code == 0
    again = tmp_path / "again.jsonl.gz"
    assert touchstone("export", "Garden", again, "--annotators", "names").code == 0
    assert again.read_bytes() == whole.read_bytes()
    refused = touchstone("export", "Garden", again)
    assert (refused.code, "is there already" in refused.errors) == (2, True)
    assert touchstone("export", "Cellar", tmp_path / "x.jsonl").code == 2
    assert not (tmp_path / "x.jsonl").exists()
    assert "no folder" in touchstone("export", "Garden", tmp_path / "no" / "x.jsonl").errors


@pytest.mark.usefixtures("installation")
def test_an_export_that_finds_no_room_leaves_nothing(touchstone, tmp_path, full):
    file = tmp_path / "kitchen.jsonl"
    file.write_text('{"prompt": "How long do I boil eggs?", "responses": ["Ten.", "No idea."]}\n')
    touchstone("project", "create", "Kitchen")
    touchstone("import", "Kitchen", file)
    at = full(tmp_path / "full")
    for name in ("whole.jsonl", "whole.jsonl.gz"):
        done = touchstone("export", "Kitchen", at / name, "--settings", tmp_path / "settings.json")
        assert (done.code, done.output) == (2, "")
        assert f"touchstone: {at / name}: No space left on device.\n" in done.errors
        assert "Traceback" not in done.errors
        assert not [*at.iterdir(), *tmp_path.glob("settings*")]
