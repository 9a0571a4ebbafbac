"""Freezing a project: what the recipe takes, what it leaves out and says so."""

import hashlib
import json
import random
import threading
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import update

from app import artifacts
from app.accounts.models import Role, UserKind
from app.annotation.models import Annotation
from app.corpus.models import Response
from app.corpus.rules import prompt_hash, response_hash
from app.datasets import service
from app.datasets.models import Snapshot
from app.datasets.queries import judged
from app.datasets.schemas import Recipe
from app.db import JobState, database_now
from app.errors import Conflict, Invalid, LeaseLost
from app.projects.models import Standing
from app.quality.models import Adjudication
from app.tasks.models import TaskResponse
from app.worker.snapshots import build, freeze_now
from tests.corpus.files import brought_in, json_lines, pair
from tests.datasets.frozen import contents_of, freeze, manifest_of, rows_of
from tests.factories import (
    make_annotation,
    make_member,
    make_project,
    make_prompt,
    make_task,
    make_user,
)

ALL_TRAIN = {"test_share": 0}


def label(session, task, source, ranks):
    """A judgement that came with the data."""
    session.add(
        Annotation(
            project_id=task.project_id,
            task_id=task.id,
            source=source,
            guidelines_version=1,
            counted=False,
            ranks=ranks,
        )
    )
    session.flush()


def judge(session, task, **people):
    """`judge(session, task, ana=(ana, [1, 2]))`."""
    for user, ranks in people.values():
        make_annotation(session, task, user, ranks=ranks)


def test_the_majority_of_three_people_becomes_a_preference(session, project, ana, rui, vic):
    task = make_task(session, project, responses=["good", "bad"], wanted=3)
    judge(session, task, a=(ana, [1, 2]), b=(rui, [1, 2]), c=(vic, [2, 1]))
    snapshot = freeze(session, project, **ALL_TRAIN)
    assert snapshot.state is JobState.SUCCEEDED
    (row,) = rows_of(snapshot, "preference")
    assert row["chosen"] == [{"role": "assistant", "content": "good"}]
    assert (row["n_annotators"], row["p"]) == (3, pytest.approx(2 / 3))
    assert len(row["prompt_id"]) == len(row["chosen_id"]) == 64
    assert [file["path"] for file in snapshot.files] == [
        "README.md",
        "hh-rlhf/train.jsonl.gz",
        "manifest.json",
        "preference/train.jsonl.gz",
        "prompts/train.jsonl.gz",
        "ranking/train.jsonl.gz",
        "sft/train.jsonl.gz",
        "unpaired/train.jsonl.gz",
    ]


def test_ranks_refer_to_stored_positions_whatever_the_order_of_ids(session, project, ana):
    texts = ["best", "second", "third", "fourth"]
    for number in range(6):  # random ids: every order of them comes up
        task = make_task(session, project, prompt=f"Prompt {number}", responses=texts)
        make_annotation(session, task, ana, ranks=[1, 2, 3, 4])
    for row in rows_of(freeze(session, project, **ALL_TRAIN), "ranking"):
        by_rank = sorted(zip(row["ranks"], row["responses"], strict=True))
        assert [response[0]["content"] for _, response in by_rank] == texts
        assert row["response_ids"] == sorted(row["response_ids"])


def test_nothing_of_another_project_is_frozen(session, project):
    make_prompt(session, project, "Mine")
    assert rows_of(freeze(session, project, **ALL_TRAIN), "prompts") == [
        {"prompt": [{"role": "user", "content": "Mine"}]}
    ]


def test_gold_never_leaves_the_house_nor_does_a_prompt_that_only_serves_gold(session, project, ana):
    make_prompt(session, project, "Open")
    gold = make_task(session, project, prompt="Gold", prefers=[[0, 1]])
    make_annotation(session, gold, ana, ranks=[1, 2], gold_passed=True)
    snapshot = freeze(session, project, **ALL_TRAIN)
    assert len(rows_of(snapshot, "prompts")) == 1
    assert rows_of(snapshot, "preference") == []
    assert snapshot.counts["tasks"]["gold_left_out"] == 1


