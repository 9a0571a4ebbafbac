"""The job that keeps figures fresh, and what it never does."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

from sqlalchemy import select, text
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.accounts.models import User
from app.annotation.models import Annotation
from app.annotation.service.gold import restand
from app.corpus.models import Import
from app.corpus.service import request_undo
from app.db import database_now
from app.projects.models import Project
from app.quality.models import Part, QualitySummary
from app.quality.service import summary
from app.worker.imports import undo_import
from app.worker.statistics import statistics, statistics_of_active_projects
from tests.corpus.files import brought_in, json_lines, pair
from tests.factories import make_annotation, make_task
from tests.people import People


def kept(session: Session, project: Project) -> QualitySummary | None:
    session.expire_all()
    return session.get(QualitySummary, (project.id, Part.OVERVIEW))


def test_the_job_keeps_what_it_computed(session: Session, people: People):
    task = make_task(session, people.project, wanted=2)
    for user in (people.ana, people.rui):
        make_annotation(session, task, user, ranks=[1, 2])
    session.commit()
    statistics(project_id=str(people.project.id))
    row = kept(session, people.project)
    assert row.figures["fields"]["ranking"]["n_annotations"] == 2


def test_a_project_deleted_meanwhile_is_no_error(session: Session):
    statistics(project_id=str(uuid4()))


def test_a_slow_job_does_not_overwrite_newer_figures(session: Session, people: People):
    statistics(project_id=str(people.project.id))
    session.execute(
        text("UPDATE quality_summary SET computed_at = now() + interval '1 hour', figures = '{}'")
    )
    session.commit()
    statistics(project_id=str(people.project.id))
    assert kept(session, people.project).figures == {}


def test_every_project_judged_in_since_is_queued_once(session: Session, people: People):
    task = make_task(session, people.project)
    make_annotation(session, task, people.ana, ranks=[1, 2])
    session.commit()
    for _ in range(2):
        statistics_of_active_projects(0)
    queued = session.scalars(
        text("SELECT args->>'project_id' FROM procrastinate_jobs WHERE task_name = 'statistics'")
    ).all()
    assert queued.count(str(people.project.id)) == 1


def test_a_project_nobody_judged_in_is_left_alone(session: Session, people: People):
    statistics_of_active_projects(0)
    queued = session.scalars(text("SELECT args->>'project_id' FROM procrastinate_jobs")).all()
    assert str(people.project.id) not in queued
    assert session.scalars(select(QualitySummary)).all() == []


def queued_for(session: Session, project: Project) -> int:
    found = "SELECT count(*) FROM procrastinate_jobs WHERE args->>'project_id' = :id"
    return session.scalars(text(found), {"id": str(project.id)}).one()


def test_what_changes_no_time_is_computed_anew_by_itself(session: Session, people: People):
    """An imported judgement is as old as its file says; figures may miss one on its way in."""
    task = make_task(session, people.project, wanted=3)
    for user in (people.ana, people.rui):
        make_annotation(session, task, user, ranks=[1, 2])
    session.commit()
    statistics(project_id=str(people.project.id))
    statistics_of_active_projects(0)
    assert queued_for(session, people.project) == 0
    long_ago = database_now(session) - timedelta(days=400)
    make_annotation(session, task, people.vic, ranks=[2, 1], submitted_at=long_ago)
    session.commit()
    statistics_of_active_projects(0)
    assert queued_for(session, people.project) == 1


def test_the_overview_counts_gold_as_it_stands(
    session: Session, people: People, api: Callable[[User], TestClient]
):
    """A slip that she corrected is right, and a key that was withdrawn says nothing of anybody."""
    task = make_task(session, people.project, prefers=[[0, 1]])
    slip = make_annotation(
        session, task, people.ana, ranks=[2, 1], gold_passed=False, active_ms=9_000
    )
    slip.is_current = False
    session.flush()
    of_her = {"assignment_id": slip.assignment_id, "user_id": people.ana.id, "task_id": task.id}
    session.add(
        Annotation(
            **of_her,
            project_id=people.project.id,
            guidelines_version=1,
            ranks=[1, 2],
            revision=2,
            counted=False,
            gold_passed=True,
            active_ms=9_000,
        )
    )
    session.flush()
    restand(session, project=people.project, user_ids={people.ana.id})
    session.commit()
    address = f"/api/v1/projects/{people.project.id}/dashboard"

    def gold_of_the_week() -> tuple[int, int]:
        week = api(people.ada).get(address).json()["now"]["week"]
        return week["gold_seen"], week["gold_passed"]

    assert gold_of_the_week() == (1, 1)
    reply = api(people.ada).post(
        f"/api/v1/tasks/{task.id}/gold/suspension", json={"reason": "It is wrong."}
    )
    assert reply.status_code == 200, reply.text
    assert gold_of_the_week() == (0, 0)


def test_agreement_by_part_is_as_old_as_its_oldest_part(
    session: Session, people: People, api: Callable[[User], TestClient], sign_in, monkeypatch
):
    task = make_task(session, people.project, wanted=3)
    for user in (people.ana, people.rui):
        make_annotation(session, task, user, ranks=[1, 2])
    session.commit()
    monkeypatch.setattr(summary, "INLINE", 0)
    address = f"/api/v1/projects/{people.project.id}/agreement?by=week"
    assert api(people.ada).get(address).json()["is_current"]
    make_annotation(session, task, people.vic, ranks=[1, 2])
    session.commit()
    statistics(project_id=str(people.project.id))
    assert not api(people.ada).get(address).json()["is_current"]
    page = sign_in(people.ada).get(f"/projects/{people.project.id}/agreement?by=week").text
    assert "newer figures are being computed" in page
    statistics(project_id=str(people.project.id), part=Part.WEEK)
    assert api(people.ada).get(address).json()["is_current"]


def test_a_file_brought_in_anew_has_figures_of_its_own(
    session: Session, people: People, api: Callable[[User], TestClient], tmp_path: Path
):
    """Taken back and mended, with as many judgements as before: the number tells nothing."""
    address = f"/api/v1/projects/{people.project.id}/agreement"
    agreement = []
    for last in ([2, 1], [1, 2]):
        given = [{"annotator": "Kim", "ranks": [1, 2]}, {"annotator": "Lee", "ranks": last}]
        lines = [pair(f"{number}?", annotations=given) for number in range(3)]
        row = brought_in(session, people.project, json_lines(tmp_path / "mended.jsonl", lines))
        figures = api(people.ada).get(address).json()["fields"]["ranking"]
        agreement.append(figures["percent_agreement"]["value"])
        request_undo(session, row=session.get_one(Import, row.id), by=people.ada)
        session.commit()
        undo_import(row.id)
        session.expire_all()
    assert agreement == [0, 1]
