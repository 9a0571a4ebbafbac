"""From a paused person to her labels and back, and from a wrong key to everybody's score."""

import re

import pytest

from app.accounts import service as accounts
from app.annotation.models import Annotation
from app.annotation.service.gold import restand
from app.annotation.service.submitting import PAUSED_BECAUSE
from app.db import SessionLocal, database_now, transaction
from app.projects.models import MemberMessage, Membership, Project, Standing
from app.tasks.models import GoldKey
from app.web.protection import SESSION_COOKIE
from tests.factories import make_annotation, make_question, make_task
from tests.people import make_people
from tests.waiting import PAGE_PATIENCE

pytestmark = [pytest.mark.browser, pytest.mark.concurrency]

DARK_PHONE = {"viewport": {"width": 390, "height": 800}, "color_scheme": "dark"}


class Scene:
    """Ana failed five gold questions, one of them with a wrong key; the rule has paused her."""

    def __init__(self, browser, address):
        self.browser, self.address = browser, address
        with transaction() as session:
            people = make_people(session)
            self.project, self.ana = people.project.id, people.ana.id
            golds = [
                make_task(session, people.project, prompt=f"Gold {place}", prefers=[[0, 1]])
                for place in range(5)
            ]
            for gold in golds:
                make_annotation(session, gold, people.ana, ranks=[2, 1], gold_passed=False)
            key = session.get_one(GoldKey, golds[0].id)
            key.explanation = "Eight minutes are enough."
            for place in range(6):
                task = make_task(session, people.project, prompt=f"Work {place}", wanted=2)
                make_annotation(session, task, people.ana, ranks=[1, 2])
            make_task(session, people.project, prompt="What is on her screen?")
            restand(session, project=people.project, user_ids=[people.ana.id])
            hers = session.get_one(Membership, (self.project, self.ana), populate_existing=True)
            assert hers.standing is Standing.FAILED
            hers.paused_at, hers.pause_reason = database_now(session), PAUSED_BECAUSE
            self.gold = golds[0].id
            self.keys = {
                user.name: accounts.open_session(session, user=user, now=database_now(session))
                for user in (people.ada, people.rui, people.ana)
            }
        self.contexts = []

    def window(self, name, **how):
        context = self.browser.new_context(**how)
        context.set_default_timeout(PAGE_PATIENCE)
        cookie = {"name": SESSION_COOKIE, "value": self.keys[name], "secure": True}
        context.add_cookies([{**cookie, "domain": "127.0.0.1", "path": "/"}])
        self.contexts.append(context)
        return context.new_page()

    def go(self, page, path):
        page.goto(f"{self.address}/projects/{self.project}{path}")


@pytest.fixture
def scene(live_server, browser):
    made = Scene(browser, live_server)
    yield made
    for context in made.contexts:
        context.close()


def test_ada_acts_on_a_person_and_takes_it_back(scene):
    ada = scene.window("Ada", viewport={"width": 1280, "height": 900})
    scene.go(ada, f"/annotators/{scene.ana}")
    ada.get_by_role("link", name="Re-queue her last 50").click()
    ada.get_by_text("tasks open again for others").wait_for()
    ada.get_by_role("button", name="Re-queue 6 judgements").click()
    ada.get_by_text("re-queued 6 judgements (the last 50); 6 tasks opened again").wait_for()
    with SessionLocal() as session:
        assert session.query(Annotation).filter_by(counted=True).count() == 0
    ada.get_by_role("button", name=re.compile("Undo.*re-queue")).click()
    ada.get_by_text("undid a re-queue: 6 judgements count again").wait_for()
    with SessionLocal() as session:
        assert session.query(Annotation).filter_by(counted=True).count() == 6

    ada.get_by_label("Why (for the log)").fill("Until we have talked.")
    ada.get_by_role("button", name="Leave her out").click()
    scene.go(ada, "/snapshots/new")
    ada.get_by_text("Kept out of every snapshot").wait_for()
    ada.get_by_role("link", name="Ana", exact=True).click()
    ada.get_by_role("button", name=re.compile("Undo.*leaving her out")).click()
    ada.get_by_text("took her judgements into snapshots again").wait_for()