def test_people_who_fail_gold_are_left_out_unless_the_recipe_says_otherwise(session, project, ana):
    careless = make_user(session, "Careless")
    make_member(session, project, careless, Role.ANNOTATOR, standing=Standing.FAILED)
    task = make_task(session, project, wanted=2)
    judge(session, task, a=(ana, [1, 2]), b=(careless, [2, 1]))
    (row,) = rows_of(freeze(session, project, **ALL_TRAIN), "preference")
    assert row["n_annotators"] == 1
    trusting = freeze(session, project, exclude_failed_gold=False, **ALL_TRAIN)
    assert rows_of(trusting, "preference") == []
    assert trusting.counts["tasks"]["excluded"] == {"unresolved": 1}


def test_labels_that_came_with_the_data_decide_only_where_nobody_judged(session, project, ana):
    judged, unjudged = (make_task(session, project, prompt=text) for text in ("a", "b"))
    for task in (judged, unjudged):
        label(session, task, "dataset:hh-rlhf", [2, 1])
    make_annotation(session, judged, ana, ranks=[1, 2])
    snapshot = freeze(session, project, **ALL_TRAIN)
    chosen = {
        row["prompt"][0]["content"]: row["chosen"][0]["content"]
        for row in rows_of(snapshot, "preference")
    }
    assert chosen == {"a": "Eight minutes in boiling water.", "b": "Eggs are eggs."}
    assert snapshot.counts["judgements"] == {
        "read": 3,
        "included": 2,
        "of_sources": 1,
        "excluded": {"person_judged": 1},
    }
    assert snapshot.quality["n_annotations"] == 1


def test_repeats_and_late_surplus_do_not_vote(session, project, ana, rui):
    task = make_task(session, project)
    make_annotation(session, task, ana, ranks=[1, 2])
    make_annotation(session, task, ana, ranks=[2, 1], is_repeat=True)
    late = make_annotation(session, task, rui, ranks=[2, 1])
    late.counted = False
    session.flush()
    snapshot = freeze(session, project, **ALL_TRAIN)
    (row,) = rows_of(snapshot, "preference")
    assert row["n_annotators"] == 1
    assert snapshot.counts["judgements"]["excluded"] == {"repeat": 1, "surplus": 1}


@pytest.mark.parametrize(("rewrite", "learned"), [(" \n", "zero"), (" New. ", " New. ")])
def test_a_rewrite_of_blanks_teaches_nothing(session, project, ana, rewrite, learned):
    """It may have come with imported judgements."""
    task = make_task(session, project, responses=["zero", "one"], wanted=1)
    make_annotation(session, task, ana, ranks=[1, 2], rewrite=rewrite)
    session.commit()
    (row,) = rows_of(freeze(session, project, test_share=0), "sft")
    assert row["messages"][-1]["content"] == learned


def test_only_the_current_revision_counts(session, project, ana):
    task = make_task(session, project)
    first = make_annotation(session, task, ana, ranks=[2, 1])
    first.is_current = False
    session.flush()
    session.add(
        Annotation(
            project_id=project.id,
            task_id=task.id,
            assignment_id=first.assignment_id,
            user_id=ana.id,
            revision=2,
            guidelines_version=1,
            counted=True,
            ranks=[1, 2],
        )
    )
    session.flush()
    (row,) = rows_of(freeze(session, project, **ALL_TRAIN), "preference")
    assert row["chosen"][0]["content"] == "Eight minutes in boiling water."


@pytest.mark.parametrize(
    ("recipe", "reason"),
    [
        ({"guidelines_version": 1}, "guidelines_version"),
        ({"exclude_annotators": ["ana@example.org"]}, "excluded_annotator"),
        ({"exclude_annotators": [" ANA "]}, "excluded_annotator"),
        ({"since": "2025-06-01T00:00:00Z"}, "before_since"),
        ({"until": "2025-01-01T00:00:00+00:00"}, "after_until"),
    ],
)
def test_a_recipe_leaves_out_by_version_person_and_date(session, project, ana, recipe, reason):
    moment = database_now(session).replace(year=2025, month=3, day=1)
    task = make_task(session, project)
    annotation = make_annotation(session, task, ana, ranks=[1, 2], submitted_at=moment)
    annotation.guidelines_version = project.guidelines_version = 2
    session.flush()
    snapshot = freeze(session, project, **recipe)
    assert snapshot.counts["judgements"]["excluded"] == {reason: 1}
    assert snapshot.counts["tasks"]["excluded"] == {"no_judgements": 1}


