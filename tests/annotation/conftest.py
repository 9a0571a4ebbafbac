"""Ana at work through the API."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from app.annotation.models import Annotation
from app.tasks.models import Task
from tests.annotation.desk import Desk, make_desk


class Worker:
    """A program that does what the ranking page does, as one person."""

    def __init__(self, client: Any, project: Any) -> None:
        self.client, self.project = client, project

    def claim(self, **body: Any) -> Any:
        path = f"/api/v1/projects/{self.project.id}/assignments"
        return self.client.post(path, json=body or None)

    def submit(
        self, assignment: Any, ranking: Any, *, key: str | None = None, query: str = "", **body: Any
    ) -> Any:
        """`ranking` as `A>B=C`, or as groups of labels."""
        if isinstance(ranking, str):
            ranking = [group.split("=") for group in ranking.split(">")]
        return self.client.put(
            f"/api/v1/assignments/{assignment['id']}/annotation{query}",
            json={"ranking": ranking, **body},
            headers={"Idempotency-Key": key or str(uuid4())},
        )

    def post(self, assignment: Any, verb: str, **body: Any) -> Any:
        return self.client.post(f"/api/v1/assignments/{assignment['id']}/{verb}", json=body or None)

    def draft(self, assignment: Any, **body: Any) -> Any:
        return self.client.put(f"/api/v1/assignments/{assignment['id']}/draft", json=body)


@pytest.fixture
def works(api, project) -> Callable[[Any], Worker]:
    return lambda user: Worker(api(user), project)


@pytest.fixture
def stored(session) -> Callable[..., list[Annotation]]:
    """The judgements of a person, oldest first, as they are in the database now."""

    def of(user: Any, task: Task | None = None) -> list[Annotation]:
        session.expire_all()
        rows = session.query(Annotation).filter(Annotation.user_id == user.id)
        if task is not None:
            rows = rows.filter(Annotation.task_id == task.id)
        return rows.order_by(Annotation.submitted_at, Annotation.revision).all()

    return of


@pytest.fixture
def desk(live_server: str, browser: Any) -> Iterator[Desk]:
    """Ana's browser on a project with a pair first, then four responses, then more pairs."""
    desk = make_desk(browser, live_server)
    yield desk
    desk.context.close()
