"""People who judge through the API and do not give up: what was not answered is sent again."""

import http.client
import json
import threading
import time
from uuid import UUID, uuid4

from app.accounts import service as accounts
from app.accounts.models import Role
from app.db import database_now, transaction
from tests.factories import make_many_tasks, make_member, make_project, make_user


class Judge(threading.Thread):
    """One person's program; `acknowledged` are the judgements that she was told are kept."""

    def __init__(self, port, key, project_id, enough):
        super().__init__(daemon=True)
        self.port, self.project_id, self.enough = port, project_id, enough
        self.headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self.acknowledged, self.retries, self.refusals = [], 0, []

    def run(self):
        task = self.ask("POST", f"/projects/{self.project_id}/assignments")
        while task and not self.enough.is_set():
            body = {"ranking": [["A"], ["B"]]}
            answer = self.ask("PUT", f"/assignments/{task['id']}/annotation?next=true", body)
            if answer is None:
                return
            self.acknowledged.append(UUID(answer["id"]))
            task = answer.get("next")

    def ask(self, method, path, body=None):
        """The answer, however often it takes; None where there is none or she was refused."""
        headers = self.headers | {"Idempotency-Key": str(uuid4())}
        while True:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
                connection.request(method, f"/api/v1{path}", json.dumps(body or {}), headers)
                reply = connection.getresponse()
                status, content = reply.status, reply.read()
            except (OSError, http.client.HTTPException):
                status = 0
            finally:
                connection.close()
            if 200 <= status < 300:
                return json.loads(content) if content else None
            if 400 <= status < 500:
                self.refusals.append((status, content))
                return None
            self.retries += 1
            time.sleep(0.05)


def make_judges(port, *, count, tasks, wanted):
    """A project with so many tasks, people who will judge them, and the sign for enough."""
    enough = threading.Event()
    with transaction() as session:
        boss = make_user(session, f"Boss {uuid4()}")
        project = make_project(session, f"Project {uuid4()}", by=boss)
        make_many_tasks(session, project, count=tasks, wanted=wanted)
        judges, now = [], database_now(session)
        for number in range(count):
            user = make_user(session, f"Judge {number} {uuid4()}")
            make_member(session, project, user, Role.ANNOTATOR)
            key = accounts.create_token(session, user=user, name="program", now=now)
            judges.append(Judge(port, key, project.id, enough))
        return project.id, judges, enough