def test_min_annotations_and_min_agreement_leave_out_tasks_and_say_how_many(
    session, project, ana, rui, vic
):
    one, split, agreed = (make_task(session, project, prompt=text, wanted=3) for text in "abc")
    judge(session, one, a=(ana, [1, 2]))
    judge(session, split, a=(ana, [1, 2]), b=(rui, [1, 2]), c=(vic, [2, 1]))
    judge(session, agreed, a=(ana, [1, 2]), b=(rui, [1, 2]))
    snapshot = freeze(session, project, min_annotations=2, min_agreement=0.8, **ALL_TRAIN)
    (row,) = rows_of(snapshot, "preference")
    assert row["prompt"][0]["content"] == "c"
    assert snapshot.counts["tasks"]["excluded"] == {"low_agreement": 1, "too_few_judgements": 1}
    assert snapshot.counts["judgements"]["excluded"] == {"task_left_out": 4}


def test_a_reviewer_s_word_comes_first_when_the_recipe_asks_for_it(session, project, ana, rui):
    task = make_task(session, project, responses=["x", "y"])
    make_annotation(session, task, ana, ranks=[1, 2])
    session.add(Adjudication(task_id=task.id, user_id=rui.id, ranks=[2, 1], reason="y is right"))
    session.flush()
    for consensus, winner in (("majority", "x"), ("adjudicated_first", "y")):
        snapshot = freeze(session, project, consensus=consensus, **ALL_TRAIN)
        (row,) = rows_of(snapshot, "preference")
        assert row["chosen"][0]["content"] == winner


def test_dawid_and_skene_let_careful_people_win(session, project, ana, rui):
    careless = [make_user(session, f"Careless {number}") for number in range(3)]
    for user in careless:
        make_member(session, project, user, Role.ANNOTATOR)
    rng = random.Random(4)
    disputed = None
    for number in range(40):
        responses = ["right", "wrong"]
        task = make_task(session, project, prompt=f"p{number}", responses=responses, wanted=5)
        judge(session, task, a=(ana, [1, 2]), b=(rui, [1, 2]))
        for user in careless:
            wrong = number == 0 or rng.random() < 0.5
            make_annotation(session, task, user, ranks=[2, 1] if wrong else [1, 2])
        disputed = disputed or task
    majority = freeze(session, project, **ALL_TRAIN)
    fitted = freeze(session, project, consensus="dawid_skene", **ALL_TRAIN)

    def winner(snapshot):
        rows = rows_of(snapshot, "preference")
        return next(row for row in rows if row["prompt"][0]["content"] == "p0")

    assert winner(majority)["chosen"][0]["content"] == "wrong"
    row = winner(fitted)
    assert row["chosen"][0]["content"] == "right"
    assert row["p"] > 0.9
    assert row["agreement"] == pytest.approx(2 / 5)


def test_margins_are_signed_strength_over_the_levels_of_the_project(session, project, ana, rui):
    project.strength_levels = 3
    task = make_task(session, project, wanted=3)
    make_annotation(session, task, ana, ranks=[1, 2], strength=3)
    make_annotation(session, task, rui, ranks=[1, 1])
    (row,) = rows_of(freeze(session, project, margin="strength", **ALL_TRAIN), "preference")
    assert (row["strength"], row["margin"]) == (1.5, 0.5)


def test_more_strength_than_the_scale_has_is_its_most(session, project, ana, rui):
    project.strength_levels = 2
    task = make_task(session, project, wanted=3)
    make_annotation(session, task, ana, ranks=[1, 2], strength=7)
    make_annotation(session, task, rui, ranks=[1, 2], strength=1)
    (row,) = rows_of(freeze(session, project, margin="strength", **ALL_TRAIN), "preference")
    assert (row["strength"], row["margin"]) == (1.5, 0.75)


