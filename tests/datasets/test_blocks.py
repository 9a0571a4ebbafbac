"""Rows of a frozen file from any place in it, whatever it was written with."""

import gzip
import json
from pathlib import Path

import pytest

from app.datasets.formats import blocks
from app.datasets.formats.browsing import Filters, rows_page
from app.datasets.formats.files import data_files
from app.datasets.formats.folder import DataFile, Folder
from app.datasets.formats.prompt_ids import id_of_messages, prompt_id_of
from app.datasets.rules.identity import Split, canonical_json
from app.datasets.rules.rows import ConfigName
from app.datasets.schemas import FileFormat
from app.errors import Invalid

NUMBER = 700


def preference(number, words=""):
    messages = [{"role": "user", "content": f'Question {number} "prompt_id":"no" {words}'}]
    return {
        "prompt": messages,
        "chosen": [{"role": "assistant", "content": f"Good {number} {words}"}],
        "rejected": [{"role": "assistant", "content": f"Bad {number}"}],
        "margin": 0.0,
        "weight": 1.0,
        "p": 1.0,
        "strength": None,
        "agreement": number / NUMBER,
        "n_annotators": number % 4,
        "prompt_id": id_of_messages(messages),
        "chosen_id": f"{number:064x}",
        "rejected_id": f"{number + NUMBER:064x}",
    }


@pytest.fixture(scope="module")
def rows():
    made = [preference(number, "😀 \u202e x" * (number % 90)) for number in range(NUMBER)]
    return sorted(made, key=lambda row: row["prompt_id"])


def written(folder, rows, file_format=FileFormat.JSONL, config=ConfigName.PREFERENCE):
    """The folder and the file of these rows, in small chunks."""
    with data_files(folder, file_format=file_format, criteria=()) as files:
        for row in rows:
            files.add(config, Split.TRAIN, row)
        (file,) = files.close()
    size = (folder / file.path).stat().st_size
    opened = Folder(str(folder), lambda name: (folder / name).open("rb"), {}, 0)
    return opened, DataFile(config, Split.TRAIN, file.path, len(rows), size)


@pytest.fixture(params=["members", "one member", "parquet"])
def frozen(request, rows, tmp_path, monkeypatch):
    if request.param == "parquet":
        monkeypatch.setattr("app.datasets.formats.files._ROW_GROUP", 50)
        return written(tmp_path, rows, FileFormat.PARQUET)
    monkeypatch.setattr("app.datasets.formats.files._CHUNK_BYTES", 5_000)
    monkeypatch.setattr(blocks, "PIECE", 1_000)
    folder, file = written(tmp_path, rows)
    if request.param == "one member":  # as earlier versions wrote it
        path = tmp_path / file.path
        path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), 1, mtime=0))
    return folder, file


@pytest.mark.parametrize("start", [0, 1, 333, NUMBER - 1, NUMBER])
def test_rows_are_read_from_any_number_on(frozen, rows, start):
    for _ in range(2):  # where members begin is known the second time
        found = list(blocks.lines(*frozen, start=start))
        assert [number for number, _ in found] == list(range(start, NUMBER))
        assert [json.loads(line) for _, line in found] == rows[start:]


def test_a_prompt_is_found_without_reading_all(frozen, rows):
    for row in rows[::37]:
        ((_, line),) = blocks.rows_of_prompt(*frozen, row["prompt_id"])
        assert json.loads(line) == row
    for missing in ("0" * 64, "f" * 64, id_of_messages([{"role": "user", "content": "?"}])):
        assert blocks.rows_of_prompt(*frozen, missing) == []


