"""The model card says where a model comes from, and its head is one that the hub reads."""

import yaml
from huggingface_hub import ModelCard

from app.runs.queries.story import Story
from app.runs.service.telling import completed
from app.trainer.card import model_card

STORY = Story(
    project="Kitchen | help",
    run_id="r-1",
    base=None,
    began="a new tiny model, made from the texts of the snapshot",
    reward="Reward model 1",
    snapshot="Snapshot 1",
    snapshot_id="s-1",
    identity="ab" * 32,
    licence="CC-BY-4.0",
    counts={"judgements": {"included": 1234}},
    agreement=(0.75, 0.7, 0.8),
    sources=["shop", "a | b"],
    annotators=3,
    guidelines=[(1, 1000), (2, 234)],
    written_by=["DPO 1"],
)


def trained(base="/srv/folder/base-1", kind="dpo"):
    return model_card(
        kind, base=base, dataset="attempt-1", metrics={"loss": 0.5}, settings={"beta": 0.1}
    )


def head_of(text):
    return yaml.safe_load(text.split("---\n")[1])


def test_the_trainer_names_no_folder_to_the_hub():
    assert "base_model" not in head_of(trained())
    assert head_of(trained("Qwen/Qwen3-0.6B"))["base_model"] == "Qwen/Qwen3-0.6B"
    assert "datasets" not in head_of(trained())


def test_the_whole_card_tells_of_data_people_and_guidelines():
    text = completed(trained(), STORY)
    for said in (
        "| judgements | 1,234 |",
        "| annotators | 3 |",
        "75% of the pairs (70% to 80%)",
        "version 1 (1,000), version 2 (234)",
        "a \\| b",
        "with “Reward model 1” as the reward",
        "| responses were written by | DPO 1 |",
        "## Limits",
        "| loss | 0.5 |",
        "| beta | 0.1 |",
    ):
        assert said in text
    assert "/srv/folder" not in text.split("## Settings")[0].split("---\n")[1]
    assert text.count("\n## Figures at the end") == 1
    assert text.index("## Where it comes from") < text.index("## Figures at the end")


def test_the_hub_reads_its_head():
    from dataclasses import replace

    card = ModelCard(completed(trained(), replace(STORY, base="Qwen/Qwen3-0.6B")))
    assert card.data.base_model == "Qwen/Qwen3-0.6B"
    assert card.data.license == "cc-by-4.0"
    assert card.data.library_name == "transformers"
    assert card.data.pipeline_tag == "text-generation"
    assert "dpo" in card.data.tags


def test_a_model_without_a_card_gets_one():
    text = completed("", STORY)
    assert head_of(text)["tags"] == ["touchstone"]
    assert "## Where it comes from" in text


def test_without_figures_it_says_so():
    from dataclasses import replace

    bare = replace(STORY, agreement=None, annotators=0, licence=None, counts={}, written_by=[])
    text = completed(trained(), bare)
    assert "not defined: no task was judged by two people" in text
    assert "none: labels of the data" in text
    assert "ask before you publish" in text
    assert "license" not in head_of(text)