def test_flagged_responses_go_and_the_counts_say_so(session, project, ana, rui):
    prompt = make_prompt(session, project, "Hi", source="shp", tags=["maths"], language="en")
    task = make_task(session, project, prompt=prompt, responses=["x", "y", "z"], wanted=2)
    make_annotation(session, task, ana, ranks=[1, 2, 3], flags={"1": ["unsafe", "pii"]})
    make_annotation(session, task, rui, ranks=[1, 2, 3], flags={"2": ["untrue"]})
    other = make_task(session, project, prompt="Other")
    make_annotation(session, other, ana, ranks=[1, 2])
    recipe = {"exclude_flags": ["pii", "broken"], "tags": ["maths"], "languages": ["EN"]}
    snapshot = freeze(session, project, **recipe, **ALL_TRAIN)
    (row,) = rows_of(snapshot, "preference")
    assert (row["chosen"][0]["content"], row["rejected"][0]["content"]) == ("x", "z")
    assert snapshot.counts["responses_excluded"] == {"flagged": 1}
    assert snapshot.counts["prompts_excluded"] == {"other_tag": 1}
    readme = b"".join(artifacts.chunks(f"{snapshot.path}/README.md")).decode()
    assert "flagged as `pii`, `broken` were left out" in readme
    assert "Only prompts with one of these tags: `maths`." in readme


@pytest.mark.parametrize("stored", [{"0": 4, "1": 2}, [4, 2]])
def test_ratings_are_frozen_by_response(session, project, ana, stored):
    project.criteria = [{"key": "help", "label": "Helpful", "min": 1, "max": 5}]
    task = make_task(session, project, responses=["x", "y"])
    make_annotation(session, task, ana, ranks=[1, 1], ratings={"help": stored})
    snapshot = freeze(session, project, **ALL_TRAIN)
    found = {
        row["response"][0]["content"]: row["ratings"]["help"]
        for row in rows_of(snapshot, "ratings")
    }
    assert found == {"x": 4.0, "y": 2.0}
    assert rows_of(snapshot, "preference") == []


def test_a_system_prompt_is_the_first_message_and_has_no_transcript(session, project, ana):
    prompt = make_prompt(session, project, "Hi", system="Be brief.")
    make_annotation(session, make_task(session, project, prompt=prompt), ana, ranks=[1, 2])
    snapshot = freeze(session, project, **ALL_TRAIN)
    (row,) = rows_of(snapshot, "preference")
    assert row["prompt"][0] == {"role": "system", "content": "Be brief."}
    assert snapshot.counts["refused"] == {"hh-rlhf": {"role": 1}}
    (listed,) = manifest_of(snapshot)["refused"]
    assert listed["prompt_id"] == row["prompt_id"]


def test_the_manifest_leads_from_a_row_to_its_judgements_without_naming_people(
    session, project, ana
):
    task = make_task(session, project)
    annotation = make_annotation(session, task, ana, ranks=[1, 2])
    snapshot = freeze(session, project, **ALL_TRAIN)
    manifest = manifest_of(snapshot)
    (row,) = rows_of(snapshot, "preference")
    ((annotation_id, annotator, version),) = manifest["lineage"]["annotations"][row["prompt_id"]]
    assert (annotation_id, version) == (str(annotation.id), 1)
    assert manifest["lineage"]["annotators"] == [annotator]
    assert manifest["lineage"]["guidelines"][0]["text"] == "Prefer the better one."
    text = json.dumps(manifest)
    assert ana.email not in text
    assert str(ana.id) not in text
    for file in manifest["files"]:
        content = b"".join(artifacts.chunks(f"{snapshot.path}/{file['path']}"))
        assert (len(content), hashlib.sha256(content).hexdigest()) == (
            file["bytes"],
            file["sha256"],
        )


def test_an_excluded_person_is_counted_in_the_manifest_and_not_named(session, project, ana, rui):
    task = make_task(session, project, wanted=2)
    judge(session, task, a=(ana, [1, 2]), b=(rui, [2, 1]))
    snapshot = freeze(session, project, exclude_annotators=[ana.email])
    assert ana.email not in json.dumps(manifest_of(snapshot))
    assert manifest_of(snapshot)["recipe"]["exclude_annotators"] == ["(person 1)"]