def test_a_member_is_read_without_those_before_it(rows, tmp_path, monkeypatch):
    monkeypatch.setattr("app.datasets.formats.files._CHUNK_BYTES", 5_000)
    folder, file = written(tmp_path, rows)
    assert next(blocks.lines(folder, file, start=NUMBER - 1))[0] == NUMBER - 1
    path = tmp_path / file.path
    content = path.read_bytes()
    path.write_bytes(b"\0" * (len(content) // 2) + content[len(content) // 2 :])
    number, line = next(blocks.lines(folder, file, start=NUMBER - 1))
    assert (number, json.loads(line)) == (NUMBER - 1, rows[-1])


def test_what_is_damaged_is_said_to_be(rows, tmp_path):
    folder, file = written(tmp_path, rows)
    path = tmp_path / file.path
    content = path.read_bytes()
    path.write_bytes(content[:-9])
    with pytest.raises(Invalid, match="damaged"):
        list(blocks.lines(folder, file))
    path.write_bytes(content[:5_000] + b"\xff" * 400 + content[5_400:])
    with pytest.raises(Invalid, match="damaged"):
        list(blocks.lines(folder, file))


def test_a_row_of_a_megabyte_and_a_lone_surrogate_are_rows_like_others(tmp_path, monkeypatch):
    monkeypatch.setattr("app.datasets.formats.files._CHUNK_BYTES", 5_000)
    rows = [preference(1, "\ud800"), preference(2, "long " * 200_000), preference(3, "\\n\0")]
    folder, file = written(tmp_path, rows)
    assert [blocks.parsed(line) for _, line in blocks.lines(folder, file)] == rows


@pytest.mark.parametrize("config", list(ConfigName))
def test_every_config_leads_to_its_prompt(config):
    system = {"role": "system", "content": "Be brief."}
    turns = [
        {"role": "user", "content": " Hi\n"},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": "Why?"},
    ]
    answer = [{"role": "assistant", "content": "So."}]
    prompt = turns if config is ConfigName.HH_RLHF else [system, *turns]
    start = "\n\nHuman:  Hi\n\n\nAssistant: Yes?\n\nHuman: Why?\n\nAssistant: "
    row = {
        ConfigName.HH_RLHF: {"chosen": f"{start}So.", "rejected": f"{start}No."},
        ConfigName.SFT: {"messages": [*prompt, *answer]},
        ConfigName.UNPAIRED: {"prompt": prompt, "completion": answer, "label": True},
        ConfigName.RATINGS: {"prompt": prompt, "response": answer, "ratings": {}},
        ConfigName.PROMPTS: {"prompt": prompt},
    }.get(config, {"prompt": prompt, "prompt_id": id_of_messages(prompt)})
    assert prompt_id_of(config, row) == id_of_messages(prompt)


def test_pages_of_rows_hold_what_is_asked_for(frozen, rows):
    first = rows_page(*frozen, limit=20)
    assert ([number for number, _ in first.rows], first.next_row) == (list(range(20)), 20)
    last = rows_page(*frozen, start=NUMBER - 5, limit=20)
    assert (len(last.rows), last.next_row) == (5, None)
    low = [row for row in rows if row["agreement"] < 0.1 and row["n_annotators"] >= 2]
    asked = Filters(agreement_below=0.1, judgements_from=2)
    found = rows_page(*frozen, limit=NUMBER, filters=asked)
    assert [row for _, row in found.rows] == low
    assert rows_page(*frozen, filters=Filters(margin_from=0.1)).rows == []


@pytest.mark.parametrize(
    ("words", "number"),
    [("question 77 ", 77), ("GOOD 77", 77), (f"{77:064x}", 77), ("  bad\n 77 ", 77)],
)
def test_words_are_found_whatever_their_case_and_blanks(frozen, words, number):
    found = [row for _, row in rows_page(*frozen, limit=99, filters=Filters(words=words)).rows]
    assert f"{number:064x}" in {row["chosen_id"] for row in found}
    assert len(found) < 12


def test_names_of_columns_and_roles_are_no_words(frozen):
    for word in ("chosen", "assistant", "prompt_id_"):
        assert rows_page(*frozen, filters=Filters(words=word)).rows == []


def test_patience_ends_and_the_page_says_where_to_go_on(frozen):
    asked = Filters(words="not there")
    page = rows_page(*frozen, filters=asked, patience=0.0)
    assert (page.rows, page.is_whole) == ([], False)
    assert page.next_row is not None
    assert page.next_row < NUMBER
    rest = rows_page(*frozen, start=page.next_row, filters=asked)
    assert (rest.rows, rest.next_row, rest.is_whole) == ([], None, True)


def test_canonical_lines_are_read_back_as_they_were(rows, tmp_path):
    _, file = written(tmp_path, rows)
    content = gzip.decompress(Path(tmp_path / file.path).read_bytes())
    assert content == b"".join(canonical_json(row) + b"\n" for row in rows)
