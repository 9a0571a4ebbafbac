"""What goes wrong, and the sentence that says what to change; nothing is left half done."""

import json
import shutil
import signal
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from app.trainer import failures
from app.trainer.__main__ import main
from tests.trainer import manners
from tests.trainer.manners import ask, say
from tests.trainer.processes import start

PAIR = {"prompt": ask("x"), "chosen": say("a"), "rejected": say("b")}


def sentence(err: str) -> str:
    """Standard error as the one line it should be."""
    lines = err.strip().splitlines()
    assert len(lines) == 1, err
    return lines[0]


class TestInputs:
    def test_missing_dataset(self, train, tmp_path: Path) -> None:
        run = train("sft", dataset=tmp_path / "nowhere")
        assert run.code == 2
        assert "dataset folder" in sentence(run.err)
        assert run.result["state"] == "failed"
        assert run.result["error"] == sentence(run.err)

    def test_missing_config_of_the_dataset(self, train, rankings: Path) -> None:
        run = train("sft", dataset=rankings)
        assert run.code == 2
        assert "has no sft folder" in sentence(run.err)
        assert "it has ranking" in run.err

    @pytest.mark.parametrize(
        ("row", "says"),
        [
            ({"chosen": "hello", "rejected": "bye"}, "do not answer the same prompt"),
            (["not", "an", "object"], "is not a JSON object"),
        ],
    )
    def test_malformed_row(self, train, tmp_path: Path, row, says: str) -> None:
        manners.write_split(tmp_path / "d", "preference", "train", [row])
        run = train("dpo", dataset=tmp_path / "d")
        assert run.code == 2
        assert says in sentence(run.err)

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"ranks": ["a", 1]}, "ranks must be a list of whole numbers, not ['a', 1]"),
            ({"ranks": [1.5, 2]}, "ranks must be a list of whole numbers"),
            ({"ranks": [None, 2]}, "ranks must be a list of whole numbers"),
            ({"ranks": 3}, "ranks must be a list of whole numbers"),
            ({"ranks": [1, 2, 3]}, "a rank for each"),
            ({"responses": "ab"}, "responses must be a list"),
            ({"responses": 5}, "responses must be a list"),
        ],
    )
    def test_malformed_ranking(self, train, tmp_path: Path, change: dict, says: str) -> None:
        row = {"prompt": ask("x"), "responses": [say("a"), say("b")], "ranks": [1, 2]} | change
        manners.write_split(tmp_path / "d", "ranking", "train", [row])
        run = train("reward", dataset=tmp_path / "d")
        assert run.code == 2
        assert says in sentence(run.err)

    def test_a_line_that_is_nested_without_end(self, train, tmp_path: Path) -> None:
        (tmp_path / "d" / "sft").mkdir(parents=True)
        (tmp_path / "d" / "sft" / "train.jsonl").write_text('{"messages": ' + "[" * 100_000)
        run = train("sft", dataset=tmp_path / "d")
        assert run.code == 2
        assert "line 1 is nested too deeply" in sentence(run.err)

    @pytest.mark.parametrize("kind", ["reward", "dpo"])
    def test_a_batch_of_weight_0_moves_nothing(self, kind: str, train, tmp_path: Path) -> None:
        manners.write_split(tmp_path / "d", "preference", "train", [PAIR | {"weight": 0}] * 2)
        run = train(kind, dataset=tmp_path / "d", max_steps=1)
        assert run.code == 0, run.err
        assert (run.metrics[0]["loss"], run.metrics[0]["grad_norm"]) == (0, 0)

    @pytest.mark.parametrize(
        ("kind", "settings"),
        [("dpo", {"dataset_config": "ranking"}), ("reward", {"ranking_ties": "drop"})],
    )
    def test_rankings_without_a_strict_pair_do_not_dilute_the_mean(
        self, kind: str, settings: dict, train, tmp_path: Path
    ) -> None:
        made = manners.rows("ranking", manners.prompts()[:6])
        tied = [row | {"ranks": [1, 1, 1, 1]} for row in made[3:]]
        losses = []
        for name, rows in (("some", made[:3] + tied), ("none", made[:3])):
            manners.write_split(tmp_path / name, "ranking", "train", rows)
            run = train(kind, dataset=tmp_path / name, max_steps=1, output=name + kind, **settings)
            assert run.code == 0, run.err
            losses.append(run.metrics[0]["loss"])
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)

    def test_nothing_left_to_train_on(self, train) -> None:
        run = train("dpo", max_length=8)
        assert run.code == 2
        assert "None of the 24 rows can be used" in sentence(run.err)
        assert "Raise max_length" in run.err

    def test_unknown_and_impossible_settings(self, train) -> None:
        run = train("dpo", betta=0.2)
        assert run.code == 2
        assert "did you mean beta?" in sentence(run.err)
        assert not run.folder.exists()
        assert train("dpo", beta=-1).code == 2
        assert train("dpo", "--set", "beta").code == 2

    def test_settings_come_from_a_file_and_the_command_line_wins(
        self, train, tmp_path: Path
    ) -> None:
        for name, text in (
            ("c.toml", "max_steps = 1\nbeta = 0.3\n"),
            ("c.json", '\ufeff{"beta": 0.3}'),  # as some editors begin a file
        ):
            (tmp_path / name).write_text(text, encoding="utf-8")
            run = train("dpo", "--config", str(tmp_path / name), max_steps=2, output=name + "-run")
            config = json.loads((run.folder / "config.json").read_text())
            assert (config["beta"], config["max_steps"]) == (0.3, 2)
        (tmp_path / "broken.toml").write_text("beta =")
        run = train("dpo", "--config", str(tmp_path / "broken.toml"), output="broken")
        assert run.code == 2
        assert "cannot be read" in sentence(run.err)

    def test_a_folder_with_a_run_is_not_overwritten(self, train) -> None:
        assert train("sft", max_steps=1).code == 0
        run = train("sft", max_steps=1)
        assert run.code == 2
        assert "already holds a run" in sentence(run.err)
        assert run.result["state"] == "succeeded"

    @pytest.mark.parametrize("output", ["file", "file/below"])
    def test_a_run_folder_that_cannot_be_written(self, train, tmp_path: Path, output: str) -> None:
        (tmp_path / "file").write_text("here already")
        run = train("sft", output=output)
        assert run.code == 2
        assert "cannot be written" in sentence(run.err)
        assert "Choose another --output" in run.err

    @pytest.mark.parametrize(
        "says",
        ["Error while serializing: I/O error: No space left on device (os error 28)",
         "[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"],
    )  # fmt: skip
    def test_a_checkpoint_that_found_no_room_leaves_nothing_behind(
        self, train, monkeypatch: pytest.MonkeyPatch, says: str
    ) -> None:
        """The messages are those of safetensors and torch; only the moment is chosen here."""

        def full(*_: object) -> None:
            raise RuntimeError(says)

        monkeypatch.setattr("torch.save", full)
        run = train("sft", max_steps=1)
        assert run.code == 1
        assert "The disk is full. Make room" in sentence(run.err)
        assert run.result["error"] == sentence(run.err)
        assert not any((run.folder / "checkpoints").iterdir())

    def test_a_new_model_that_found_no_room_leaves_nothing_behind(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        def full(*_: object, **__: object) -> None:
            raise SafetensorError("I/O error: No space left on device (os error 28)")

        monkeypatch.setattr("transformers.PreTrainedModel.save_pretrained", full)
        corpus, output = tmp_path / "corpus.txt", tmp_path / "new" / "model"
        corpus.write_text("A hen lays an egg, and an egg becomes a hen.\n" * 200)
        options = ["--steps", "0", "--output", str(output), "--corpus", str(corpus)]
        assert main(["new", "--size", "tiny", *options]) == 1
        assert sentence(capsys.readouterr().err) == (
            "The disk is full. Make room, then run it again."
        )
        assert list(output.parent.iterdir()) == []

    def test_a_disk_without_room_ends_with_a_sentence(self, train, tmp_path: Path) -> None:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "samples.jsonl").symlink_to("/dev/full")
        run = train("sft", max_steps=1)
        assert run.code == 1
        assert "The disk is full. Make room" in sentence(run.err)
        assert run.result["state"] == "failed"

    def test_a_folder_of_a_run_that_never_began_is_used(self, train, tmp_path: Path) -> None:
        assert train("sft", dataset=tmp_path / "nowhere").code == 2
        assert train("sft", max_steps=1).code == 0