def content_project(session, by, name, *, seed):
    """The same content in another order of insertion, under other ids and in another project."""
    rng = random.Random(seed)
    project = make_project(session, name, by=by, criteria=[{"key": "k", "min": 1, "max": 5}])
    people = [make_user(session, f"{name} {number}", kind=UserKind.IMPORTED) for number in range(3)]
    for user in rng.sample(people, 3):
        make_member(session, project, user, Role.ANNOTATOR)
    jobs = []
    for number in range(12):
        texts = [f"{number} {word}" for word in ("one", "two", "three")[: 2 + number % 2]]
        jobs.append((f"Prompt {number}", texts))
    rng.shuffle(jobs)
    for text, texts in jobs:
        messages = [{"role": "user", "content": text}]
        hashed = prompt_hash(system=None, messages=messages)
        prompt = make_prompt(session, project, text)
        prompt.content_hash = hashed
        order = rng.sample(range(len(texts)), len(texts))
        stored = [texts[position] for position in order]
        sources: list[str | None] = [None] * len(texts)
        task = make_task(
            session, project, prompt=prompt, responses=stored, sources=sources, wanted=3
        )
        hashes = [response_hash(prompt=hashed, text=each, source=None) for each in stored]
        for link in session.query(TaskResponse).where(TaskResponse.task_id == task.id):
            session.refresh(link, ["response"])
            link.response.content_hash = hashes[link.position]
        for number in rng.sample(range(3), 3):
            said = random.Random(f"{text} {number}")
            ranks = [said.randint(1, 3) for _ in texts]
            ratings = {"k": {str(i): ranks[position] for i, position in enumerate(order)}}
            make_annotation(
                session,
                task,
                people[number],
                ranks=[ranks[position] for position in order],
                display_order=[order.index(place) for place in range(len(texts))],
                flags={str(order.index(0)): ["unsafe"]} if said.random() < 0.1 else {},
                strength=said.randint(1, 3),
                ratings=ratings,
                rewrite=f"Rewritten {text}" if said.random() < 0.2 else None,
            )
    session.flush()
    return project


@pytest.mark.parametrize(
    "recipe",
    [
        {},
        {"ties": "keep", "margin": "strength", "pairs": "adjacent", "test_share": 0.4},
        {"consensus": "dawid_skene", "max_pairs_per_prompt": 1, "seed": 3},
        {"weight_by": "prompt", "dedup": "normalised", "exclude_flags": ["unsafe"]},
        {"format": "parquet"},
    ],
)
def test_the_same_judgements_in_another_order_give_the_same_bytes(session, ada, recipe):
    one = freeze(session, content_project(session, ada, "One", seed=1), **recipe)
    two = freeze(session, content_project(session, ada, "Two", seed=2), **recipe)
    assert contents_of(one) == contents_of(two)
    assert manifest_of(one)["identity"] == manifest_of(two)["identity"]


def test_a_snapshot_stays_as_it_is_while_judgements_keep_coming_in(session, project, ana, rui):
    task = make_task(session, project, wanted=2)
    make_annotation(session, task, ana, ranks=[1, 2])
    snapshot = freeze(session, project, **ALL_TRAIN)
    before = contents_of(snapshot)
    make_annotation(session, task, rui, ranks=[2, 1])
    assert contents_of(snapshot) == before
    assert rows_of(freeze(session, project, **ALL_TRAIN), "preference") == []


def test_nothing_to_freeze_is_a_failure_that_says_what_to_do(session, project, ana):
    empty = freeze(session, project)
    assert (empty.state, empty.path) == (JobState.FAILED, None)
    assert "no prompts" in empty.error
    make_annotation(session, make_task(session, project), ana, ranks=[1, 1])
    tied = freeze(session, project, configs=["preference"])
    assert "1 that are ties: nobody prefers a response" in tied.error


