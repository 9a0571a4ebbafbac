"""The job that keeps figures fresh, and what it never does."""

from uuid import uuid4

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.projects.models import Project
from app.quality.models import Part, QualitySummary
from app.worker.statistics import statistics, statistics_of_active_projects
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
