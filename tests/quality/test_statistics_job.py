"""The job that keeps figures fresh, and what it never does."""

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from sqlalchemy import select, text
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.accounts.models import User
from app.corpus.models import Import
from app.corpus.service import request_undo
from app.projects.models import Project
from app.quality.models import Part, QualitySummary
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
