"""Ana's browser on a project at work, for tests of the ranking page."""

import json
import time
from contextlib import suppress

from playwright.sync_api import Error
from sqlalchemy import select

from app.accounts import service as accounts
from app.annotation.models import Annotation
from app.db import SessionLocal, database_now, transaction
from app.web.protection import SESSION_COOKIE
from tests.factories import make_task
from tests.people import make_people
from tests.waiting import PAGE_PATIENCE

ANSWER = "**/api/v1/assignments/*/annotation*"


def answer_once(page, *, status, times=1, headers=None, title="No"):
    """The server, or something before it, answers so many times in this way."""
    seen = []

    def reply(route):
        if route.request.method != "PUT" or len(seen) >= times:
            route.continue_()
            return
        seen.append(route.request.headers["idempotency-key"])
        body = json.dumps({"title": title, "status": status, "detail": f"{title}, this time."})
        route.fulfill(
            status=status, body=body, content_type="application/problem+json", headers=headers or {}
        )

    page.route(ANSWER, reply)
    return seen


class Hands:
    """What somebody does and sees on `self.page`, a ranking page."""

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    def shown(self):
        return self.page.locator("form.task").get_attribute("data-assignment")

    def see(self, text):
        self.page.get_by_text(text).first.wait_for()

    def until(self, what):
        """Wait until it is true, while the page goes on; answers what it said then."""
        deadline = time.monotonic() + PAGE_PATIENCE / 1000
        while not (found := what()):
            assert time.monotonic() < deadline, "it does not come"
            self.page.wait_for_timeout(50)
        return found


class Desk(Hands):
    def __init__(self, browser, address, *, ana, project_id, key):
        self.ana, self.address, self.rank = ana, address, f"{address}/projects/{project_id}/rank"
        self.context = browser.new_context(viewport={"width": 1280, "height": 860})
        self.context.set_default_timeout(PAGE_PATIENCE)
        self.sign_in(key)
        # A page that runs already may send a request or two before it learns of its first route.
        self.context.route("**/never", lambda route: route.abort())
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self.listen)

    def listen(self, message):
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)

    def sign_in(self, key):
        cookie = {"name": SESSION_COOKIE, "value": key, "secure": True, "httpOnly": True}
        self.context.add_cookies([{**cookie, "domain": "127.0.0.1", "path": "/"}])

    def start(self):
        self.page.goto(self.rank)
        # On a busy machine the network may rest before the page asks for the task behind the first.
        with self.page.expect_response("**/assignments?html=true") as ahead:
            self.page.get_by_role("button", name="Start ranking").click()
        ahead.value.finished()
        self.ready()
        return self.page

    def crash(self):
        """At once: a page that is closed may still send what it has when the network is back."""
        with self.page.expect_event("crash"), suppress(Error):
            self.page.goto("chrome://crash")
        self.page.close()

    def ready(self):
        """The task is painted, its keys are alive and the one behind it has been fetched."""
        self.page.locator("form.task[data-ready]").wait_for()
        self.page.wait_for_load_state("networkidle")

    def another_is_shown(self, before):
        self.page.wait_for_function(
            "id => document.querySelector('form.task').dataset.assignment !== id", arg=before
        )
        self.ready()

    def think(self, text):
        """Write why, and go back to the keys."""
        self.press("r")
        self.page.keyboard.type(text)
        self.press("Escape")

    def kept(self):
        """What this browser keeps of answers that are on their way."""
        return self.page.evaluate(
            "Object.keys(localStorage).filter(key => key.includes('queue')).length"
        )

    def judgements(self):
        with SessionLocal() as session:
            return session.scalars(
                select(Annotation).where(Annotation.user_id == self.ana).order_by(Annotation.id)
            ).all()

    def wait_for_judgements(self, number):
        self.until(lambda: len(self.judgements()) >= number)
        return self.judgements()


def make_desk(browser, address):
    """A pair first, then four responses, then more pairs."""
    with transaction() as session:
        people = make_people(session)
        project = people.project
        make_task(session, project, prompt="Which egg?", responses=["soft", "hard"], priority=9)
        make_task(
            session, project, prompt="Four greetings", responses=["a", "b", "c", "d"], priority=8
        )
        for number in range(6):
            make_task(session, project, prompt=f"Pair {number}", responses=["x", "y"])
        ana, project_id = people.ana.id, project.id
        key = accounts.open_session(session, user=people.ana, now=database_now(session))
    return Desk(browser, address, ana=ana, project_id=project_id, key=key)
