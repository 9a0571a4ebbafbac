"""Ensembles: members as if alone, the same rows in the same order, and what they disagree on."""

import gzip
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig

from app.run_config import RewardConfig
from app.trainer import lm as models
from app.trainer import reward
from app.trainer.__main__ import main
from app.trainer.reward import members
from tests.trainer import manners
from tests.trainer.test_reward import task


def weights(folder: Path) -> dict:
    return load_file(next(folder.glob("*.safetensors")))


@pytest.fixture
def run(train):
    """Three members, three steps."""
    made = train("reward", max_steps=3, ensemble_size=3, output="ensemble")
    assert made.code == 0, made.err
    return made


def test_each_member_learns_as_if_it_were_alone(train, run) -> None:
    """Clipping would tie them together if it took them for one model."""
    alone = train("reward", max_steps=3, output="alone")
    first = weights(run.folder / "model" / "member-0")
    for name, value in weights(alone.folder / "model").items():
        assert torch.allclose(first[name], value, atol=2e-5), name
    steps = zip(run.metrics, alone.metrics, strict=True)
    assert all(a["loss"] != b["loss"] for a, b in steps)  # the mean over three


def test_the_folder_says_who_they_are(run) -> None:
    folder = run.folder / "model"
    told = json.loads((folder / "ensemble.json").read_text())
    assert told["members"] == ["member-0", "member-1", "member-2"]
    assert told["disagreement"] > 0
    assert weights(folder).keys() == weights(folder / "member-2").keys()
    heads = [weights(folder / m)["score.weight"] for m in (".", *told["members"])]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[1], heads[2])
    assert models.member_folders(str(folder)) == [str(folder / m) for m in told["members"]]
    for place in (folder, folder / "member-0"):  # so that PPO knows how strange a response is
        assert models.Familiarity.load(place) is not None
    last = run.metrics[-1]
    assert 0 <= last["eval_members_differ"] <= 1
    assert last["eval_disagreement"] == pytest.approx(told["disagreement"], rel=1e-4)
    found = run.result["evaluation"]["ensemble"]
    assert (found["members"], len(found["alone"])) == (3, 3)
    assert sum(third["n"] for third in found["thirds"]) == last["eval_pairs"]
    assert "Its 3 members" in run.out


def test_each_member_knows_the_scale_of_its_own_scores(run, data: Path, tmp_path: Path) -> None:
    """Pairs leave the level of scores open: on a common scale one would always be the worst."""
    lines = gzip.decompress((data / "preference" / "test.jsonl.gz").read_bytes())
    (tmp_path / "in.jsonl").write_bytes(lines)
    model, means = run.folder / "model", []
    for folder in (model, *(model / f"member-{k}" for k in range(3))):
        alone = tmp_path / "alone"
        shutil.copytree(folder, alone, ignore=lambda *_: ["ensemble.json"])
        out = str(tmp_path / "out.jsonl")
        assert (
            main(["score", "--model", str(alone), "--output", out, str(tmp_path / "in.jsonl")]) == 0
        )
        said = [json.loads(line)["scores"] for line in Path(out).read_text().splitlines()]
        config, scores = AutoConfig.from_pretrained(folder), torch.tensor(said)
        assert config.score_mean == pytest.approx(scores.mean().item(), abs=1e-5)
        assert config.score_std == pytest.approx(scores.std(correction=0).item(), abs=1e-5)
        means.append(config.score_mean)
        shutil.rmtree(alone)
    assert means[0] == means[1]
    assert len(set(means)) == 3
    assert sum(means[1:]) / 3 == pytest.approx(run.metrics[-1]["eval_score_mean"], abs=1e-5)


def test_a_task_of_ties_alone_does_not_disagree(train, tmp_path: Path) -> None:
    rows = manners.rows("ranking", manners.prompts()[:6])
    manners.write_split(tmp_path / "made", "ranking", "train", rows)
    figures = []
    for name, tied in (("without", []), ("with", [rows[5] | {"ranks": [1, 1, 1, 1]}])):
        manners.write_split(tmp_path / "made", "ranking", "test", rows[4:5] + tied)
        run = train("reward", dataset=tmp_path / "made", max_steps=1, ensemble_size=2, output=name)
        assert run.code == 0, run.err
        figures.append(
            {k: run.metrics[-1][k] for k in ("eval_disagreement", "eval_members_differ")}
        )
    assert figures[0] == pytest.approx(figures[1])