def test_a_recipe_that_names_a_stranger_is_refused_at_once(session, project, sam):
    recipe = Recipe(exclude_annotators=(sam.email,))
    with pytest.raises(Invalid, match="Nobody in this project is called"):
        service.request(session, project=project, recipe=recipe)
    with pytest.raises(Invalid, match="no version 7"):
        service.request(session, project=project, recipe=Recipe(guidelines_version=7))


def test_an_attempt_that_lost_its_lease_registers_nothing(session, project):
    make_prompt(session, project, "Mine")
    snapshot = service.request(session, project=project, recipe=Recipe(), queued=False)
    old = service.start(session, snapshot_id=snapshot.id)
    new = service.start(session, snapshot_id=snapshot.id)
    session.commit()
    with pytest.raises(LeaseLost):
        build(old)
    assert not artifacts.exists(service.attempt_folder(old))
    with pytest.raises(LeaseLost):
        service.fail(session, lease=old, error="mine")
    build(new)
    session.expire_all()
    finished = session.get_one(Snapshot, snapshot.id)
    assert (finished.state, finished.attempt) == (JobState.SUCCEEDED, 2)
    assert service.start(session, snapshot_id=snapshot.id) is None


def test_only_a_failed_or_silent_snapshot_is_tried_again(session, project):
    failed = freeze(session, project)
    service.retry(session, snapshot=failed)
    session.refresh(failed)
    assert (failed.state, failed.error) == (JobState.QUEUED, None)
    with pytest.raises(Conflict):
        service.retry(session, snapshot=failed)
    service.start(session, snapshot_id=failed.id)
    session.refresh(failed)
    with pytest.raises(Conflict):
        service.retry(session, snapshot=failed)
    failed.seen_at = database_now(session) - timedelta(minutes=5)
    session.flush()
    service.retry(session, snapshot=failed)


def test_a_snapshot_without_a_worker_copies_its_files_out(session, project, ana, tmp_path):
    make_annotation(session, make_task(session, project), ana, ranks=[1, 2])
    session.commit()
    output = tmp_path / "out"
    made = freeze_now(project_id=project.id, recipe=Recipe(test_share=0), output=output)
    assert made.state is JobState.SUCCEEDED
    assert (output / "preference" / "train.jsonl.gz").is_file()
    assert (output / "README.md").is_file()
    with pytest.raises(Conflict, match="not empty"):
        freeze_now(project_id=project.id, recipe=Recipe(), output=output)
    with pytest.raises(Invalid, match="No row came out"):
        freeze_now(project_id=project.id, recipe=Recipe(configs=("ratings",)))


def test_the_manifest_names_the_files_and_checkpoints_behind_it(session, project, ana, tmp_path):
    checkpoint = uuid4()
    task = make_task(session, project)
    make_annotation(session, task, ana, ranks=[1, 2])
    session.execute(update(Response).values(checkpoint_id=checkpoint))
    file = json_lines(tmp_path / "kitchen.jsonl", [pair()])
    brought = brought_in(session, project, file)
    lineage = manifest_of(freeze(session, project, **ALL_TRAIN))["lineage"]
    assert lineage["imports"] == [
        {"id": str(brought.id), "file": "kitchen.jsonl", "format": "touchstone"}
    ]
    assert lineage["checkpoints"] == [str(checkpoint)]


def test_a_freezing_that_is_stopped_leaves_nobody_reading(
    session, project, ana, tmp_path, monkeypatch
):
    """The next batch is read by another thread; the session is its own again at once."""
    monkeypatch.setattr(judged, "BATCH", 1)
    for number in range(20):
        task = make_task(session, project, prompt=f"Question {number}")
        make_annotation(session, task, ana, ranks=[1, 2])
    session.commit()
    beats = 0

    def beat():
        nonlocal beats
        beats += 1
        if beats == 5:
            raise LeaseLost

    with pytest.raises(LeaseLost):
        service.freeze(
            session, project=project, recipe=Recipe(), folder=tmp_path / "out", beat=beat
        )
    assert not [each for each in threading.enumerate() if each.name.startswith("reader")]
    frozen = service.freeze(session, project=project, recipe=Recipe(), folder=tmp_path / "again")
    assert frozen.counts["comparisons"]["included"] == 20
