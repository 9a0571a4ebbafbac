"""A folder that left the house says whether it is still what was frozen."""

import gzip
import json
import shutil
import sys

import pytest

from app import artifacts
from app.cli import main
from app.datasets.formats.verifying import NotAsFrozen, verify
from tests.datasets.frozen import freeze, manifest_of
from tests.factories import make_annotation, make_task

ROWS = "preference/train.jsonl.gz"


def out_of_store(snapshot, to):
    with artifacts.local_folder(snapshot.path) as folder:
        return shutil.copytree(folder, to, copy_function=shutil.copyfile)


@pytest.fixture
def frozen(session, project, ana):
    project.criteria = [{"key": key, "label": key, "min": 1, "max": 5} for key in ("a", "b")]
    for number in range(3):
        task = make_task(session, project, prompt=f"é\u2028 {number}")
        make_annotation(session, task, ana, ranks=[1, 2], ratings={"a": {"0": 4}})
    return freeze(session, project, test_share=0.5)


@pytest.fixture
def folder(frozen, tmp_path):
    return out_of_store(frozen, tmp_path / "dataset")


def changed(folder, **fields):
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.mark.parametrize("file_format", ["jsonl", "parquet"])
def test_a_folder_as_it_was_frozen_passes(session, project, frozen, tmp_path, file_format):
    snapshot = freeze(session, project, format=file_format)
    found = verify(out_of_store(snapshot, tmp_path / "out"))
    assert found.identity == manifest_of(snapshot)["identity"]
    assert found.rows == sum(file["rows"] or 0 for file in snapshot.files)


def test_a_changed_byte_is_found_and_the_file_named(folder):
    content = bytearray((folder / ROWS).read_bytes())
    content[-5] ^= 1
    (folder / ROWS).write_bytes(content)
    with pytest.raises(NotAsFrozen, match=rf"{ROWS} was changed"):
        verify(folder)


def test_a_file_that_is_gone_short_or_new_is_found(folder):
    content = (folder / ROWS).read_bytes()
    (folder / ROWS).write_bytes(content[:-1])
    with pytest.raises(NotAsFrozen, match=f"{ROWS} has"):
        verify(folder)
    (folder / ROWS).unlink()
    with pytest.raises(NotAsFrozen, match=f"{ROWS} is missing"):
        verify(folder)
    (folder / ROWS).write_bytes(content)
    (folder / "preference" / "more.jsonl.gz").touch()
    with pytest.raises(NotAsFrozen, match=r"preference/more\.jsonl\.gz is not in the manifest"):
        verify(folder)


def test_rows_that_were_exchanged_together_with_their_hash_are_found(folder):
    with gzip.open(folder / ROWS, "wb") as file:
        file.write(b"{}\n")
    manifest = json.loads((folder / "manifest.json").read_text())
    for entry in manifest["files"]:
        if entry["path"] == ROWS:
            entry["bytes"] = (folder / ROWS).stat().st_size
            entry["sha256"] = artifacts.digest(folder / ROWS)
    changed(folder, files=manifest["files"])
    with pytest.raises(NotAsFrozen, match=f"The rows of {ROWS}"):
        verify(folder)


def test_another_recipe_is_another_identity(folder, frozen):
    changed(folder, recipe=frozen.recipe | {"seed": 7})
    with pytest.raises(NotAsFrozen, match="identity"):
        verify(folder)


@pytest.mark.parametrize("path", ["../secrets", "/etc/passwd"])
def test_a_manifest_that_leads_out_of_the_folder_is_not_followed(folder, path):
    changed(folder, files=[{"path": path, "bytes": 1, "sha256": ""}])
    with pytest.raises(NotAsFrozen, match="damaged"):
        verify(folder)


def test_the_command_ends_with_one_for_a_broken_folder(folder, monkeypatch, capsys):
    def run():
        monkeypatch.setattr(sys, "argv", ["touchstone", "verify", str(folder)])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), capsys.readouterr()

    code, said = run()
    assert (code, "identity" in said.out) == (0, True)
    (folder / "README.md").write_text("# Mine\n")
    code, said = run()
    assert (code, said.out) == (1, "")
    assert "README.md has" in said.err
    (folder / "manifest.json").write_text("{")
    assert "damaged" in run()[1].err
    (folder / "manifest.json").unlink()
    assert run()[0] == 1
