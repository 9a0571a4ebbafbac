"""What the trainer reads, and the sentences it says when something is wrong with it."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.trainer.dataset import (
    Row,
    comparison_row,
    open_config,
    prompt_row,
    read_split,
    sft_row,
    unpaired_row,
)
from app.trainer.failures import BadInput
from tests.trainer import manners
from tests.trainer.manners import ask, say

PAIR = {"prompt": ask("x"), "chosen": say("a"), "rejected": say("b")}


def write(folder: Path, config: str, rows: list, split: str = "train") -> Path:
    (folder / config).mkdir(parents=True, exist_ok=True)
    file = folder / config / f"{split}.jsonl"
    file.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows))
    return folder


class TestRows:
    def test_a_preference_has_its_agreement_margin_and_weight(self) -> None:
        row = comparison_row("here", PAIR | {"p": 0.75, "margin": 0.5, "weight": 0.25})
        assert (row.p, row.margin, row.weight, row.ranks) == (0.75, 0.5, 0.25, (1, 2))

    def test_a_ranking_keeps_its_ties(self) -> None:
        record = {"prompt": ask("x"), "responses": [say("a"), say("b"), "c"], "ranks": [1, 2, 1]}
        row = comparison_row("here", record)
        assert row.ranks == (1, 2, 1)
        assert row.replies[2][0] == {"role": "assistant", "content": "c"}

    def test_whole_conversations_are_split_where_they_part(self) -> None:
        talk = [*ask("x"), *say("y"), *ask("z")]
        row = comparison_row("here", {"chosen": talk + say("a"), "rejected": talk + say("b")})
        assert (len(row.prompt), row.replies) == (3, (tuple(say("a")), tuple(say("b"))))

    def test_transcripts_that_part_in_a_question_are_split_at_the_reply_before(self) -> None:
        chosen = "\n\nHuman: x\n\nAssistant: y\n\nHuman: more\n\nAssistant: a"
        rejected = "\n\nHuman: x\n\nAssistant: y\n\nHuman: stop\n\nAssistant: b"
        row = comparison_row("here", {"chosen": chosen, "rejected": rejected})
        assert [m["content"] for m in row.prompt] == ["x"]
        assert [[m["content"] for m in reply] for reply in row.replies] == [
            ["y", "more", "a"],
            ["y", "stop", "b"],
        ]

    def test_unpaired_and_prompts(self) -> None:
        row = unpaired_row("here", {"prompt": ask("x"), "completion": say("a"), "label": False})
        assert not row.label
        assert prompt_row("here", {"prompt": "x", "system": "s"}).prompt[0]["role"] == "system"

    @pytest.mark.parametrize(
        ("read", "record"),
        [
            (sft_row, {"messages": [*ask("x"), *say("a")]}),
            (sft_row, {"prompt": "x", "completion": "a"}),
            (comparison_row, {"prompt": "x", "chosen": "a", "rejected": "b"}),
            (
                comparison_row,
                {"chosen": [*ask("x"), *say("a")], "rejected": [*ask("x"), *say("b")]},
            ),
            (comparison_row, {"prompt": "x", "responses": ["a", "b"], "ranks": [1, 2]}),
            (unpaired_row, {"prompt": "x", "completion": "a", "label": True}),
            (prompt_row, {"prompt": "x"}),
        ],
    )
    def test_a_system_prompt_beside_the_conversation_is_not_passed_over(
        self, read: Callable[..., Row], record: dict
    ) -> None:
        before = {"role": "system", "content": "Be brief."}
        with_it = read("here", record | {"system": "Be brief."})
        assert with_it.prompt == (before, *read("here", record | {"system": ""}).prompt)

    def test_a_column_of_parquet_that_a_row_leaves_empty_is_not_there(self) -> None:
        row = sft_row("here", {"messages": None, "text": "Old tea."})
        assert row.prompt[0]["content"] == "Old tea."
        assert prompt_row("here", {"prompt": None, "messages": ask("x")}).prompt == (ask("x")[0],)

    @pytest.mark.parametrize("more", [{}, {"prompt": "x"}, {"completion": "y"}])
    def test_a_text_is_text(self, more: dict) -> None:
        with pytest.raises(BadInput, match="line 3: text must be text, not 7"):
            sft_row("sft/train.jsonl line 3", {"text": 7} | more)

    @pytest.mark.parametrize("system", [5, ["s"], {"role": "system"}, float("nan")])
    def test_a_system_prompt_is_text(self, system: object) -> None:
        with pytest.raises(BadInput, match="line 3: system must be text, not"):
            prompt_row("prompts/train.jsonl line 3", {"prompt": "x", "system": system})

    @pytest.mark.parametrize(
        ("record", "says"),
        [
            ({"prompt": ask("x"), "chosen": say("a")}, "has no rejected"),
            ({"text": "x"}, "has no chosen and no rejected: a preference row is"),
            (PAIR | {"margin": "large"}, "margin must be a number"),
            (PAIR | {"chosen": [{"role": "assistant"}]}, "needs a role and content"),
            (PAIR | {"prompt": [{"role": "robot", "content": "x"}]}, "unknown role 'robot'"),
            (PAIR | {"chosen": {"text": None}}, "chosen must be text or a list of messages"),
            (PAIR | {"margin": 10**400}, r"margin is too large a number; 1e\+30 is the most"),
            (PAIR | {"weight": 1e300}, "weight is too large a number"),
            ({"half \ud83d": 1}, r"this one has half \\ud83d\."),
            ({"prompt": ask("x"), "responses": ["a", "b"], "ranks": [1]}, "a rank for each"),
            ({"chosen": "\n\nHuman: x\n\nAssistant: a", "rejected": "\n\nHuman: y\n\nAssistant: b"},
             "do not answer the same prompt"),
        ],
    )  # fmt: skip
    def test_a_malformed_row_is_named_with_what_it_lacks(self, record: dict, says: str) -> None:
        with pytest.raises(BadInput, match=says) as error:
            comparison_row("preference/train.jsonl line 7", record)
        assert "preference/train.jsonl line 7" in str(error.value)


class TestFolders:
    def test_reward_reads_rankings_where_there_are_any(self, tmp_path: Path) -> None:
        write(tmp_path, "preference", [PAIR])
        assert open_config(tmp_path, purpose="reward", wanted=None).name == "preference"
        write(tmp_path, "ranking", [{}])
        assert open_config(tmp_path, purpose="reward", wanted=None).name == "ranking"
        assert open_config(tmp_path, purpose="reward", wanted="preference").name == "preference"

    def test_a_missing_config_names_those_that_are_there(self, tmp_path: Path) -> None:
        write(tmp_path, "preference", [PAIR])
        with pytest.raises(BadInput, match=r"no sft folder .*; it has preference"):
            open_config(tmp_path, purpose="sft", wanted=None)
        with pytest.raises(BadInput, match="does not exist"):
            open_config(tmp_path / "none", purpose="sft", wanted=None)

    def test_gzip_plain_and_parquet_hold_the_same(self, tmp_path: Path) -> None:
        rows = manners.rows("preference", manners.prompts()[:3])
        manners.write_split(tmp_path / "gz", "preference", "train", rows)
        write(tmp_path / "plain", "preference", rows)
        (tmp_path / "parquet" / "preference").mkdir(parents=True)
        table = pa.Table.from_pylist(rows)
        pq.write_table(table, tmp_path / "parquet" / "preference" / "train.parquet")
        found = [
            [comparison_row("here", record) for _, record in read_split(folder, "train")]
            for folder in (tmp_path / kind / "preference" for kind in ("gz", "plain", "parquet"))
        ]
        assert found[0] == found[1] == found[2]
        assert len(found[0]) == 3

    def test_one_split_in_two_files_is_refused(self, tmp_path: Path) -> None:
        for suffix in (".jsonl", ".jsonl.gz"):
            (tmp_path / f"train{suffix}").touch()
        with pytest.raises(BadInput, match=r"has train\.jsonl\.gz and train\.jsonl: which one"):
            open_config(tmp_path, purpose="dpo", wanted=None)

    def test_a_line_that_is_not_json_is_named(self, tmp_path: Path) -> None:
        write(tmp_path, "sft", [PAIR, "{broken"])
        with pytest.raises(BadInput, match=r"train.jsonl line 2 is not JSON"):
            read_split(tmp_path / "sft", "train")

    def test_what_is_wrong_with_a_line_is_said_without_a_word_of_python(
        self, tmp_path: Path
    ) -> None:
        write(tmp_path, "sft", [PAIR, '{"margin": ' + 5000 * "9" + "}"])
        with pytest.raises(BadInput, match=r"train.jsonl line 2 has a number of too many digits"):
            read_split(tmp_path / "sft", "train")
        write(tmp_path, "sft", [PAIR, '{"prompt": }'])
        with pytest.raises(BadInput, match=r"Expecting value at character 12\. Mend the line"):
            read_split(tmp_path / "sft", "train")

    @pytest.mark.parametrize("other", ["latin-1", "utf-16"])
    def test_a_line_in_another_encoding_is_named(self, other: str, tmp_path: Path) -> None:
        file = write(tmp_path, "sft", [PAIR, PAIR]) / "sft" / "train.jsonl"
        file.write_bytes(file.read_bytes() + '{"text": "é"}'.encode(other))
        with pytest.raises(BadInput, match=r"line 3 is not UTF-8 text\. Save the file as UTF-8"):
            read_split(tmp_path / "sft", "train")

    def test_the_mark_of_windows_before_the_first_line_is_no_trouble(self, tmp_path: Path) -> None:
        file = write(tmp_path, "sft", [PAIR]) / "sft" / "train.jsonl"
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
        assert [record for _, record in read_split(tmp_path / "sft", "train")] == [PAIR]

    def test_a_file_cut_off_in_the_middle_is_named(self, tmp_path: Path) -> None:
        manners.write_dataset(tmp_path, ("sft",), train=20, test=2)
        file = tmp_path / "sft" / "train.jsonl.gz"
        file.write_bytes(file.read_bytes()[:100])
        with pytest.raises(BadInput, match="cannot be read"):
            read_split(tmp_path / "sft", "train")