def test_score_gives_mean_and_spread(run, tmp_path: Path, capfd) -> None:
    shown = run.read("samples.jsonl")[-1]
    line = {"prompt": shown["prompt"]}
    line["responses"] = [r["response"] for r in shown["responses"]]
    (tmp_path / "in.jsonl").write_text(json.dumps(line) + "\n")

    def scored(model: Path) -> dict:
        capfd.readouterr()
        assert main(["score", "--model", str(model), str(tmp_path / "in.jsonl")]) == 0
        return json.loads(capfd.readouterr().out)

    whole = scored(run.folder / "model")
    alone = torch.tensor([scored(run.folder / "model" / f"member-{k}")["scores"] for k in range(3)])
    assert whole["scores"] == pytest.approx(alone.mean(0).tolist(), abs=1e-5)
    assert whole["score_stds"] == pytest.approx(alone.std(0, correction=0).tolist(), abs=1e-5)
    assert whole["scores"] == pytest.approx([r["score"] for r in shown["responses"]], abs=2e-4)


def test_resume_leaves_no_seam(train) -> None:
    given = {"ensemble_size": 2, "ensemble_bootstrap": True, "lora_r": 4}
    given |= {"save_steps": 1, "save_total_limit": 0}
    whole = train("reward", max_steps=3, output="whole", **given)
    assert whole.code == 0, whole.err
    broken = train("reward", max_steps=3, output="broken", **given)
    for leftover in ("model", "checkpoints/step-3", "checkpoints/step-2"):
        (broken.folder / leftover).rename(broken.folder / f".{leftover.replace('/', '-')}")
    resumed = train("reward", "--resume", max_steps=3, output="broken", **given)
    assert resumed.code == 0, resumed.err
    assert resumed.figures() == whole.figures()
    assert resumed.result["evaluation"] == whole.result["evaluation"]


def test_adapters_share_the_trunk(micro: str, tokenizer) -> None:
    config = RewardConfig(ensemble_size=2, lora_r=2)
    first, second = members.begin(micro, tokenizer, config, ("preference",))
    assert second.model.embed_tokens.weight is first.model.embed_tokens.weight
    assert second.score.weight is not first.score.weight
    full = RewardConfig(ensemble_size=2)
    first, second = members.begin(micro, tokenizer, full, ("preference",))
    assert second.model.embed_tokens.weight is not first.model.embed_tokens.weight


def test_bootstrap_counts_rows_differently_for_each_member() -> None:
    assert members.how_often(RewardConfig(ensemble_size=2), 5).tolist() == [[1] * 5] * 2
    counts = members.how_often(RewardConfig(ensemble_size=2, ensemble_bootstrap=True), 4000)
    assert counts.mean().item() == pytest.approx(1, abs=0.05)
    assert (counts == 0).float().mean().item() == pytest.approx(0.368, abs=0.03)  # 1/e
    assert not torch.equal(counts[0], counts[1])


def test_members_that_would_be_the_same_are_refused(train, judge: str, run) -> None:
    same = train("reward", model=judge, ensemble_size=2, max_steps=1)
    assert same.code == 2
    assert "is a reward model already" in same.err
    differ = train(
        "reward", model=judge, ensemble_size=2, max_steps=1, ensemble_bootstrap=True, output="b"
    )
    assert differ.code == 0, differ.err
    start = str(run.folder / "model")
    other = train("reward", model=start, ensemble_size=2, max_steps=1, output="two")
    assert "has 3 members" in other.err
    on = train("reward", model=start, ensemble_size=3, max_steps=1, output="on")
    assert on.code == 0, on.err
    one = train("reward", model=start, max_steps=1, output="one")
    assert not (one.folder / "model" / "ensemble.json").exists()


def test_an_ensemble_with_a_member_missing(tmp_path: Path) -> None:
    (tmp_path / "ensemble.json").write_text('{"members": ["member-0"]}')
    with pytest.raises(Exception, match="Copy the whole folder"):
        models.member_folders(str(tmp_path))


def test_losses_of_members_at_once_are_those_of_each() -> None:
    scores = torch.randn(3, 4)
    for settings in ({}, {"ranking_loss": "plackett_luce"}, {"center_rewards_coefficient": 0.1}):
        config = RewardConfig(**settings)
        for ranks in ((2, 1, 1, 4), (1, 2, 3, 4)):
            together = reward.task_loss(task(*ranks), scores, config)
            each = [reward.task_loss(task(*ranks), s, config) for s in scores]
            assert torch.allclose(together, torch.stack(each))