def test_a_message_is_read_and_an_appeal_answered(scene):
    ada, ana = scene.window("Ada"), scene.window("Ana", **DARK_PHONE)
    scene.go(ada, f"/annotators/{scene.ana}")
    ada.get_by_label("Message").fill("Read <b>part two</b> of the guidelines again, please.")
    ada.get_by_role("button", name="Send").click()
    ada.get_by_text("not read yet").wait_for()

    scene.go(ana, "/rank")
    ana.get_by_text("Read <b>part two</b> of the guidelines again, please.").wait_for()
    ana.get_by_role("button", name="I have read it").click()
    ana.get_by_role("heading", name="Your work here is paused").wait_for()
    assert ana.get_by_text("part two").count() == 0
    ana.get_by_text("Write to the admins").click()
    ana.get_by_label("What they should know").fill("I have read them, and see my mistake.")
    ana.get_by_role("button", name="Send").click()
    ana.get_by_text("Nobody has answered yet").wait_for()

    ada.reload()
    ada.get_by_text("read", exact=True).wait_for()
    ada.get_by_role("link", name="Answer her").click()
    ada.get_by_label("Answer (Ana reads it)").fill("Welcome back.")
    ada.get_by_role("button", name="Let Ana go on").click()
    ana.reload()
    ana.get_by_text("your pause has been lifted. Welcome back.").wait_for()
    ana.get_by_role("button", name="Start ranking").click()
    ana.locator("form.task").wait_for()
    assert ana.get_by_text("Welcome back.").is_visible()  # until she has read it
    with SessionLocal() as session:
        assert session.query(MemberMessage).count() == 2


def test_a_wrong_key_is_withdrawn_and_scores_follow(scene):
    rui, ada = scene.window("Rui"), scene.window("Ada")
    scene.go(rui, "/gold")
    rui.get_by_role("link", name="Gold 0").click()
    rui.get_by_label("What is wrong with it").fill("Both are right.")
    rui.get_by_role("button", name="Withdraw the key…").click()
    rui.get_by_role("heading", name="1 person's score changes").wait_for()
    rui.get_by_text("fails gold → close to failing; 0 of 5 → 0 of 4 gold right").wait_for()
    with SessionLocal() as session:
        assert session.get_one(GoldKey, scene.gold).suspended_at is None
    rui.get_by_role("button", name="Withdraw the key", exact=True).click()
    rui.get_by_text("Nobody is scored by it").wait_for()
    rui.get_by_text("an admin can lift it").wait_for()

    scene.go(ada, "/gold")
    ada.get_by_role("button", name="Lift the pause of Ana").click()
    ada.get_by_role("heading", name="Are the known answers right?").wait_for()
    assert ada.get_by_text("Paused by the gold rule").count() == 0
    with SessionLocal() as session:
        hers = session.get_one(Membership, (scene.project, scene.ana))
        assert (hers.paused_at, hers.standing) == (None, Standing.WARNED)


def test_a_wrong_answer_of_the_qualification_is_appealed(scene):
    with transaction() as session:
        hers = session.get_one(Membership, (scene.project, scene.ana))
        hers.paused_at = hers.qualified_at = None
        project = session.get_one(Project, scene.project)
        project.qualification_size = 1
        make_question(session, project, prompt="Which is right?", responses=["yes", "no"])
    ana, rui = scene.window("Ana"), scene.window("Rui")
    scene.go(ana, "/rank")
    ana.get_by_role("button", name="Begin").click()
    ana.locator("form.task[data-ready]").wait_for()
    wrong = "2" if ana.locator("#response-A .response-text").inner_text().strip() == "yes" else "1"
    ana.keyboard.press(wrong)
    ana.keyboard.press("Enter")
    ana.get_by_role("heading", name="That is not right").wait_for()
    ana.get_by_text("I think the answer is wrong").click()
    ana.get_by_label("Why", exact=True).fill("going by the guidelines, no is right.")
    assert ana.locator("#guidelines-dialog[open]").count() == 0  # letters are text here, not keys
    ana.get_by_role("button", name="Send").click()
    ana.get_by_text("A reviewer looks at it").wait_for()

    scene.go(rui, "/annotators")
    rui.get_by_role("link", name="1 open appeal").click()
    rui.get_by_role("link", name="Withdraw or correct the key…").click()
    rui.get_by_role("combobox", name="A", exact=True).select_option("2")
    rui.get_by_role("combobox", name="B", exact=True).select_option("1")
    rui.get_by_role("button", name="Correct the key…").click()
    rui.get_by_text("passes the qualification now").wait_for()
    rui.get_by_role("button", name="Correct the key", exact=True).click()
    rui.get_by_role("heading", name="B > A").wait_for()
    scene.go(ana, "/rank")
    ana.get_by_text("You were right to ask: the answer has been corrected").wait_for()
    ana.get_by_role("button", name="Start ranking").wait_for()
