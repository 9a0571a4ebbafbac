"""Data that is not as it should be, for every kind: stopped or left out, counted, and said."""

import copy
import gzip
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.trainer import manners
from tests.trainer.manners import ask, say

CONFIG = {"sft": "sft", "reward": "preference", "dpo": "preference", "kto": "unpaired",
          "ppo": "prompts"}  # fmt: skip
KINDS = tuple(CONFIG)
COMPARING = ("reward", "dpo")
ASKED = ("reward", "dpo", "kto", "ppo")  # kinds whose rows have a prompt
LEARNING = ("sft", "reward", "dpo", "kto")
QUICK = {"max_steps": 1, "num_samples": 0, "per_device_train_batch_size": 4}
LONG = "Old tea can be fine too. " * 60


@pytest.fixture
def attempt(train, judge: str, tmp_path: Path) -> Callable[..., Any]:
    """One update of a kind on these rows."""

    def run(kind: str, rows: list | None, **settings: Any) -> Any:
        folder = tmp_path / "made"
        if rows is not None:
            manners.write_split(folder, CONFIG[kind], "train", rows)
        given: dict[str, Any] = dict(QUICK)
        if kind == "kto":
            kind, given = "dpo", given | {"loss_type": "kto"}
        if kind == "ppo":
            given |= {"reward_model_path": judge, "response_length": 4}
        return train(kind, dataset=folder, **(given | settings))

    return run


def good(kind: str, count: int = 6) -> list[dict]:
    return manners.rows(CONFIG[kind], manners.prompts()[:count])


def answer(row: dict, kind: str) -> tuple[dict, str]:
    """Where a row keeps its (better) response: a mapping and the key in it."""
    if kind == "sft":
        return row["messages"][1], "content"
    return row, "completion" if kind == "kto" else "chosen"


def said(kind: str, words: str) -> Any:
    return words if kind == "sft" else say(words)


def question(row: dict, kind: str) -> list[dict]:
    return row["messages"] if kind == "sft" else row["prompt"]


# -- rows that are left out -------------------------------------------------------------------


def empty_response(row: dict, kind: str) -> None:
    place, key = answer(row, kind)
    place[key] = said(kind, " \n\u200b\0")


def over_long(row: dict, kind: str) -> None:
    place, key = answer(row, kind)
    place[key] = said(kind, LONG)


def long_prompt(row: dict, kind: str) -> None:
    question(row, kind)[0]["content"] = LONG


def empty_prompt(row: dict, kind: str) -> None:
    row["prompt"] = [{"role": "user", "content": " \u2060"}]


def ends_with_the_assistant(row: dict, kind: str) -> None:
    row["prompt"] = [*row["prompt"], *say("Certainly.")]


def identical(row: dict, kind: str) -> None:
    row["rejected"] = copy.deepcopy(row["chosen"])


def half_a_character(row: dict, kind: str) -> None:
    question(row, kind)[0]["content"] = "\ud83d"


def nobody_answers(row: dict, kind: str) -> None:
    row["messages"] = row["messages"][:1]


LEFT_OUT = [
    (empty_response, LEARNING, "a response is empty"),
    (over_long, LEARNING, "longer than max_length = 100 tokens"),
    (long_prompt, KINDS, ""),
    (empty_prompt, ASKED, "the prompt is empty"),
    (ends_with_the_assistant, ASKED, "the prompt ends with the assist"),
    (identical, COMPARING, "its responses are all the same"),
    (half_a_character, KINDS, "it holds half a character"),
    (nobody_answers, ("sft",), "there is no assistant message to learn from"),
]


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_cannot_be_used_are_left_out_counted_and_said(kind: str, attempt) -> None:
    troubles = [(spoil, reason) for spoil, kinds, reason in LEFT_OUT if kind in kinds]
    rows = manners.rows(CONFIG[kind], manners.prompts()[: len(troubles) + 4])
    for line, (spoil, _) in enumerate(troubles):
        spoil(rows[line], kind)
    run = attempt(kind, rows, max_length=100)
    assert run.code == 0, run.err
    counted = run.result["data"]["train"]
    assert counted["rows"] == len(rows)
    assert list(counted["dropped"].values()) == [1] * len(troubles)
    for line, (why, (_, reason)) in enumerate(zip(counted["dropped"], troubles, strict=True), 1):
        assert reason in why
        note = f"Left out 1 of {len(rows)} rows: {why} (first: {CONFIG[kind]}/train.jsonl.gz line"
        assert f"{note} {line})." in run.out
        assert f"{note} {line})." in run.result["notes"]
    strict = attempt(kind, None, max_length=100, bad_rows="stop", output="strict")
    assert strict.code == 2
    assert f"line 1: {next(iter(counted['dropped']))}" in strict.err


