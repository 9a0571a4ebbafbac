"""Every file of a snapshot is known when it comes back: read, or refused with what to use."""

import pytest
from sqlalchemy import select

from app.corpus.formats import BadFile
from app.datasets.schemas import Recipe
from app.projects.models import Project
from app.worker.snapshots import freeze_now
from tests.corpus.files import brought_in, figures, json_lines
from tests.corpus.reading import judged, reads

CLARITY = {"key": "clarity", "label": "Clarity", "min": 1, "max": 5}
TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "Name three numbers."},
]


def judgement(name, ranks):
    ratings = {"clarity": [4] * len(ranks)}
    return {"annotator": name, "ranks": ranks, "ratings": ratings}


LINES = [
    {
        "prompt": TURNS,
        "responses": ["1 2 3", {"text": "3 2 1", "source": "model:m"}, "one"],
        "annotations": [judgement("Kim", [1, 1, 3]), judgement("Lou", [1, 1, 3])],
    },
    {
        "prompt": "Say “yes”.",
        "responses": ["yes", "no"],
        "annotations": [judgement("Kim", [1, 2])],
    },
]


@pytest.fixture(params=["jsonl", "parquet"])
def folder(request, session, project, tmp_path):
    """A snapshot of two tasks, with every config."""
    project.criteria = [CLARITY]
    brought_in(session, project, json_lines(tmp_path / "in.jsonl", LINES))
    output = tmp_path / "out"
    recipe = Recipe(test_share=0, format=request.param, ties="keep")
    freeze_now(project_id=project.id, recipe=recipe, output=output)
    return output


def file_of(folder, config):
    (file,) = (folder / config).iterdir()
    return file


READABLE = {
    "ranking": ("touchstone", 2),
    "preference": ("trl", 3),
    "hh-rlhf": ("hh-rlhf", 1),  # the format has no system prompts
    "prompts": ("prompts", 2),
}


def rankings(tasks):
    """What is said of which texts."""
    return {frozenset(zip(texts, ranks, strict=True)) for texts, ranks in tasks}


def test_a_config_comes_back_in_its_format_and_says_the_same(session, project, folder):
    for config, (name, rows) in READABLE.items():
        read = reads(file_of(folder, config).read_bytes())
        assert [(row.format, row.problem) for row in read] == [(name, None)] * rows
        systems = {row.task.system for row in read if row.task is not None}
        assert systems == ({None} if config == "hh-rlhf" else {None, "Be brief."})
    tasks = [row.task for row in reads(file_of(folder, "ranking").read_bytes())]
    assert rankings(
        ([each.text for each in task.responses], judged(task)["dataset:touchstone"])
        for task in tasks
    ) == rankings(
        (["1 2 3", "3 2 1", "one"], [1, 1, 3]) if n else (["yes", "no"], [1, 2]) for n in (0, 1)
    )
    other = session.scalars(select(Project).where(Project.id != project.id)).first()
    row = brought_in(session, other, file_of(folder, "ranking"))
    assert (row.state, figures(row)) == ("succeeded", (2, 2, 0, 0))


def test_what_has_one_answer_per_prompt_is_refused_with_a_sentence(folder):
    for config in ("unpaired", "ratings"):
        with pytest.raises(BadFile, match="One answer per prompt, as in data for KTO, SFT"):
            reads(file_of(folder, config).read_bytes())
    problems = [row.problem for row in reads(file_of(folder, "sft").read_bytes())]
    assert all("ends with an answer of the assistant" in problem for problem in problems)
