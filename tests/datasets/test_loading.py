"""`datasets` loads every folder, also a small or an odd one; the hub understands its card."""

import datasets
import pytest
from huggingface_hub import DatasetCard

from app import artifacts
from app.accounts.models import Role
from app.datasets.formats.card import _size
from tests.datasets.frozen import freeze
from tests.factories import make_annotation, make_member, make_task, make_user

MESSAGES = datasets.List({"role": datasets.Value("string"), "content": datasets.Value("string")})
FLOAT, TEXT = datasets.Value("float64"), datasets.Value("string")
CRITERIA = ["helpful: ja?", "Wahrheit"]


@pytest.fixture
def loaded(tmp_path):
    """A loader with a cache of its own."""
    number = 0

    def load(snapshot, config=None):
        nonlocal number
        number += 1
        with artifacts.local_folder(snapshot.path) as folder:
            return datasets.load_dataset(str(folder), config, cache_dir=str(tmp_path / f"{number}"))

    return load


@pytest.fixture
def judged(session, project, ana):
    """One ranking with a rating of one response alone, and nothing else."""
    project.criteria = [{"key": key, "label": key, "min": 1, "max": 5} for key in CRITERIA]
    project.name = "Räte & 評価"
    task = make_task(
        session, project, prompt="Wie heißt „du“?\u2028", responses=["ich", "du", "wir"]
    )
    make_annotation(session, task, ana, ranks=[1, 2, 2], ratings={CRITERIA[0]: {"1": 4}})


@pytest.mark.usefixtures("judged")
@pytest.mark.parametrize("file_format", ["jsonl", "parquet"])
def test_one_task_without_a_test_split_loads_with_the_right_types(
    session, project, loaded, file_format
):
    snapshot = freeze(session, project, test_share=0, ties="keep", format=file_format)
    preference = loaded(snapshot, "preference")
    assert list(preference) == ["train"]
    assert preference["train"].features == {
        **dict.fromkeys(("prompt", "chosen", "rejected"), MESSAGES),
        **dict.fromkeys(("margin", "weight", "p", "strength", "agreement"), FLOAT),
        "n_annotators": datasets.Value("int64"),
        **dict.fromkeys(("prompt_id", "chosen_id", "rejected_id"), TEXT),
    }
    row = preference["train"][0]
    assert (row["margin"], row["strength"]) == (0.0, None)
    assert row["prompt"] == [{"role": "user", "content": "Wie heißt „du“?\u2028"}]
    unpaired = loaded(snapshot, "unpaired")["train"]
    assert unpaired.features["label"] == datasets.Value("bool")
    (rated,) = loaded(snapshot, "ratings")["train"]
    assert rated["ratings"] == {CRITERIA[0]: 4.0, CRITERIA[1]: None}
    (ranked,) = loaded(snapshot, "ranking")["train"]
    assert sorted(ranked["ranks"]) == [1, 2, 2]
    assert loaded(snapshot, "sft")["train"][0]["messages"][-1]["content"] == "ich"


@pytest.mark.usefixtures("judged")
def test_a_config_without_rows_is_not_there_and_the_first_is_loaded_without_a_name(
    session, project, loaded
):
    snapshot = freeze(session, project, test_share=0, configs=["unpaired", "prompts", "ratings"])
    with artifacts.local_folder(snapshot.path) as folder:
        names = datasets.get_dataset_config_names(str(folder))
        assert datasets.get_dataset_default_config_name(str(folder)) == "unpaired"
    assert set(names) == {"unpaired", "ratings", "prompts"}
    assert "label" in loaded(snapshot)["train"].column_names


@pytest.mark.usefixtures("judged")
def test_the_hub_understands_the_card(session, project):
    snapshot = freeze(session, project, test_share=0)
    text = b"".join(artifacts.chunks(f"{snapshot.path}/README.md")).decode()
    about = DatasetCard(text).data
    assert about.annotations_creators == ["crowdsourced"]
    assert about.size_categories == ["n<1K"]
    assert about.task_categories == ["text-generation"]
    said = about.to_dict()
    assert {config["config_name"] for config in said["configs"]} == set(snapshot.counts["rows"])
    assert [config["config_name"] for config in said["configs"] if config.get("default")] == [
        "preference"
    ]


@pytest.mark.parametrize(
    ("rows", "name"),
    [
        (0, "n<1K"),
        (999, "n<1K"),
        (1_000, "1K<n<10K"),
        (99_999, "10K<n<100K"),
        (10**6, "1M<n<10M"),
        (10**8, "100M<n<1B"),
        (10**9, "1B<n<10B"),
    ],
)
def test_sizes_are_those_of_the_hub(rows, name):
    assert _size(rows) == name


def test_the_card_tells_of_groups_only_what_names_nobody(session, project):
    task = make_task(session, project, wanted=12)
    for number in range(12):
        person = make_user(session, f"Person {number}")
        spoken = "Português | PT" if number < 6 else "Deutsch"
        about = {"language": spoken, "region": "north" if number < 9 else "south"}
        person.preferences = {"demographics": about}
        make_member(session, project, person, Role.ANNOTATOR)
        make_annotation(session, task, person, ranks=[1, 2])
    snapshot = freeze(session, project, test_share=0)
    text = b"".join(artifacts.chunks(f"{snapshot.path}/README.md")).decode()
    assert "| language: Português \\| PT | 6 |" in text
    assert "| language: Deutsch | 6 |" in text
    assert "region" not in text  # three people live in the south