@pytest.mark.parametrize("kind", LEARNING)
def test_a_test_split_of_which_nothing_can_be_used_is_no_reason_to_stop(
    kind: str, attempt, tmp_path: Path
) -> None:
    unusable = good(kind, 1)
    over_long(unusable[0], kind)
    manners.write_split(tmp_path / "made", CONFIG[kind], "test", unusable[:1])
    run = attempt(kind, good(kind), max_length=100)
    assert run.code == 0, run.err
    assert f"{CONFIG[kind]} has no usable test rows: nothing will be evaluated." in run.out
    assert "Left out 1 of 1 rows: longer than max_length" in run.out
    assert not any(name.startswith("eval_") for name in run.metrics[-1])


# -- rows that stop the run -------------------------------------------------------------------


def without(key: str) -> Callable[[dict, str], None]:
    return lambda row, _: row.pop(key)


def given(**values: Any) -> Callable[[dict, str], None]:
    return lambda row, _: row.update(values)


PARTS = [{"type": "text", "text": "x"}]
STOPPED = {
    "no messages": (("sft",), without("messages"), "a messages row is {messages}"),
    "no prompt": (("kto", "ppo"), without("prompt"), "has no prompt"),
    "no chosen": (COMPARING, without("chosen"), "has no chosen"),
    "no rejected": (COMPARING, without("rejected"), "has no rejected"),
    "no completion": (("kto",), without("completion"), "has no completion"),
    "no label": (("kto",), without("label"), "has no label"),
    "a label in words": (("kto",), given(label="true"), "label must be true or false, not 'true'"),
    "a label of 2": (("kto",), given(label=2), "label must be true or false, not 2"),
    "weight NaN": (("reward", "dpo", "kto"), given(weight=float("nan")), "weight must be a number"),
    "weight below 0": (("reward", "dpo", "kto"), given(weight=-1), "weight must be not below 0"),
    "weight in words": (("reward", "dpo", "kto"), given(weight="1"), "weight must be a number"),
    "p above 1": (COMPARING, given(p=1.2), "p must be from 0 to 1"),
    "margin in words": (COMPARING, given(margin="big"), "margin must be a number"),
    "margin without end": (
        COMPARING, given(margin=float("inf")), "margin must be a number, not inf"
    ),
    "weight of a thousand numbers": (
        ("reward", "dpo", "kto"), given(weight=[7] * 1000),
        "weight must be a number, not [7, 7, 7, 7, 7, 7, ...].",
    ),
    "a list for a system prompt": (ASKED, given(system=[]), "system must be text, not []"),
    "an unknown role": (
        ASKED, given(prompt=[{"role": "robot", "content": "x"}]),
        "unknown role 'robot'",
    ),
    "content in parts": (
        ASKED, given(prompt=[{"role": "user", "content": PARTS}]),
        "needs a role and content in text",
    ),
    "content of null": (
        ("sft",), given(messages=[{"role": "user", "content": None}]),
        "needs a role and content in text",
    ),
    "no messages at all": (ASKED, given(prompt=[]), "that is not empty"),
    "a number for text": (ASKED, given(prompt=7), "must be text or a list"),
    "another role answers": (COMPARING, given(chosen=ask("x")), "begins with the role 'user'"),
    "another role completes": (("kto",), given(completion=ask("x")), "begins with the role 'user'"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("trouble", "kind"), [(name, kind) for name, (kinds, *_) in STOPPED.items() for kind in kinds]
)
def test_a_malformed_row_stops_the_run_and_is_named(trouble: str, kind: str, attempt) -> None:
    _, spoil, says = STOPPED[trouble]
    rows = good(kind)
    spoil(rows[2], kind)
    run = attempt(kind, rows)
    assert (run.code, run.err.count("\n")) == (2, 1), run.err
    assert f"{CONFIG[kind]}/train.jsonl.gz line 3" in run.err
    assert says in run.err
    assert run.result["error"] == run.err.strip()
    assert not (run.folder / "metrics.jsonl").exists()


# -- files ------------------------------------------------------------------------------------


def only_a_test_split(folder: Path, config: str) -> None:
    (folder / config / "train.jsonl.gz").rename(folder / config / "test.jsonl.gz")


def no_rows(folder: Path, config: str) -> None:
    (folder / config / "train.jsonl.gz").write_bytes(gzip.compress(b"\n"))


def cut_off(folder: Path, config: str) -> None:
    file = folder / config / "train.jsonl.gz"
    file.write_bytes(file.read_bytes()[:-20])


def damaged_gzip(folder: Path, config: str) -> None:
    file = folder / config / "train.jsonl.gz"
    content = bytearray(file.read_bytes())
    content[30:60] = b"\xff" * 30
    file.write_bytes(content)


def damaged_parquet(folder: Path, config: str) -> None:
    (folder / config / "train.jsonl.gz").unlink()
    (folder / config / "train.parquet").write_bytes(b"PAR1" + b"\x00" * 64 + b"PAR1")


def no_json(folder: Path, config: str) -> None:
    (folder / config / "train.jsonl.gz").write_bytes(gzip.compress(b'{"prompt": '))


def other_config(folder: Path, config: str) -> None:
    (folder / config).rename(folder / "elsewhere")


FILES = [
    (only_a_test_split, "has only a test split"), (no_rows, "has no training rows"),
    (cut_off, "cannot be read"), (damaged_gzip, "cannot be read"),
    (damaged_parquet, "cannot be read"), (no_json, "line 1 is not JSON"),
    (other_config, "it has elsewhere"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("damage", "says", "kind"),
    [(*file, kind) for file, kind in zip(FILES, itertools.cycle(KINDS), strict=False)],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_file_that_is_not_whole_stops_the_run(
    damage: Callable, says: str, kind: str, attempt, tmp_path: Path
) -> None:
    """Files are read for all kinds alike: each damage meets one of them."""
    manners.write_split(tmp_path / "made", CONFIG[kind], "train", good(kind))
    damage(tmp_path / "made", CONFIG[kind])
    run = attempt(kind, None)
    assert (run.code, run.err.count("\n")) == (2, 1), run.err
    assert says in run.err


# -- what is asked for ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", LEARNING)
def test_responses_are_cut_only_when_that_is_asked_for(kind: str, attempt) -> None:
    rows = good(kind)
    over_long(rows[2], kind)
    long_prompt(rows[4], kind)
    run = attempt(kind, rows, max_length=100, bad_rows="truncate")
    assert run.code == 0, run.err
    counted = run.result["data"]["train"]
    assert (counted["truncated"], sum(counted["dropped"].values())) == (1, 1)
    assert counted["longest"] == 100
    assert f"Cut the end off 1 of {len(rows)} rows, as asked for." in run.out


def test_what_differs_only_beyond_the_cut_teaches_nothing(attempt) -> None:
    rows = good("dpo")
    rows[2] |= {"chosen": say(LONG + "Good."), "rejected": say(LONG + "Bad.")}
    run = attempt("dpo", rows, max_length=100, bad_rows="truncate")
    assert "its responses differ only beyond max_length = 100 tokens" in run.out


@pytest.mark.parametrize(("ranks", "dropped"), [([1, 2, 3], 1), ([1, 1, 2], 0)])
def test_a_cut_response_is_never_better_than_itself(ranks: list, dropped: int, train, tmp_path):
    rows = manners.rows("ranking", manners.prompts()[:6])
    replies = [say(LONG + "Good."), say(LONG + "Bad."), say("Go away.")]
    rows[2] |= {"responses": replies, "ranks": ranks}
    manners.write_split(tmp_path / "made", "ranking", "train", rows)
    run = train("reward", dataset=tmp_path / "made", max_length=100, bad_rows="truncate", **QUICK)
    assert run.code == 0, run.err
    reason = "its responses differ only beyond max_length = 100 tokens"
    assert run.result["data"]["train"]["dropped"] == ({reason: 1} if dropped else {})


def test_rows_of_no_weight_are_told(attempt) -> None:
    rows = good("dpo")
    rows[1]["weight"] = 0
    run = attempt("dpo", rows)
    assert "1 of 6 rows have weight 0: no use." in run.out
    silent = attempt("dpo", None, use_weights=False, output="all")
    assert "weight 0" not in silent.out


def test_texts_prompts_with_completions_and_transcripts_train_too(attempt) -> None:
    text = "\n\nHuman: Is tea good?\n\nAssistant: Certainly."
    rows = [
        {"text": "A plain text about tea."},
        {"prompt": "Is tea good?", "completion": "Certainly."},
        {"prompt": ask("Is tea good?"), "completion": say("Certainly.")},
        {"messages": text},
    ]
    run = attempt("sft", rows)
    assert run.code == 0, run.err
    assert run.result["data"]["train"]["dropped"] == {}
    empty = attempt("sft", [*rows, {"text": " "}], output="empty")
    assert empty.result["data"]["train"]["dropped"] == {"the text is empty": 1}


def test_a_text_of_one_token_has_nothing_to_predict(attempt, tmp_path: Path) -> None:
    """A mean over no token at all is no loss, of an update or of the test split."""
    manners.write_split(tmp_path / "made", "sft", "test", [{"text": "<|end|>"}])
    rows = [{"text": "<|end|>"}, {"text": "A plain text about tea."}]
    run = attempt("sft", rows, per_device_train_batch_size=1, max_steps=2)
    assert run.code == 0, run.err
    alone = {"it is a single token, which nothing comes before": 1}
    assert [run.result["data"][split]["dropped"] for split in ("train", "test")] == [alone, alone]


def test_the_folder_of_one_config_is_enough(train, data: Path) -> None:
    run = train("sft", dataset=data / "sft", max_steps=1, num_samples=0)
    assert run.code == 0, run.err
    assert json.loads((run.folder / "config.json").read_text())["dataset"] == str(data / "sft")