class TestNumbers:
    def test_a_learning_rate_that_blows_up_ends_with_code_4(self, train) -> None:
        run = train("sft", learning_rate=1e25, max_steps=20, max_grad_norm=0)
        assert run.code == 4
        assert "Not a number at step" in sentence(run.err)
        assert "Lower learning_rate (now 1e+25)" in run.err
        assert run.result["state"] == "failed"
        assert not (run.folder / "model").exists()

    @pytest.mark.parametrize("kind", ["reward", "dpo"])
    def test_so_does_one_whose_weights_are_looked_at_before(self, kind: str, train) -> None:
        """What is evaluated and watched after the update that broke them says nothing of it."""
        run = train(kind, learning_rate=1e10, max_steps=3, eval_steps=1)
        assert run.code == 4, run.err
        assert any(each in run.err for each in ("Not a number", "not a number", "not numbers"))

    def test_weights_that_are_not_numbers_end_with_code_4(
        self, train, micro: str, tmp_path: Path
    ) -> None:
        model = Path(shutil.copytree(micro, tmp_path / "model"))
        weights = load_file(model / "model.safetensors")
        weights["model.norm.weight"][0] = float("nan")
        save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
        run = train("dpo", model=str(model), max_steps=2)
        assert run.code == 4
        assert "has weights that are not numbers (model.norm.weight)" in sentence(run.err)
        assert "data" not in run.result  # found before anything is read

    def test_out_of_memory_ends_with_code_3(self, train, monkeypatch) -> None:
        """The message is torch's own for a CPU; only the moment is chosen here."""

        def starved(*_: object, **__: object) -> None:
            torch.empty(1 << 60)

        monkeypatch.setattr("app.trainer.lm.target_logits", starved)
        run = train("sft", max_steps=1)
        assert run.code == 3
        assert "Lower max_tokens_per_forward" in sentence(run.err)
        assert run.result["state"] == "failed"

    def test_signs_of_memory(self) -> None:
        assert failures.is_out_of_memory(MemoryError())
        assert failures.is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
        cublas = "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"
        assert failures.is_out_of_memory(RuntimeError(cublas))
        assert not failures.is_out_of_memory(RuntimeError("shapes do not match"))


