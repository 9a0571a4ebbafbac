"""What must hold of a project's tasks and judgements whatever happened."""

from collections import Counter

from sqlalchemy import func, select

from app.annotation.models import Annotation
from app.db import SessionLocal
from app.projects.models import Project
from app.tasks.models import Assignment, AssignmentState, Task
from app.work.queries.checks import invariants


def check_exactly_k(project_id, people, *, all_done=True):
    """Everything that people were told is kept is there once; answers what else is there."""
    with SessionLocal() as session:
        rows = session.execute(
            select(Task.id, Task.leased, Task.counted, Task.wanted).where(
                Task.project_id == project_id
            )
        ).all()
        counted = Counter(
            session.scalars(
                select(Annotation.task_id).where(
                    Annotation.project_id == project_id,
                    Annotation.counted.is_(True),
                    Annotation.is_current.is_(True),
                )
            )
        )
        leased = Counter(
            session.scalars(
                select(Assignment.task_id).where(
                    Assignment.project_id == project_id,
                    Assignment.state == AssignmentState.OPEN,
                    ~Assignment.is_repeat,  # it holds no place
                )
            )
        )
        for row in rows:
            assert row.counted == counted[row.id]
            assert row.leased == leased[row.id]
            assert row.leased + row.counted <= row.wanted
            if all_done:
                assert row.counted == row.wanted
        twice = session.execute(
            select(Annotation.task_id, Annotation.user_id)
            .where(Annotation.project_id == project_id, Annotation.is_current.is_(True))
            .group_by(Annotation.task_id, Annotation.user_id, Annotation.is_repeat)
            .having(func.count() > 1)
        ).all()
        assert twice == []
        project = session.get_one(Project, project_id)
        assert [each for each in invariants(session, project=project) if not each.holds] == []
        stored = set(
            session.scalars(select(Annotation.id).where(Annotation.project_id == project_id))
        )
    acknowledged = {each for person in people for each in person.acknowledged}
    assert len(acknowledged) == sum(len(person.acknowledged) for person in people)
    assert acknowledged <= stored
    return stored - acknowledged
