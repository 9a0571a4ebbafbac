"""Models that cannot be used, and the sentence that says why."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from app.trainer.__main__ import main
from tests.trainer.manners import ask, say
from tests.trainer.test_troubles import sentence


class TestModels:
    def copy(self, micro: str, tmp_path: Path) -> Path:
        return Path(shutil.copytree(micro, tmp_path / "model"))

    def test_missing_folder(self, train, tmp_path: Path) -> None:
        run = train("sft", model=str(tmp_path / "nowhere"))
        assert run.code == 2
        assert "does not exist" in sentence(run.err)

    def test_a_name_that_is_neither_a_folder_nor_in_the_cache(
        self, train, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        run = train("sft", model="nobody/nothing")
        assert run.code == 2
        assert "neither a folder here nor a model in the local cache" in sentence(run.err)

    def test_pickled_weights_are_never_read(self, train, micro: str, tmp_path: Path) -> None:
        model = self.copy(micro, tmp_path)
        torch.save(load_file(model / "model.safetensors"), model / "pytorch_model.bin")
        (model / "model.safetensors").unlink()
        run = train("sft", model=str(model))
        assert run.code == 2
        assert "pickled weights" in sentence(run.err)
        assert "safetensors" in run.err

    def test_weights_in_several_files_are_read_and_a_missing_one_is_named(
        self, train, micro: str, tmp_path: Path
    ) -> None:
        model = self.copy(micro, tmp_path)
        AutoModelForCausalLM.from_pretrained(micro).save_pretrained(model, max_shard_size="50KB")
        (model / "model.safetensors").unlink()
        run = train("sft", model=str(model), max_steps=1)
        assert run.code == 0, run.err
        next(model.glob("model-00002-*.safetensors")).unlink()
        run = train("sft", model=str(model), output="b")
        assert run.code == 2
        assert "is half copied: model-00002-of-" in sentence(run.err)

    def test_code_that_a_model_brings_along_is_never_run(
        self, train, micro: str, tmp_path: Path
    ) -> None:
        model = self.copy(micro, tmp_path)
        (model / "own.py").write_text("raise SystemExit('was run')")
        config = json.loads((model / "config.json").read_text())
        config["auto_map"] = {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Model"}
        (model / "config.json").write_text(json.dumps(config))
        run = train("sft", model=str(model), max_steps=1)  # a Llama without it
        assert run.code == 0, run.err
        (model / "config.json").write_text(json.dumps(config | {"model_type": "own"}))
        run = train("sft", model=str(model), output="b")
        assert run.code == 2
        assert "brings code of its own, which is never run here" in sentence(run.err)

    def test_a_folder_without_a_model_or_weights(self, train, micro: str, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        run = train("sft", model=str(tmp_path / "empty"))
        assert "has no config.json" in sentence(run.err)
        model = self.copy(micro, tmp_path)
        (model / "model.safetensors").unlink()
        run = train("sft", model=str(model), output="b")
        assert "no *.safetensors" in sentence(run.err)

    def test_weights_that_lack_a_part_are_refused(self, train, micro: str, tmp_path: Path) -> None:
        model = self.copy(micro, tmp_path)
        weights = load_file(model / "model.safetensors")
        del weights["model.layers.1.mlp.up_proj.weight"]
        save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
        run = train("sft", model=str(model))
        assert run.code == 2
        assert "lacks weights" in sentence(run.err)

    def test_a_reward_model_without_its_head_is_refused(
        self, train, judge: str, tmp_path: Path
    ) -> None:
        model = self.copy(judge, tmp_path)
        weights = load_file(model / "model.safetensors")
        del weights["score.weight"]
        save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
        run = train("reward", model=str(model))
        assert run.code == 2
        assert "lacks weights, such as score.weight" in sentence(run.err)

    def test_weights_cut_off_in_the_middle_are_refused(
        self, train, micro: str, tmp_path: Path
    ) -> None:
        model = self.copy(micro, tmp_path)
        file = model / "model.safetensors"
        file.write_bytes(file.read_bytes()[:1000])
        run = train("sft", model=str(model))
        assert run.code == 2
        assert "cannot be loaded" in sentence(run.err)

    @pytest.mark.parametrize(
        ("file", "text", "says"),
        [
            ("config.json", "[]", "cannot be loaded"),
            ("config.json", "{", "cannot be loaded"),
            ("tokenizer.json", "{}", "The tokenizer in"),
        ],
    )
    def test_files_that_are_not_sound(
        self, train, micro: str, tmp_path: Path, file: str, text: str, says: str
    ) -> None:
        model = self.copy(micro, tmp_path)
        (model / file).write_text(text)
        run = train("sft", model=str(model))
        assert run.code == 2
        assert says in sentence(run.err)
        assert "Check that the folder is whole, or choose another model." in run.err

    def test_weights_of_another_shape_are_refused(self, train, micro: str, tmp_path: Path) -> None:
        model = self.copy(micro, tmp_path)
        config = json.loads((model / "config.json").read_text())
        (model / "config.json").write_text(json.dumps(config | {"vocab_size": 300}))
        run = train("sft", model=str(model))
        assert run.code == 2
        assert "cannot be loaded" in sentence(run.err)

    def test_a_folder_without_a_tokenizer(self, train, micro: str, tmp_path: Path) -> None:
        model = self.copy(micro, tmp_path)
        for file in model.glob("*token*"):
            file.unlink()
        run = train("sft", model=str(model))
        assert run.code == 2
        assert "has no tokenizer (tokenizer.json)" in sentence(run.err)

    def test_rows_with_tokens_that_the_model_does_not_know_are_left_out(
        self, train, micro: str, tmp_path: Path
    ) -> None:
        from transformers import AutoTokenizer

        model = self.copy(micro, tmp_path)
        tokenizer = AutoTokenizer.from_pretrained(model)
        tokenizer.add_tokens(["dull"])
        tokenizer.save_pretrained(model)
        run = train("dpo", model=str(model), max_steps=1)
        assert run.code == 0, run.err
        assert "tokens beyond the" in run.out
        dropped = run.result["data"]["train"]["dropped"]
        assert 0 < sum(dropped.values()) < 24

    @pytest.mark.parametrize("device", ["cuda:99", "meta", "gpu"])
    def test_a_device_that_is_not_here(self, train, device: str) -> None:
        run = train("sft", "--device", device)
        assert run.code == 2
        assert f"--device {device}" in sentence(run.err)

    def test_a_reward_model_is_no_language_model(self, train, judge: str) -> None:
        run = train("sft", model=judge)
        assert run.code == 2
        assert "is a reward model; a language model is needed" in sentence(run.err)

    def test_pad_token_that_is_the_end_token_gets_one_of_its_own(
        self, train, micro: str, tmp_path: Path
    ) -> None:
        """The end token must be scored, and a padded batch in any library give the same scores."""
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        model = self.copy(micro, tmp_path)
        tokenizer = AutoTokenizer.from_pretrained(model)
        tokenizer.pad_token = tokenizer.eos_token
        tokenizer.save_pretrained(model)
        run = train("reward", model=str(model), max_steps=2)
        assert run.code == 0, run.err
        tokenizer = AutoTokenizer.from_pretrained(run.folder / "model")
        assert tokenizer.pad_token_id != tokenizer.eos_token_id
        loaded = AutoModelForSequenceClassification.from_pretrained(run.folder / "model").eval()
        assert loaded.config.pad_token_id == tokenizer.pad_token_id
        talks = [ask("Tell me about tea.") + say("Go away."), ask("Why?") + say("Old tea " * 5)]
        texts = [tokenizer.apply_chat_template(talk, tokenize=False) for talk in talks]
        together = tokenizer(texts, padding=True, return_tensors="pt", add_special_tokens=False)
        with torch.no_grad():
            padded = loaded(**together).logits.squeeze(-1).tolist()
        lines = [{"prompt": t[:-1], "responses": [t[-1:]]} for t in talks]
        file, out = tmp_path / "l.jsonl", tmp_path / "s.jsonl"
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        main(["score", "--model", str(run.folder / "model"), "--output", str(out), str(file)])
        ours = [json.loads(line)["scores"][0] for line in out.read_text().splitlines()]
        assert ours == pytest.approx(padded, abs=1e-4)

    def test_model_with_a_short_context_shortens_what_is_read(
        self, train, micro: str, tmp_path: Path
    ) -> None:
        model = self.copy(micro, tmp_path)
        config = json.loads((model / "config.json").read_text())
        (model / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 40}))
        run = train("sft", model=str(model), max_steps=1)
        assert run.code == 0, run.err
        assert "sees at most 40 tokens" in run.out
        assert run.result["data"]["train"]["dropped"]
