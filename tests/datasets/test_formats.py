"""The folder: deterministic files, and a card that `datasets` reads as it is."""

import gzip
import json
import shutil
import threading

import datasets
import pyarrow.parquet as pq
import pytest
import yaml

from app.artifacts import digest
from app.datasets.formats.card import card, yaml_lines
from app.datasets.formats.columns import features
from app.datasets.formats.files import data_files
from app.datasets.formats.manifest import (
    identity,
    lineage_file,
    write_manifest,
)
from app.datasets.rules.counts import Counts
from app.datasets.rules.identity import Split
from app.datasets.rules.rows import ConfigName, prompt_rows
from app.datasets.schemas import FileFormat, Recipe
from tests.datasets.settled import task

HOSTILE = [
    "plain",
    "two\nlines\r\nand a \u2028 separator",
    "\x00 NUL \x07 bell",
    "\u202eright to left\u202c אבג",
    "👩‍👩‍👧 family",
    '=HYPERLINK("x") "quoted" \\ back',
    "",
]
CRITERIA = ["helpful: really?", "truth"]
QUALITY = {
    "n_annotations": 14,
    "n_annotators": 2,
    "n_tasks": 7,
    "percent_agreement": {"value": 0.5, "low": 0.25, "high": 0.75},
    "percent_agreement_no_ties": {"value": 0.5, "low": None, "high": None},
    "krippendorff_alpha": {"value": None, "reason": "Everybody said the same."},
}


def write(folder, *, file_format=FileFormat.JSONL, texts=HOSTILE, reverse=False):
    """A folder with every config; strength is known only in the last rows."""
    counts = Counts()
    with data_files(folder, file_format=file_format, criteria=CRITERIA) as files:
        for number, text in enumerate(reversed(texts) if reverse else texts):
            split = Split.TEST if number == len(texts) - 1 else Split.TRAIN
            strength = 2 if number == len(texts) - 1 else None
            made = prompt_rows(
                prompt_id=f"p{number}",
                messages=[{"role": "user", "content": text}],
                tasks=[task([f"{text}a", f"{text}b", "c"], [[1, 2, 3]] * 2, strength=strength)],
                keep_ties=True,
                strength_levels=3,
                max_pairs=None,
                seed=0,
            )
            made.rows[ConfigName.RATINGS] = [
                {
                    "prompt": [{"role": "user", "content": text}],
                    "response": [{"role": "assistant", "content": text}],
                    "ratings": {CRITERIA[0]: 1.5 if number else None, CRITERIA[1]: None},
                    "n_annotators": 2,
                }
            ]
            counts.add_rows(made, split)
            for config, rows in made.rows.items():
                for row in rows:
                    files.add(config, split, row)
        written = files.close()
    text = card(
        recipe=Recipe(),
        counts=counts.as_json(),
        quality=QUALITY,
        files=written,
        criteria=CRITERIA,
    )
    (folder / "README.md").write_text(text, encoding="utf-8", newline="\n")
    return written


@pytest.fixture
def no_cache(tmp_path):
    """A cache of its own for `datasets`, so that no earlier reading helps."""
    yield str(tmp_path / "cache")
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)


@pytest.mark.parametrize("file_format", list(FileFormat))
def test_datasets_reads_every_config_of_the_folder(tmp_path, no_cache, file_format):
    folder = tmp_path / "snapshot"
    written = write(folder, file_format=file_format)
    assert {file.config for file in written} == set(ConfigName)
    for config in ConfigName:
        loaded = datasets.load_dataset(str(folder), config.value, cache_dir=no_cache)
        assert set(loaded) == {"train", "test"}
        rows = {file.split.value: file.rows for file in written if file.config is config}
        assert {split: len(loaded[split]) for split in loaded} == rows
    default = datasets.load_dataset(str(folder), cache_dir=no_cache)
    first = default["train"][0]
    assert first["prompt"] == [{"role": "user", "content": "plain"}]
    assert (first["strength"], default["test"][0]["strength"]) == (None, 2.0)
    hostile = default["train"][3]["prompt"][0]["content"]
    assert hostile == HOSTILE[1]


def test_both_formats_hold_the_same_rows_and_have_the_same_identity(tmp_path):
    jsonl = write(tmp_path / "jsonl")
    parquet = write(tmp_path / "parquet", file_format=FileFormat.PARQUET)
    assert identity(jsonl, recipe={}) == identity(parquet, recipe={})
    for left, right in zip(jsonl, parquet, strict=True):
        lines = gzip.decompress((tmp_path / "jsonl" / left.path).read_bytes()).splitlines()
        rows = [json.loads(line) for line in lines]
        assert rows == pq.read_table(tmp_path / "parquet" / right.path).to_pylist()


