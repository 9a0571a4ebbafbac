"""Prompts that are read by processes beside the one that writes the snapshot."""

import os
import sys
from contextlib import closing

import psutil
import pytest
from sqlalchemy import select

from app.accounts.models import Role
from app.datasets import queries
from app.datasets.schemas import Recipe
from app.datasets.service import reading
from app.datasets.service.assembling import Assembly, plan
from app.db import transaction
from app.errors import Invalid
from app.projects.models import Project
from app.tasks.models import Task
from tests.datasets.frozen import contents_of, freeze, manifest_of
from tests.factories import make_annotation, make_member, make_project, make_task, make_user

pytestmark = pytest.mark.concurrency

PROMPTS = 30
ANSWERS = ("Eight minutes. " * 6_000, "Eggs are eggs.")  # no pipe holds one: who sends it waits


@pytest.fixture
def project_id(concurrency_engine):
    """Ana judged every prompt, Ben every other one the other way round."""
    with transaction() as session:
        ada = make_user(session, "Ada", role=Role.ADMIN)
        project = make_project(session, "Kitchen help", by=ada)
        people = [make_user(session, name) for name in ("Ana", "Ben")]
        for person in people:
            make_member(session, project, person, Role.ANNOTATOR)
        for number in range(PROMPTS):
            task = make_task(
                session, project, prompt=f"Question {number}", responses=ANSWERS, wanted=3
            )
            make_annotation(session, task, people[0], ranks=[1, 2], strength=number % 3 + 1)
            if number % 2:
                make_annotation(session, task, people[1], ranks=[2, 1])
        return project.id


@pytest.fixture
def beside(monkeypatch):
    """A project of some prompts is one of many."""
    monkeypatch.setattr(reading, "MANY", 1)
    monkeypatch.setattr(reading, "STRETCH", 4)
    monkeypatch.setattr(reading, "usable_cores", lambda: 2)


def reading_children():
    children = psutil.Process().children()
    return [child for child in children if "reading.main" in " ".join(child.cmdline())]


def opened(session, project_id):
    """(what is read of each prompt, the assembly that counts it)."""
    queries.see_one_moment(session)
    project = session.get_one(Project, project_id)
    assembly = Assembly(plan(session, project=project, recipe=Recipe()))
    return reading.rows_of_prompts(session, project=project, assembly=assembly), assembly


def test_a_snapshot_is_the_same_whoever_read_it(project_id, beside, monkeypatch):
    recipe = {"consensus": "dawid_skene", "test_share": 0.5}
    with transaction() as session:
        by_two = freeze(session, session.get_one(Project, project_id), **recipe)
        monkeypatch.setattr(reading, "MANY", PROMPTS + 1)
        by_one = freeze(session, session.get_one(Project, project_id), **recipe)
        assert by_two.identity == by_one.identity
        assert by_two.counts == by_one.counts
        assert by_two.counts["prompts"] == PROMPTS
        assert contents_of(by_two) == contents_of(by_one)
        behind = [manifest_of(made)["lineage"]["annotations"] for made in (by_two, by_one)]
        assert behind[0] == behind[1]
        assert len(behind[0]) >= PROMPTS / 2


def test_processes_see_the_moment_of_the_one_that_writes(project_id, beside):
    with transaction() as session:
        found, assembly = opened(session, project_id)
        assert session.get_one(Project, project_id).name == "Kitchen help"  # the moment is now
        with transaction() as other:
            project = other.get_one(Project, project_id)
            cleo = make_user(other, "Cleo")
            make_task(other, project, prompt="One more", wanted=1)
            for task in other.scalars(select(Task)).all():
                make_annotation(other, task, cleo, ranks=[2, 1])
        with closing(found):
            read = [next(found)]
            assert len(reading_children()) == reading.PROCESSES
            assert not assembly.counts.tasks_read  # by this one
            read += found
        names = [each.prompt_id for each in read]
        assert names == sorted(names)
        assert len(set(names)) == PROMPTS
        assert assembly.counts.judgements_read == PROMPTS + PROMPTS // 2


def test_processes_end_with_whoever_no_longer_listens(project_id, beside):
    with transaction() as session:
        found, _ = opened(session, project_id)
        next(found)
        children = reading_children()
        assert os.getpgid(0) not in {os.getpgid(child.pid) for child in children}
        found.close()
        assert children
        assert not any(child.is_running() for child in children)


def test_a_process_that_ends_early_fails_the_snapshot(project_id, beside, monkeypatch):
    monkeypatch.setattr(reading, "_READER", (sys.executable, "-c", "raise SystemExit(3)"))
    with transaction() as session:
        found, _ = opened(session, project_id)
        with closing(found), pytest.raises(Invalid, match="memory ran out"):
            list(found)


def test_what_is_not_committed_is_read_by_this_process(session, beside):
    """Inside a savepoint nobody else could see it."""
    project = make_project(session, "Kitchen help", by=make_user(session, "Ada"))
    make_task(session, project, prompt="Alone")
    assembly = Assembly(plan(session, project=project, recipe=Recipe()))
    found = list(reading.rows_of_prompts(session, project=project, assembly=assembly))
    assert len(found) == 1
