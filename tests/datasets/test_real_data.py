"""Real judgements through import and freezing: what comes out is what people said."""

from collections import Counter

import datasets
import pytest

from app import artifacts
from tests.corpus.files import brought_in, json_lines
from tests.datasets.frozen import freeze, rows_of
from tests.factories import make_project
from tests.shared_data import shared_data, shared_rows


def both_splits(snapshot, config):
    return [row for split in ("train", "test") for row in rows_of(snapshot, config, split)]


def test_hh_harmless_leaves_as_it_came_and_comes_back_the_same(session, project, ada, tmp_path):
    """Every transcript to the byte, also of those that go on for some turns after they part."""
    brought_in(session, project, shared_data("hh-harmless/pairs.jsonl.gz"))
    snapshot = freeze(session, project, test_share=0)
    ours = {(row["chosen"], row["rejected"]) for row in rows_of(snapshot, "hh-rlhf")}
    theirs = {(row["chosen"], row["rejected"]) for row in shared_rows("hh-harmless/pairs.jsonl.gz")}
    assert ours == theirs
    assert snapshot.counts["refused"] == {}
    assert snapshot.counts["judgements"]["of_sources"] == len(theirs)
    assert snapshot.quality["n_annotations"] == 0

    other = make_project(session, "Brought back", by=ada)
    with artifacts.local_folder(snapshot.path) as folder:
        file = tmp_path / "back.jsonl.gz"
        file.write_bytes((folder / "hh-rlhf" / "train.jsonl.gz").read_bytes())
    brought_in(session, other, file)
    again = freeze(session, other, test_share=0)
    assert rows_of(again, "hh-rlhf") == rows_of(snapshot, "hh-rlhf")
    kept = {row["chosen_id"]: row for row in rows_of(snapshot, "preference")}
    for row in rows_of(again, "preference"):
        assert kept[row["chosen_id"]] == row


def test_no_prompt_of_hh_harmless_is_tested_that_was_trained_on(session, project):
    brought_in(session, project, shared_data("hh-harmless/pairs.jsonl.gz"))
    snapshot = freeze(session, project, test_share=0.2)
    first_turns = {
        split: {
            " ".join(row["prompt"][0]["content"].casefold().split())
            for row in rows_of(snapshot, "preference", split)
        }
        for split in ("train", "test")
    }
    assert len(first_turns["test"]) > 50
    assert not first_turns["train"] & first_turns["test"]


def pandalm():
    for row in shared_rows("pandalm-3annotators/pairs.jsonl.gz"):
        texts = [row["response_1"], row["response_2"]]
        if all(isinstance(text, str) for text in texts) and texts[0] != texts[1]:
            prompt = "\n\n".join(filter(None, [row["instruction"], row["input"]]))
            yield prompt, texts, list(row["labels"].values())


@pytest.mark.parametrize("min_annotations", [1, 3])
def test_pandalm_majorities_are_those_of_its_three_annotators(
    session, project, tmp_path, min_annotations
):
    ranks = {0: [1, 1], 1: [1, 2], 2: [2, 1]}
    lines = [
        {
            "prompt": prompt,
            "responses": [{"text": text, "source": f"{place}"} for place, text in enumerate(texts)],
            "annotations": [
                {"annotator": f"P{number}", "ranks": ranks[label]}
                for number, label in enumerate(labels)
            ],
        }
        for prompt, texts, labels in pandalm()
    ]
    row = brought_in(session, project, json_lines(tmp_path / "pandalm.jsonl", lines))
    assert row.state == "succeeded"
    snapshot = freeze(session, project, min_annotations=min_annotations, test_share=0.1)
    expected = {}
    for prompt, texts, labels in pandalm():
        votes = Counter(labels)
        if votes[1] != votes[2]:
            winner = 1 if votes[1] > votes[2] else 2
            p = (votes[winner] + votes[0] / 2) / 3
            pair = (texts[winner - 1], texts[2 - winner])
            expected.setdefault((prompt, frozenset(texts)), []).append((*pair, round(p, 6)))
    ours = {
        (row["prompt"][0]["content"], frozenset((chosen, rejected))): [
            (chosen, rejected, round(row["p"], 6))
        ]
        for row in both_splits(snapshot, "preference")
        for chosen, rejected in [(row["chosen"][0]["content"], row["rejected"][0]["content"])]
    }
    once = {key: pairs for key, pairs in expected.items() if len(pairs) == 1}
    assert len(once) > 500
    assert {key: ours.get(key) for key in once} == once
    assert snapshot.quality["n_annotators"] == 3
    assert 0.3 < snapshot.quality["krippendorff_alpha"]["value"] < 0.95


def test_oasst_rankings_keep_their_order_and_load_with_datasets(session, project, tmp_path):
    lines = []
    for tree in shared_rows("oasst-trees/rankings.jsonl.gz"):
        roles = {"prompter": "user", "assistant": "assistant"}
        lines.append(
            {
                "prompt": [
                    {"role": roles[turn["role"]], "content": turn["text"]}
                    for turn in tree["conversation"]
                ],
                "responses": [
                    {"text": reply["text"], "source": f"{place}"}
                    for place, reply in enumerate(tree["replies"])
                ],
                "annotations": [
                    {
                        "annotator": "oasst",
                        "ranks": [reply["rank"] + 1 for reply in tree["replies"]],
                    }
                ],
            }
        )
    row = brought_in(session, project, json_lines(tmp_path / "oasst.jsonl", lines))
    assert row.state == "succeeded"
    snapshot = freeze(session, project, pairs="adjacent")
    with artifacts.local_folder(snapshot.path) as folder:
        loaded = datasets.load_dataset(str(folder), "ranking", cache_dir=str(tmp_path / "cache"))
    found = {}
    for row in [row for split in loaded.values() for row in split]:
        order = sorted(zip(row["ranks"], row["responses"], strict=True), key=lambda each: each[0])
        key = (tuple(turn["content"] for turn in row["prompt"]), len(order))
        found.setdefault(key, []).append([response[0]["content"] for _, response in order])
    for line in lines:
        ranked = sorted(
            zip(line["annotations"][0]["ranks"], line["responses"], strict=True),
            key=lambda each: each[0],
        )
        key = (tuple(turn["content"] for turn in line["prompt"]), len(ranked))
        assert [response["text"] for _, response in ranked] in found[key]
    pairs = sum(len(line["responses"]) - 1 for line in lines)
    assert snapshot.counts["comparisons"]["included"] == pairs
