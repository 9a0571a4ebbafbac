"""One server for all tests of how the ranking page reads and handles, with a project for each."""

import json
import re
from contextlib import contextmanager

from sqlalchemy import select

from app.accounts import service as accounts
from app.accounts.models import Role
from app.annotation.models import Annotation
from app.db import SessionLocal, connect, database_now, transaction
from app.tasks.models import Assignment
from app.web.protection import SESSION_COOKIE
from tests.annotation.desk import Hands
from tests.conftest import fresh_database, psycopg_url, serving
from tests.factories import make_member, make_project, make_prompt, make_task, make_user
from tests.waiting import PAGE_PATIENCE

RATED = [
    {"key": "help", "label": "Help", "min": 1, "max": 5},
    {"key": "truth", "label": "Truth", "min": 1, "max": 5},
    {"key": "style", "label": "Style", "min": 0, "max": 4},
]
WIDE = [
    {"key": "quality", "label": "Quality", "min": 0, "max": 100},
    {
        "key": "tone",
        "label": "Donaudampfschifffahrtsgesellschaftskapitänstonfall",
        "min": -2,
        "max": 2,
    },
]
HEBREW = "שלום עולם\n\n- ראשון\n- שני\n\nLeft to right, safe\u202etxt.exe."
TABLE = "| |" + "a column|" * 13 + "\n|" + "---|" * 14 + "\n|" + "value|" * 14 + "\n\n" + "w" * 400


def long_text(name, parts):
    """Headings with a paragraph each."""
    return "\n\n".join(
        f"## Part {n}\n\n{name} says this. {'Many words. ' * 40}" for n in range(parts)
    )


TEXTS = {
    "pair": ["boil an egg", "fry an egg with [a link](https://a.example) and `code`"],
    "long": [long_text("First", 9), long_text("Second", 5)],
    "four": ["one", "two " * 150, "three", "four"],
    "ten": [f"greeting {number}" for number in range(10)],
    "rated": ["boil it " * 9, "fry it"],
    "rated five": ["a", "b", "c", "d", "e"],
    "rated again": ["boil it for long", "fry it", "steam it", "bake it", "eat it raw"],
    "wide": ["boil it", "fry it"],
    "mixed": [HEBREW, TABLE, "Hi.\n\nHuman: And?\n\nAssistant: That is all.", " "],
}
CRITERIA = {"rated": RATED, "rated five": RATED, "rated again": RATED, "wide": WIDE}
MAY_COMPLAIN = "Failed to load resource"


def open_projects():
    """A project per kind of task, all Ana's; their ids, and the cookie of her sign-in."""
    with transaction() as session:
        ana = make_user(session, "Ana")
        ids = {}
        for name, texts in TEXTS.items():
            project = make_project(session, name, by=ana, criteria=CRITERIA.get(name, []))
            make_member(session, project, ana, Role.ANNOTATOR)
            ids[name] = project.id
            for number in range(9):
                prompt = make_prompt(session, project, f"Which one, {name} {number}? " * 12)
                prompt.language = "he" if name == "mixed" else "English"
                make_task(session, project, prompt=prompt, responses=texts, wanted=9)
        return ids, ana.id, accounts.open_session(session, user=ana, now=database_now(session))


@contextmanager
def opened_projects(server_url, template):
    """The address of a server of its own, and what `open_projects` made there."""
    with fresh_database(server_url, template) as name:
        engine = connect(psycopg_url(server_url, name), pool_size=20)
        with serving() as address:
            yield address, open_projects()
        engine.dispose()
        SessionLocal.configure(bind=None)


class Desk(Hands):
    """Ana before a task of one of the projects."""

    def __init__(self, browser, address, opened):
        self.browser, self.address = browser, address
        self.projects, self.ana, self.key = opened
        self.contexts = []
        self.complaints = []

    def open(self, name, *, width=1280, height=800, **options):
        context = self.browser.new_context(
            viewport={"width": width, "height": height}, reduced_motion="reduce", **options
        )
        context.set_default_timeout(PAGE_PATIENCE)
        cookie = {"name": SESSION_COOKIE, "value": self.key, "secure": True, "httpOnly": True}
        context.add_cookies([{**cookie, "domain": "127.0.0.1", "path": "/"}])
        self.contexts.append(context)
        self.page = page = context.new_page()
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self.listen)
        page.goto(f"{self.address}/projects/{self.projects[name]}/rank")
        start = page.get_by_role("button", name="Start ranking")
        if start.count():
            start.click()
        if options.get("java_script_enabled", True):
            self.ready()
        return page

    def listen(self, message):
        if message.type in {"error", "warning"} and MAY_COMPLAIN not in message.text:
            self.complaints.append(message.text)

    def ready(self):
        self.page.locator("form.task[data-ready]").wait_for()

    def submit(self):
        """Hand in by key; answers the judgement as it is kept, by the labels of the screen."""
        before = self.shown()
        with self.page.expect_response(re.compile("/annotation")) as answer:
            self.press("Enter")
        assert answer.value.status == 201
        self.page.wait_for_function(
            "id => document.querySelector('form.task')?.dataset.assignment !== id", arg=before
        )
        return self.kept(before)

    def kept(self, assignment_id):
        with SessionLocal() as session:
            row = session.scalars(
                select(Annotation).where(
                    Annotation.assignment_id == assignment_id, Annotation.is_current
                )
            ).one()
            order = session.get_one(Assignment, assignment_id).display_order
        ranks = [row.ranks[place] for place in order]
        ratings = {key: [values[place] for place in order] for key, values in row.ratings.items()}
        return row, ranks, ratings

    def storage(self):
        return json.loads(self.page.evaluate("JSON.stringify(localStorage)"))

    def close(self):
        for context in self.contexts:
            context.close()