@pytest.mark.parametrize("file_format", list(FileFormat))
def test_the_same_rows_give_the_same_bytes(tmp_path, file_format):
    for name in ("one", "two"):
        write(tmp_path / name, file_format=file_format)
    ours, theirs = (
        {
            path.relative_to(tmp_path / name).as_posix(): digest(path)
            for path in (tmp_path / name).rglob("*")
            if path.is_file()
        }
        for name in ("one", "two")
    )
    assert ours == theirs
    assert len(ours) == 15


def test_the_header_of_a_gzip_file_tells_neither_name_nor_time(tmp_path):
    write(tmp_path)
    header = (tmp_path / "preference" / "train.jsonl.gz").read_bytes()[:10]
    assert header[3] == 0
    assert header[4:8] == b"\0\0\0\0"


def test_other_rows_have_another_identity(tmp_path):
    first = write(tmp_path / "a")
    second = write(tmp_path / "b", reverse=True)
    assert identity(first, recipe={}) != identity(second, recipe={})
    assert identity(first, recipe={"seed": 1}) != identity(first, recipe={"seed": 2})


def test_no_file_is_made_for_a_config_or_split_without_rows(tmp_path):
    with data_files(tmp_path, file_format=FileFormat.JSONL, criteria=[]) as files:
        files.add(ConfigName.PROMPTS, Split.TRAIN, {"prompt": []})
        files.close()
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["train.jsonl.gz"]


def test_a_failure_in_the_middle_closes_every_file(tmp_path):
    def fill(files):
        files.add(ConfigName.PROMPTS, Split.TRAIN, {"prompt": []})
        files.add(ConfigName.PROMPTS, Split.TRAIN, {"prompt": object()})

    with (
        pytest.raises(TypeError, match="not JSON serializable"),
        data_files(tmp_path, file_format=FileFormat.JSONL, criteria=[]) as files,
    ):
        fill(files)
    assert files.files[ConfigName.PROMPTS, Split.TRAIN].sink.file.closed


def test_what_fails_in_the_writing_thread_is_raised_and_the_thread_ends(tmp_path, monkeypatch):
    def on_a_full_disk(*_):
        raise OSError(28, "No space left on device")

    def fill(files):
        files.add(ConfigName.PROMPTS, Split.TRAIN, {"prompt": []})
        files.close()

    monkeypatch.setattr("app.datasets.formats.files._JsonLines.write", on_a_full_disk)
    with (
        pytest.raises(OSError, match="No space left on device"),
        data_files(tmp_path, file_format=FileFormat.JSONL, criteria=[]) as files,
    ):
        fill(files)
    assert not [each for each in threading.enumerate() if each.name.startswith("snapshot-writer")]


@pytest.mark.parametrize("config", list(ConfigName))
def test_the_columns_on_the_card_are_those_that_datasets_would_write(config):
    declared = features(config, criteria=CRITERIA)
    understood = datasets.Features._from_yaml_list(declared)
    assert understood._to_yaml_list() == declared


def test_yaml_reads_back_whatever_a_criterion_is_called():
    value = {
        "a": [{"b": "yes: no", "c": ["", "#x", "null", "é\u2028"]}, []],
        "n": 1,
        "t": True,
        "deep": {"list": {"list": [{"name": "- x", "dtype": "string"}]}},
    }
    assert yaml.safe_load("\n".join(yaml_lines(value))) == value


def test_the_manifest_ends_with_the_judgements_behind_each_prompt(tmp_path):
    with lineage_file(tmp_path / "lineage") as lineage:
        lineage.add("p1", [("b", "annotator-1", 2), ("a", "x", 1)])
        lineage.add("p2", [])
        write_manifest(
            tmp_path / "manifest.json",
            body={"recipe": {"seed": 0}, "counts": {}},
            about={"created_at": "2026-01-01T00:00:00Z", "guidelines": []},
            lineage=lineage,
        )
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert list(manifest) == ["recipe", "counts", "lineage"]
    assert manifest["lineage"]["annotations"] == {
        "p1": [["a", "x", 1], ["b", "annotator-1", 2]],
        "p2": [],
    }
    assert not (tmp_path / "lineage").exists()
