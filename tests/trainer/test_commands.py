"""`new`, `generate` and `score`, from the command line to the lines they write."""

import io
import json
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from app.corpus.formats import Limits, read_file
from app.trainer.__main__ import main
from app.trainer.generate import kept_lines
from tests.trainer import manners


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]):
    """Run a command → exit code, standard output, standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main([str(a) for a in arguments])
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return run


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    file = tmp_path / "prompts.jsonl"
    rows = [
        {"prompt": "Tell me about tea.", "id": "one", "tags": ["drink"]},
        {"prompt": manners.ask("Where do I find maps?"), "system": "Be brief."},
        {"prompt": "Why do people like bees?", "responses": ["old"]},
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows) + '"A bare string?"\n')
    return file


class TestNew:
    def test_makes_a_model_with_tokens_of_its_own(self, command, corpus, tmp_path: Path) -> None:
        code, out, err = command(
            "new", "--size", "tiny", "--corpus", corpus, "--output", tmp_path / "m", "--steps", 3
        )
        assert code == 0, err
        assert "M parameters" in out
        assert "loss" in err
        tokenizer = AutoTokenizer.from_pretrained(tmp_path / "m")
        ids = {tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id}
        assert len(ids) == 3 or None in ids
        talk = manners.ask("Hello?") + manners.say("Go away.")
        text = tokenizer.apply_chat_template(talk, tokenize=False)
        assert text == "<|user|>Hello?<|end|><|assistant|>Go away.<|end|>"
        asked = tokenizer.apply_chat_template(talk[:1], tokenize=False, add_generation_prompt=True)
        assert asked == "<|user|>Hello?<|end|><|assistant|>"
        masked = tokenizer.apply_chat_template(
            talk, return_dict=True, return_assistant_tokens_mask=True
        )
        assert sum(masked["assistant_masks"]) == len(tokenizer("Go away.<|end|>")["input_ids"])
        model = AutoModelForCausalLM.from_pretrained(tmp_path / "m")
        assert 0.6e6 < sum(p.numel() for p in model.parameters()) < 1.3e6
        assert model.generation_config.eos_token_id == tokenizer.eos_token_id

    def test_any_text_survives_the_tokenizer(self, tokenizer) -> None:
        for text in ("naïve façade", "日本語 🙂", "  two  spaces\n\ttab", "\x00\x7f"):
            assert tokenizer.decode(tokenizer(text)["input_ids"]) == text

    def test_reads_text_json_lines_and_parquet(self, command, tmp_path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = manners.rows("preference", manners.prompts()[:20])
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "p.parquet")
        (tmp_path / "t.txt").write_text("Some plain text.\n\nAnd a second part. " * 20)
        lines = [
            {"text": "One."}, {"prompt": "x", "responses": ["a", {"text": "b"}]},
            {"chosen": "\n\nHuman: x\n\nAssistant: y", "rejected": "\n\nHuman: x\n\nAssistant: z"},
        ]  # fmt: skip
        (tmp_path / "j.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        files = [tmp_path / name for name in ("p.parquet", "t.txt", "j.jsonl")]
        arguments = ["new", "--size", "tiny", "--output", tmp_path / "m", "--steps", 1]
        code, _, err = command(*arguments, "--corpus", *files)
        assert code == 0, err

    def test_half_a_character_is_left_out(self, command, corpus, tmp_path: Path) -> None:
        file = tmp_path / "more.jsonl"
        rows = [{"text": "half \ud83d"}, {"messages": manners.ask("\ud83d") + manners.say("Yes.")}]
        file.write_text(corpus.read_text() + "".join(json.dumps(row) + "\n" for row in rows))
        given = ("--corpus", file, "--output", tmp_path / "m", "--steps", 0)
        code, _, err = command("new", "--size", "tiny", *given)
        assert code == 0, err

    def test_same_seed_same_model(self, command, corpus, tmp_path: Path) -> None:
        for name in ("a", "b"):
            given = ["--corpus", corpus, "--output", tmp_path / name, "--steps", 2]
            assert command("new", "--size", "tiny", *given)[0] == 0
        weights = [(tmp_path / n / "model.safetensors").read_bytes() for n in ("a", "b")]
        assert weights[0] == weights[1]

    @pytest.mark.parametrize(
        ("name", "content", "says"),
        [
            ("none.txt", None, "does not exist"),
            ("x.pdf", "x", "a corpus is .txt"),
            ("x.txt", "\n\n", "holds no text"),
            ("x.txt", "tea", "holds only"),
            ("x.jsonl", "{broken\n", "is not JSON"),
            ("x.jsonl", '{"prompt": "x", "responses": 5}\n', "line 1: responses must be a list"),
        ],
    )
    def test_a_corpus_that_will_not_do(
        self, command, tmp_path: Path, name: str, content: str | None, says: str
    ) -> None:
        if content is not None:
            (tmp_path / name).write_text(content)
        code, _, err = command(
            "new", "--size", "tiny", "--corpus", tmp_path / name, "--output", tmp_path / "m"
        )
        assert code == 2
        assert says in err
        assert not (tmp_path / "m").exists()

    def test_an_existing_model_is_kept(self, command, corpus, micro: str) -> None:
        code, _, err = command("new", "--size", "tiny", "--corpus", corpus, "--output", micro)
        assert code == 2
        assert "already holds files" in err

    def test_a_folder_of_other_files_is_kept(self, command, corpus, tmp_path: Path) -> None:
        (tmp_path / "thesis.txt").write_text("Years of work.")
        given = ("new", "--size", "tiny", "--corpus", corpus, "--steps", 0, "--output")
        code, _, err = command(*given, tmp_path)
        assert (code, err) == (2, f"{tmp_path} already holds files. Choose another --output.\n")
        assert (tmp_path / "thesis.txt").read_text() == "Years of work."
        (tmp_path / "empty").mkdir()
        assert command(*given, tmp_path / "empty")[0] == 0

    @pytest.mark.parametrize(
        "option",
        [
            ("--learning-rate", "-1"), ("--learning-rate", "nan"), ("--learning-rate", "inf"),
            ("--seed", "-1"), ("--seed", 10**30), ("--steps", "-1"), ("--vocab-size", "0"),
            ("--vocab-size", 10**20),
        ],
    )  # fmt: skip
    def test_a_number_that_cannot_be_used(
        self, option: tuple, command, corpus, tmp_path: Path
    ) -> None:
        given = ("new", "--size", "tiny", "--corpus", corpus, "--output", tmp_path / "m")
        code, _, err = command(*given, *option)
        assert (code, err.count("\n")) == (2, 1), err
        assert option[0] in err
        assert not (tmp_path / "m").exists()

    def test_weights_that_the_last_update_broke_are_not_written(
        self, command, corpus, tmp_path: Path, monkeypatch
    ) -> None:
        def broken(optimizer) -> None:
            for group in optimizer.param_groups:
                for weights in group["params"]:
                    weights.data.fill_(float("nan"))

        monkeypatch.setattr("torch.optim.AdamW.step", broken)
        given = ("new", "--size", "tiny", "--corpus", corpus, "--output", tmp_path / "m")
        code, _, err = command(*given, "--steps", 1)
        assert code == 4
        assert "The weights are not numbers any more" in err
        assert not (tmp_path / "m").exists()


class TestGenerate:
    def run(self, command, micro: str, prompts: Path, *more: object):
        options = ["--model", micro, "--n", 2, "--max-new-tokens", 6, *more, prompts]
        return command("generate", *options)

    def test_writes_lines_ready_for_import(self, command, micro: str, prompts: Path) -> None:
        code, out, err = self.run(command, micro, prompts, "--source", "model:x")
        assert code == 0, err
        rows = lines(out)
        assert [row["prompt"] for row in rows][::3] == ["Tell me about tea.", "A bare string?"]
        assert (rows[0]["id"], rows[0]["tags"]) == ("one", ["drink"])
        assert rows[1]["system"] == "Be brief."
        for row in rows:
            assert len(row["responses"]) == 2
            assert all(r["text"] and r["source"] == "model:x" for r in row["responses"])
        assert "generate 4/4" in err

    def test_a_prompt_that_came_as_messages_can_be_imported(
        self, command, micro: str, tmp_path: Path
    ) -> None:
        file, asked = tmp_path / "prompts.jsonl", manners.ask("Tell me about tea.")
        rows = [{"messages": asked, "system": "Be brief."}, {"prompt": None, "messages": asked}]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        code, out, err = self.run(command, micro, file)
        assert code == 0, err
        limits = Limits(file_bytes=1 << 20, line_bytes=1 << 20, rows=100)
        read = list(read_file(io.BytesIO(out.encode()), format="auto", limits=limits))
        assert [row.problem for row in read] == [None, None]
        assert [row.task.messages for row in read if row.task] == [asked, asked]

    def test_what_was_said_of_other_responses_stays_behind(
        self, command, micro: str, tmp_path: Path
    ) -> None:
        """Else an import would take the ranks of a snapshot's rows for those of the new texts."""
        file = tmp_path / "ranking.jsonl"
        row = manners.rows("ranking", manners.prompts()[:1])[0]
        said = {"adjudication": {"ranks": [1, 2, 2, 3]}, "scores": [2, 1, 1, 0], "strength": 2}
        file.write_text(json.dumps(row | said | {"prompt_id": "p", "tags": ["tea"]}) + "\n")
        code, out, err = self.run(command, micro, file)
        assert code == 0, err
        assert set(lines(out)[0]) == {"prompt", "responses", "weight", "prompt_id", "tags"}

    @pytest.mark.parametrize(
        "option",
        [
            ("--n", 0), ("--n", 10**9), ("--max-new-tokens", 0), ("--batch-size", 0),
            ("--batch-size", -1), ("--temperature", "nan"), ("--temperature", -1), ("--top-p", 0),
        ],
    )  # fmt: skip
    def test_what_cannot_be_asked_for_is_said(
        self, command, micro: str, prompts: Path, option: tuple
    ) -> None:
        code, out, err = self.run(command, micro, prompts, *option)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "--max-new-tokens and --batch-size must be at least 1" in err

    def test_same_seed_same_lines(self, command, micro: str, prompts: Path) -> None:
        first = self.run(command, micro, prompts)[1]
        assert self.run(command, micro, prompts, "--batch-size", 3)[1] == first
        assert self.run(command, micro, prompts, "--seed", 1)[1] != first
        responses = lines(first)[0]["responses"]
        assert responses[0]["text"] != responses[1]["text"]

    def test_a_half_written_file_is_continued(
        self, command, micro: str, prompts: Path, tmp_path: Path
    ) -> None:
        whole, part = tmp_path / "whole.jsonl", tmp_path / "part.jsonl"
        small = ("--batch-size", 2)
        assert self.run(command, micro, prompts, *small, "--output", whole)[0] == 0
        text = whole.read_text()
        part.write_text(text[: len(text) * 2 // 3])
        assert self.run(command, micro, prompts, *small, "--output", part)[0] == 0
        assert part.read_text() == text

    def test_whole_chunks_are_kept_and_the_rest_is_cut(self, tmp_path: Path) -> None:
        file = tmp_path / "lines"
        file.write_text("a\nb\nc\nd\ne\nf")
        assert kept_lines(file, 2) == 4
        assert file.read_text() == "a\nb\nc\nd\n"

    def test_bad_lines_and_options_are_named(self, command, micro: str, tmp_path: Path) -> None:
        bad = tmp_path / "bad.jsonl"
        bad.write_text('{"prompt": "x"}\n{"question": "y"}\n')
        code, out, err = self.run(command, micro, bad)
        assert (code, out) == (2, "")
        assert "line 2 has no prompt" in err
        bad.write_text('{"prompt": "' + "tea " * 3000 + '"}\n')
        code, _, err = self.run(command, micro, bad)
        assert code == 2
        assert "No prompt can be answered. Left out 1 of 1 prompts" in err
        bad.write_text("\n")
        assert "is empty" in self.run(command, micro, bad)[2]
        assert "does not exist" in self.run(command, micro, tmp_path / "none")[2]
        assert self.run(command, micro, bad, "--top-p", 0)[0] == 2

    def test_prompts_that_the_model_cannot_take_are_left_out_and_counted(
        self, command, micro: str, prompts: Path, tmp_path: Path
    ) -> None:
        rows = prompts.read_text().splitlines(keepends=True)
        more = tmp_path / "more.jsonl"
        long = json.dumps({"prompt": "tea " * 3000}) + "\n"
        more.write_text("".join([long, *rows[:2], long, '{"prompt": "\\ud83d"}\n', *rows[2:]]))
        code, out, err = self.run(command, micro, more)
        assert code == 0, err
        assert "Left out 2 of 7 prompts: the prompt leaves no room" in err
        assert f"(first: {more} line 1)" in err
        assert "Left out 1 of 7 prompts: it holds half a character" in err
        assert out == self.run(command, micro, prompts)[1]


class TestScore:
    def test_adds_scores_and_keeps_the_rest(self, command, judge: str, tmp_path: Path) -> None:
        file = tmp_path / "l.jsonl"
        rows = [
            {"prompt": "Tell me about tea.", "responses": ["Go away.", {"text": "Thank you."}]},
            {"prompt": manners.ask("Why?"), "responses": ["a", "b", "c"], "id": 7},
            {"prompt": "x", "chosen": "a", "rejected": "b"},
            {"prompt": "x", "responses": ["short", "tea " * 3000]},
        ]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        code, out, err = command("score", "--model", judge, "--batch-size", 3, file)
        assert code == 0, err
        scored = lines(out)
        assert [len(row["scores"]) for row in scored] == [2, 3, 2, 2]
        assert scored[1]["id"] == 7
        assert scored[3]["scores"][1] is None
        assert "Left out 1 of 9 responses: longer than the 2048 tokens" in err
        assert "line 4)" in err
        alone = command("score", "--model", judge, "--batch-size", 1, file)[1]
        for a, b in zip(scored, lines(alone), strict=True):
            assert a["scores"] == pytest.approx(b["scores"], abs=1e-5)

    def test_a_line_without_responses_gets_no_scores(
        self, command, judge: str, tmp_path: Path
    ) -> None:
        """As `generate` leaves a prompt to which every try was empty."""
        file = tmp_path / "l.jsonl"
        rows = [{"prompt": "x", "responses": []}, {"prompt": "x", "responses": ["a"]}]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        code, out, err = command("score", "--model", judge, file)
        assert code == 0, err
        assert [len(row["scores"]) for row in lines(out)] == [0, 1]

    def test_half_a_character_gets_no_score_and_stays_as_it_came(
        self, command, judge: str, micro: str, tmp_path: Path
    ) -> None:
        file = tmp_path / "l.jsonl"
        row = {"prompt": "x", "responses": ["a"], "note": "half \ud83d"}
        file.write_text("".join(json.dumps(r) + "\n" for r in (row, row | {"prompt": "\ud83d"})))
        code, out, err = command("score", "--model", judge, file)
        assert code == 0, err
        assert [r["note"] for r in lines(out)] == [row["note"]] * 2
        assert [r["scores"][0] is None for r in lines(out)] == [False, True]
        given = ("--model", micro, "--n", 1, "--max-new-tokens", 6, file)
        code, out, err = command("generate", *given)
        assert code == 0, err
        assert lines(out)[0]["note"] == row["note"]

    def test_needs_a_reward_model_and_responses(
        self, command, judge: str, micro: str, tmp_path: Path
    ) -> None:
        file = tmp_path / "l.jsonl"
        file.write_text('{"prompt": "x", "responses": ["a"]}\n')
        code, out, err = command("score", "--model", micro, file)
        assert (code, out) == (2, "")
        assert "is not a reward model" in err
        file.write_text('{"prompt": "x"}\n')
        assert "has no responses" in command("score", "--model", judge, file)[2]
        code, out, err = command("score", "--model", judge, "--batch-size", 0, file)
        assert (code, out, err) == (2, "", "--batch-size must be at least 1.\n")
        for text, says in (("", "is empty"), ("{", "line 1 is not JSON"), ("[]", "not a JSON obj")):
            file.write_text(text)
            code, out, err = command("score", "--model", judge, file)
            assert (code, out) == (2, "")
            assert says in err


@pytest.mark.parametrize("name", ["score", "generate"])
def test_what_is_read_is_not_written_over(
    name: str, command, judge: str, micro: str, tmp_path: Path
) -> None:
    """`generate` would take its first prompts for answers that it has written before."""
    file = tmp_path / "l.jsonl"
    file.write_text('{"prompt": "x", "responses": ["a"]}\n')
    model = judge if name == "score" else micro
    code, _, err = command(name, "--model", model, "--output", tmp_path / "." / "l.jsonl", file)
    assert (code, err.count("\n")) == (2, 1)
    assert "is the file that is read. Choose another --output." in err
    assert file.read_text() == '{"prompt": "x", "responses": ["a"]}\n'


def test_a_device_of_too_large_a_number(command, micro: str, prompts: Path) -> None:
    code, _, err = command("generate", "--model", micro, "--device", "cuda:99999999999", prompts)
    assert (code, err) == (2, "--device cuda:99999999999: use auto, cpu, cuda or cuda:N.\n")


def test_help_of_every_command_lists_its_options(capsys) -> None:
    for name, words in {
        "sft": ("--dataset", "--resume", "learning_rate"), "reward": ("ranking_loss",),
        "dpo": ("beta", "loss_type"), "ppo": ("kl_budget", "reward_position"),
        "new": ("--corpus",), "score": ("FILE",), "generate": ("--temperature",),
    }.items():  # fmt: skip
        with pytest.raises(SystemExit) as done:
            main([name, "--help"])
        assert done.value.code == 0
        text = capsys.readouterr().out
        assert all(word in text for word in words)