class TestResume:
    def test_other_settings_data_or_model_are_refused(
        self, train, judge: str, tmp_path: Path
    ) -> None:
        given = {"max_steps": 4, "save_steps": 2}
        assert train("reward", **given).code == 0
        run = train("reward", "--resume", **given, weight_decay=0.1)
        assert run.code == 2
        assert "weight_decay was 0.0, now 0.1" in sentence(run.err)
        other = manners.write_dataset(tmp_path / "other", ("preference",), train=30, test=4)
        run = train("reward", "--resume", dataset=other, **given)
        assert "trained on another data" in sentence(run.err)
        run = train("reward", "--resume", model=judge, **given)
        assert "trained on another model" in sentence(run.err)

    @pytest.mark.parametrize("other", ["weight", "p", "margin", "ranks", "label"])
    def test_other_judgements_of_the_same_responses_are_refused(
        self, other: str, train, tmp_path: Path
    ) -> None:
        config = {"ranks": "ranking", "label": "unpaired"}.get(other, "preference")
        rows = manners.rows(config, manners.prompts()[:6])
        manners.write_split(tmp_path / "made", config, "train", rows)
        given = {"dataset": tmp_path / "made", "max_steps": 2, "num_samples": 0}
        kind, more = ("dpo", {"loss_type": "kto"}) if other == "label" else ("reward", {})
        assert train(kind, **given, **more).code == 0
        changed = {"ranks": [2, 1, 4, 3], "label": not rows[1].get("label")}.get(other, 0.5)
        rows[1][other] = changed
        manners.write_split(tmp_path / "made", config, "train", rows)
        run = train(kind, "--resume", **given, **more)
        assert run.code == 2
        assert "trained on another set of judgements" in sentence(run.err)

    def test_settings_need_not_be_repeated(self, train, data: Path, micro: str) -> None:
        run = train("sft", max_steps=2, weight_decay=0.5)
        options = ["--dataset", str(data), "--model", micro, "--output", str(run.folder)]
        assert main(["sft", *options, "--resume", "--set", "max_steps=3"]) == 0
        assert [row["step"] for row in run.metrics] == [1, 2, 3]
        assert json.loads((run.folder / "config.json").read_text())["weight_decay"] == 0.5
        assert run.metrics[2]["learning_rate"] == pytest.approx(1e-3 / 3)  # of three, not of two

    def test_a_checkpoint_alone_in_another_folder_is_enough(self, train, tmp_path: Path) -> None:
        given = {"max_steps": 4, "save_steps": 2, "save_total_limit": 0}
        whole = train("dpo", output="whole", **given)
        shutil.copytree(
            whole.folder / "checkpoints" / "step-2", tmp_path / "moved" / "checkpoints" / "step-2"
        )
        moved = train("dpo", "--resume", output="moved", **given)
        assert moved.code == 0, moved.err
        assert moved.figures() == whole.figures()[2:]

    def test_what_people_put_into_the_folder_is_passed_over(self, train) -> None:
        given = {"save_steps": 1, "save_total_limit": 1, "num_samples": 0}
        first = train("sft", max_steps=1, **given)
        saved = first.folder / "checkpoints"
        shutil.copytree(saved / "step-1", saved / "step-1-backup")
        with (first.folder / "metrics.jsonl").open("ab") as metrics:
            metrics.write(b'\xff\n[]\n{"note": "good so far"}\n')
        run = train("sft", "--resume", max_steps=2, **given)
        assert run.code == 0, run.err
        assert sorted(p.name for p in saved.iterdir()) == ["step-1-backup", "step-2"]
        assert [row["step"] for row in run.metrics] == [1, 2]

    def test_where_no_run_is_there_is_nothing_to_resume(self, train) -> None:
        run = train("sft", "--resume", max_steps=2)
        assert run.code == 2
        assert "There is nothing to resume" in sentence(run.err)
        assert not run.folder.exists()

    def test_a_run_without_a_checkpoint_begins_at_the_start(self, train) -> None:
        shutil.rmtree(train("sft", max_steps=1).folder / "checkpoints")
        run = train("sft", "--resume", max_steps=2)
        assert run.code == 0, run.err
        assert [row["step"] for row in run.metrics] == [1, 2]
        assert "no checkpoint yet: it begins at the start" in run.out

    def test_a_run_of_another_kind_is_refused(self, train) -> None:
        train("sft", max_steps=1)
        run = train("dpo", "--resume", max_steps=1)
        assert run.code == 2
        assert "holds a run of sft, which dpo cannot resume" in sentence(run.err)

    @pytest.mark.parametrize("kind", ["sft", "reward"])
    def test_weights_of_a_checkpoint_that_were_cut_off_are_named(self, kind: str, train) -> None:
        """As a disk that lost its power leaves them."""
        weights = train(kind, max_steps=1).folder / "checkpoints/step-1/model/model.safetensors"
        weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
        broken = train(kind, "--resume", max_steps=2)
        assert broken.code == 2
        assert "step-1 cannot be read. Remove it" in sentence(broken.err)

    def test_files_that_cannot_be_read_are_named(self, train) -> None:
        run = train("sft", max_steps=1)
        (run.folder / "checkpoints" / "step-1" / "state.pt").write_bytes(b"cut off")
        broken = train("sft", "--resume", max_steps=2)
        assert broken.code == 2
        assert "step-1 cannot be read. Remove it" in sentence(broken.err)
        (run.folder / "config.json").write_text("{")
        broken = train("sft", "--resume", max_steps=2)
        assert broken.code == 2
        assert "config.json cannot be read" in sentence(broken.err)


class TestSignals:
    def test_sigterm_saves_a_checkpoint_and_ends_with_130(
        self, data: Path, micro: str, tmp_path: Path
    ) -> None:
        folder = tmp_path / "run"
        command = ["dpo", "--dataset", str(data), "--model", micro, "--set", "max_steps=100000"]
        command += ["--set", "num_samples=0", "--set", "eval_steps=100000"]
        run = start(command, folder, processes=1)
        run.wait_for_steps(3)
        run.send(signal.SIGTERM, 0)
        assert run.wait() == [130], run.errors
        assert "Cancelled after step" in sentence(run.err())
        steps = run.result["steps"]
        assert run.result["state"] == "cancelled"
        assert (folder / "checkpoints" / f"step-{steps}" / "state.pt").is_file()
        assert run.figures()[-1]["step"] == steps
        assert f"step {steps}/100000" in run.out()
