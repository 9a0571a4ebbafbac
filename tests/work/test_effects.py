"""What a change will do is told before it is made, and comes true."""

import re
from datetime import timedelta

import pytest

from app.accounts.models import Role
from app.db import database_now
from app.projects.models import Membership, Project, Standing
from app.projects.queries import guidelines_of
from app.tasks.models import Assignment, Task, TaskKind
from app.work.rules.census import census
from app.work.rules.demand import Pace
from app.work.rules.effects import Facts, effects
from app.work.service import board
from app.work.service.effects import unfit
from app.worker.overlap import adjust_overlap
from tests.factories import make_annotation, make_member, make_question, make_task, make_user

BEFORE = {
    "name": "Eggs",
    "description": "",
    "criteria": [],
    "strength_levels": 3,
    "allow_ties": True,
    "overlap_min": 2,
    "overlap_max": 2,
    "overlap_confidence": None,
    "gold_rate": 0.1,
    "gold_threshold": 0.7,
    "lease_minutes": 30,
    "guidelines": "Prefer the better one.",
    "paused": False,
}
AT_60_AN_HOUR = Pace(counted=120, hours=2, people=3)


def told(changed, cells=(), **facts):
    """What is said of each setting: from, to, sentence."""
    given = {
        "version": 3,
        "pace": AT_60_AN_HOUR,
        "readers": 5,
        "judgements": 812,
        "holders": 0,
        "held": 0,
        "gold_tasks": 40,
        "unfit": {},
    }
    before = BEFORE | facts.pop("before", {})
    found = effects(Facts(before=before, changed=changed, census=census(cells), **given | facts))
    return {each.setting: (each.was, each.becomes, each.sentence) for each in found}


def overlap(least, most=None, confidence=None):
    return {
        "overlap_min": least,
        "overlap_max": most or least,
        "overlap_confidence": confidence,
    }


def test_more_judgements_open_complete_tasks_again():
    cells = [(2, 2, 0, 1240), (2, 1, 1, 37), (2, 0, 0, 100)]
    was, becomes, sentence = told(overlap(3), cells)["overlap"]
    assert (was, becomes) == ("2", "3")
    assert "1,240 complete tasks open again for 1 more each: 1,240 judgements" in sentence
    assert "about 6.9 hours at today’s pace" in sentence  # 1,240 / 60 an hour / 3 people
    assert "137 open tasks want 1 more each: 137 judgements" in sentence


def test_fewer_judgements_complete_tasks_and_let_leases_go_on():
    cells = [(3, 2, 0, 310), (3, 2, 1, 12), (3, 3, 0, 50), (3, 0, 0, 7)]
    before = {"overlap_min": 3, "overlap_max": 3}
    _, _, sentence = told(overlap(2), cells, before=before)["overlap"]
    assert "310 tasks that have enough are complete at once." in sentence
    assert "7 open tasks want fewer: 7 judgements less." in sentence
    assert "12 leases beyond the new number go on, and their judgements count." in sentence


def test_a_closed_task_does_what_no_overlap_says():
    closed = [(2, 2, 0, 40, 0, True), (0, 0, 0, 7, 0, True)]
    _, becomes, sentence = told(overlap(3, 5), [(2, 2, 0, 3), (2, 0, 1, 1), *closed])["overlap"]
    assert becomes == "3 to 5, until 95 % sure"  # where no other confidence is set
    assert "3 complete tasks open again for 1 more each: 3 judgements" in sentence
    assert "1 open task wants more: 1 judgement" in sentence


def test_a_closed_task_is_not_told_to_open_again(api, ada, ana, rui, project, session):
    for is_closed, at_least in ((False, 0), (True, 0), (False, 4)):
        task = make_task(session, project, prompt=f"{is_closed}, {at_least}", wanted=2)
        make_annotation(session, task, ana, ranks=[1, 2])
        make_annotation(session, task, rui, ranks=[2, 1])
        task.closed_at = database_now(session) if is_closed else None
        task.at_least, task.wanted = at_least, max(2, at_least)
    session.commit()
    body = {"overlap": {"min": 2, "max": 4}}
    program = api(ada)
    (effect,) = program.post(f"/api/v1/projects/{project.id}/effects", json=body).json()["effects"]
    assert effect["sentence"].startswith("1 complete task is too unsure for this and opens again")
    program.patch(f"/api/v1/projects/{project.id}", json=body)
    adjust_overlap(project_id=str(project.id))
    work = program.get(f"/api/v1/projects/{project.id}/work").json()
    assert (work["tasks"]["complete"], work["tasks"]["places_free"]) == (1, 3)


def test_confidence_says_how_many_are_unsure_and_whether_that_is_a_guess():
    before = {"overlap_max": 4, "overlap_confidence": 0.7}
    was, becomes, sentence = told(overlap(2, 4, 0.95), before=before, unsure=310, is_guess=True)[
        "overlap"
    ]
    assert (was, becomes) == ("2 to 4, until 70 % sure", "2 to 4, until 95 % sure")
    assert sentence.startswith("About 310 complete tasks are too unsure")


def test_a_change_that_touches_no_task_says_so():
    assert told(overlap(2, 5))["overlap"][2].startswith("No task that is here changes")


def test_new_guidelines_say_who_must_read_and_what_stays():
    was, becomes, sentence = told({"guidelines": "New."}, holders=3, held=4)["guidelines"]
    assert (was, becomes) == ("version 3", "version 4")
    assert "5 annotators must read and accept it before the next task" in sentence
    assert "812 judgements stay under version 3" in sentence
    assert "3 people have 4 tasks now, which may be finished" in sentence


def test_another_scale_counts_what_does_not_fit_and_makes_a_version():
    found = told({"strength_levels": 2, "allow_ties": False}, unfit={"strength_levels": 1})
    assert found["strength_levels"][:2] == ("3 levels", "2 levels")
    assert "1 unfinished judgement on a screen does not fit any more" in found["strength_levels"][2]
    assert "No unfinished judgement" in found["allow_ties"][2]
    assert found["guidelines"][1] == "version 4"


def test_the_others_say_from_when_they_hold():
    found = told(
        {"gold_rate": 0.2, "lease_minutes": 45, "paused": True, "name": "Eier", "daily_limit": 40},
        before={"daily_limit": 20},
        holders=1,
        held=1,
    )
    assert found["gold_rate"][:2] == ("10 %", "20 %")
    assert found["gold_rate"][2].startswith("From each person’s next claim on")
    assert "1 task held now keeps its time" in found["lease_minutes"][2]
    assert "Nobody gets a new task from now on. 1 person has 1 task now" in found["paused"][2]
    assert found["name"][2].startswith("Shown from now on")
    assert found["daily_limit"] == ("20", "40", "From the next claim on.")


def test_without_a_pace_no_time_is_told():
    cells = [(2, 2, 0, 4)]
    _, _, sentence = told(overlap(3), cells, pace=Pace(counted=1, hours=0.01, people=1))["overlap"]
    assert "pace" not in sentence


def test_drafts_that_do_not_fit():
    drafts = [
        {"strength": 3, "ranking": [["A"], ["B"]], "ratings": {"tone": {"A": 7}}},
        {"ranking": [["A", "B"]], "ratings": {"gone": {"A": 1}}},
        {},
    ]
    tone = [{"key": "tone", "label": "Tone", "min": 1, "max": 5}]
    assert unfit(drafts, {"strength_levels": 2}) == {"strength_levels": 1}
    assert unfit(drafts, {"allow_ties": False}) == {"allow_ties": 1}
    assert unfit(drafts, {"criteria": tone}) == {"criteria": 2}
    assert unfit(drafts, {"allow_ties": True}) == {}


# -- with the database, and with what it says coming true


@pytest.fixture
def at_work(session, project, ana, rui):
    """Three tasks that two people have judged alike, one of them differently, and one held."""
    project.overlap_min = project.overlap_max = 2
    for number in range(3):
        task = make_task(session, project, prompt=f"p{number}", wanted=2)
        make_annotation(session, task, ana, ranks=[1, 2], active_ms=60_000)
        ranks = [2, 1] if number == 2 else [1, 2]
        make_annotation(session, task, rui, ranks=ranks, active_ms=60_000)
    held = make_task(session, project, prompt="held", wanted=2, leased=1)
    now = database_now(session)
    session.add(
        Assignment(
            project_id=project.id,
            task_id=held.id,
            user_id=ana.id,
            display_order=[0, 1],
            leased_until=now + timedelta(minutes=9),
            draft={"strength": 3, "ranking": [["A"], ["B"]]},
        )
    )
    session.commit()
    return held


@pytest.mark.usefixtures("at_work")
def test_the_api_tells_and_changes_nothing(api, ada, project, session):
    program = api(ada)
    body = {"overlap": {"min": 3}, "strength_levels": 2, "guidelines": "Be fair."}
    reply = program.post(f"/api/v1/projects/{project.id}/effects", json=body)
    assert reply.status_code == 200
    found = {each["setting"]: each for each in reply.json()["effects"]}
    assert list(found) == ["strength_levels", "overlap", "guidelines"]
    assert (found["overlap"]["from"], found["overlap"]["to"]) == ("2", "3")
    assert (
        "3 complete tasks open again for 1 more each: 3 judgements" in found["overlap"]["sentence"]
    )
    assert "1 unfinished judgement" in found["strength_levels"]["sentence"]
    assert "1 annotator must read" in found["guidelines"]["sentence"]
    assert "6 judgements stay under version 1" in found["guidelines"]["sentence"]
    session.expire_all()
    assert session.get(Project, project.id).overlap_min == 2
    same = program.post(f"/api/v1/projects/{project.id}/effects", json={"overlap": {"min": 2}})
    assert same.json() == {"effects": []}
    stale = program.post(
        f"/api/v1/projects/{project.id}/effects", json={"guidelines": "x", "guidelines_version": 7}
    )
    assert stale.status_code == 409


@pytest.mark.usefixtures("at_work")
def test_unsure_tasks_that_are_told_are_those_that_open(api, ada, project, session):
    program = api(ada)
    body = {"overlap": {"min": 2, "max": 4, "confidence": 0.8}}
    reply = program.post(f"/api/v1/projects/{project.id}/effects", json=body).json()
    assert "1 complete task is too unsure" in reply["effects"][0]["sentence"]
    before = program.get(f"/api/v1/projects/{project.id}/work").json()["tasks"]["complete"]
    program.patch(f"/api/v1/projects/{project.id}", json=body)
    adjust_overlap(project_id=str(project.id))
    board.forget()
    after = program.get(f"/api/v1/projects/{project.id}/work").json()["tasks"]["complete"]
    assert before - after == 1


def test_a_threshold_holds_as_it_is_told_and_who_has_left_reads_nothing(
    api, ada, ana, project, session
):
    hers = session.get_one(Membership, (project.id, ana.id))
    hers.gold_seen, hers.gold_passed = 10, 7
    make_member(session, project, gone := make_user(session, "Gone"), Role.ANNOTATOR)
    gone.disabled_at = database_now(session)
    make_task(session, project)
    session.commit()
    program = api(ada)
    path, body = f"/api/v1/projects/{project.id}", {"gold_threshold": 0.95, "guidelines": "New."}
    effects = {
        each["setting"]: each["sentence"]
        for each in program.post(f"{path}/effects", json=body).json()["effects"]
    }
    assert "with her next answer of any kind" in effects["gold_threshold"]
    assert effects["guidelines"].startswith("1 annotator must read")
    program.patch(path, json=body)
    worker = api(ana)
    mine = worker.post(f"{path}/assignments").json()
    worker.put(f"/api/v1/assignments/{mine['id']}/annotation", json={"ranking": [["A"], ["B"]]})
    session.refresh(hers)
    assert (hers.standing, hers.gold_share, hers.paused_at) == (Standing.FAILED, 0.2, None)


def test_who_must_read_empty_guidelines_is_told_as_it_comes(
    sign_in, api, ada, ana, project, session
):
    """They are news to who has read earlier ones, and examples to everybody."""
    make_member(session, project, nia := make_user(session, "Nia B"), Role.ANNOTATOR)
    session.get_one(Membership, (project.id, nia.id)).guidelines_read = 0
    session.commit()
    program, path = api(ada), f"/api/v1/projects/{project.id}"

    def sent_to_read():
        pages = [sign_in(each).get(f"/projects/{project.id}/rank") for each in (ana, nia)]
        return sum(page.headers.get("location", "").endswith("/guidelines") for page in pages)

    example = {"prompt": "p", "responses": ["a", "b"], "ranks": [1, 2]}
    for change, readers in (
        ({"guidelines": " "}, 1),
        ({"guidelines_examples": [example]}, 2),
        ({"guidelines_examples": []}, 1),
    ):
        told = program.post(f"{path}/effects", json=change).json()["effects"][-1]["sentence"]
        assert program.patch(path, json=change).status_code == 200
        assert sent_to_read() == readers
        assert told.startswith(f"{readers} annotator{'s' if readers > 1 else ''} must read")
    for each in (ana, nia):
        session.get_one(Membership, (project.id, each.id)).guidelines_read = 0
    session.commit()
    told = program.post(f"{path}/effects", json={"strength_levels": 1}).json()["effects"][-1]
    assert told["sentence"].startswith("Nobody has to accept it")
    assert sent_to_read() == 0


def test_whose_gold_is_in_doubt_gets_more_whatever_the_rate(api, ada, ana, project, session):
    project.gold_rate = 0.1
    hers = session.get_one(Membership, (project.id, ana.id))
    hers.gold_share = 0.2  # of her first tasks half
    gus = make_user(session, "Gus B")
    make_member(session, project, gus, Role.VIEWER, gold_share=0.2)  # of when he judged
    for number in range(20):
        make_task(session, project, prompt=f"task {number}")
        make_task(session, project, prompt=f"gold {number}", prefers=[[0, 1]])
    session.commit()
    program, path = api(ada), f"/api/v1/projects/{project.id}"
    (told,) = program.post(f"{path}/effects", json={"gold_rate": 0}).json()["effects"]
    assert "1 person whose gold answers are in doubt keeps a larger share" in told["sentence"]
    program.patch(path, json={"gold_rate": 0})
    worker, kinds = api(ana), set()
    while mine := worker.post(f"{path}/assignments"):
        if mine.status_code == 204:
            break
        assignment = session.get_one(Assignment, mine.json()["id"])
        kinds.add(session.get_one(Task, assignment.task_id).kind)
        worker.post(f"/api/v1/assignments/{mine.json()['id']}/skip", json={"reason": "other"})
    assert TaskKind.GOLD in kinds


def test_a_qualification_is_asked_as_it_is_told(api, ada, ana, project, session):
    make_member(session, project, nia := make_user(session, "Nia B"), Role.ANNOTATOR)
    for number in range(4):
        make_question(session, project, prompt=f"question {number}")
        make_task(session, project, prompt=f"task {number}", wanted=2)
    make_annotation(session, make_task(session, project), ana, ranks=[1, 2])
    session.commit()
    program, path = api(ada), f"/api/v1/projects/{project.id}"

    def change(**qualification):
        body = {"qualification": qualification}
        told = program.post(f"{path}/effects", json=body).json()["effects"][0]["sentence"]
        assert program.patch(path, json=body).status_code == 200
        return told

    def question_of(user):
        mine = api(user).post(f"{path}/assignments").json()
        return mine.get("qualification", {}).get("of")

    assert change(size=2).startswith("Annotators must pass before their next task, but for those")
    assert (question_of(ana), question_of(nia)) == (None, 2)
    assert "under way goes on by its own rules" in change(size=3)
    assert question_of(nia) == 2
    assert "nobody is asked" in change(size=0)
    assert question_of(nia) is None


def form_of(page):
    """The fields that a browser would send from the page's one form."""
    form = re.search(
        r'<form method="post" action="[^"]*" class="row">(.*?)</form>', page, re.DOTALL
    )
    hidden = re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', form[1])
    return {name: value for name, value in hidden if name != "form_token"}


FORM = {
    "name": "Kitchen help",
    "allow_ties": "true",
    "strength_levels": "3",
    "overlap_min": "3",
    "overlap_max": "3",
    "gold_percent": "0",
    "gold_threshold_percent": "70",
    "lease_minutes": "30",
}


def test_tasks_that_wait_for_more_already_are_told_apart(api, ada, ana, rui, project, session):
    """Of two that wait for two more one is sure enough for a lower confidence."""
    project.overlap_min, project.overlap_max, project.overlap_confidence = 2, 4, 0.95
    for ranks in ([1, 2], [2, 1]):
        task = make_task(session, project, prompt=f"{ranks}", wanted=2)
        make_annotation(session, task, ana, ranks=[1, 2])
        make_annotation(session, task, rui, ranks=ranks)
        task.wanted = 4
    session.commit()
    program = api(ada)
    body = {"overlap": {"min": 2, "max": 4, "confidence": 0.8}}
    (effect,) = program.post(f"/api/v1/projects/{project.id}/effects", json=body).json()["effects"]
    assert effect["sentence"] == (
        "1 task that has enough is complete at once. 1 open task wants fewer: 1 judgement less."
    )
    program.patch(f"/api/v1/projects/{project.id}", json=body)
    adjust_overlap(project_id=str(project.id))
    work = program.get(f"/api/v1/projects/{project.id}/work").json()
    assert (work["tasks"]["complete"], work["tasks"]["places_free"]) == (1, 1)


@pytest.mark.usefixtures("at_work")
def test_saving_the_settings_shows_first_what_it_will_do(sign_in, ada, project, session):
    browser = sign_in(ada)
    path = f"/projects/{project.id}/settings"
    review = browser.post(f"{path}/review", data=FORM)
    assert review.status_code == 200
    assert "3 complete tasks open again" in review.text
    session.expire_all()
    assert project.overlap_min == 2

    saved = browser.post(path, data=form_of(review.text))
    assert saved.status_code == 303
    session.expire_all()
    assert (project.overlap_min, project.allow_ties, project.gold_rate) == (3, True, 0)

    again = browser.post(f"{path}/review", data=FORM)
    assert "Nothing would change" in again.text
    assert "Save these settings" not in again.text


@pytest.mark.usefixtures("at_work")
def test_settings_that_somebody_changed_meanwhile_are_shown_again(
    sign_in, api, ada, project, session
):
    browser = sign_in(ada)
    path = f"/projects/{project.id}/settings"
    review = browser.post(f"{path}/review", data=FORM)
    api(ada).patch(f"/api/v1/projects/{project.id}", json={"lease_minutes": 10})

    late = browser.post(path, data=form_of(review.text))
    assert (late.status_code, late.headers["location"]) == (307, f"{path}/review")
    session.expire_all()
    assert (project.overlap_min, project.lease_minutes) == (2, 10)
    shown = browser.post(late.headers["location"], data=form_of(review.text))
    assert "Somebody else has changed the settings meanwhile" in shown.text
    assert "10 min" in shown.text
    assert browser.post(path, data=form_of(shown.text)).status_code == 303
    session.expire_all()
    assert (project.overlap_min, project.lease_minutes) == (3, 30)


def test_back_from_the_review_the_form_says_what_she_put(sign_in, ada, project):
    browser = sign_in(ada)
    path = f"/projects/{project.id}/settings"
    review = browser.post(f"{path}/review", data=FORM | {"lease_minutes": "77"})
    back = browser.post(path, data=form_of(review.text) | {"edit": "true"})
    assert back.status_code == 200
    assert 'value="77"' in back.text
    wrong = browser.post(f"{path}/review", data=FORM | {"name": ""})
    assert wrong.status_code == 422


@pytest.mark.usefixtures("at_work")
def test_guidelines_are_published_after_a_look_at_what_that_does(sign_in, ada, project, session):
    browser = sign_in(ada)
    path = f"/projects/{project.id}/guidelines"
    page = browser.get(f"{path}/edit").text
    assert f'action="{path}/review"' in page
    same = browser.post(f"{path}/review", data={"text": "Prefer the better one.", "version": "1"})
    assert "Nothing would change" in same.text
    review = browser.post(f"{path}/review", data={"text": "Be fair.\r\nBe quick.", "version": "1"})
    assert "6 judgements stay under version 1" in review.text
    assert browser.post(f"{path}/edit", data=form_of(review.text)).status_code == 303
    session.expire_all()
    assert project.guidelines_version == 2
    stale = browser.post(f"{path}/review", data={"text": "Mine", "version": "1"})
    assert stale.status_code == 409
    assert "Mine" in stale.text


@pytest.mark.usefixtures("at_work")
def test_a_pause_says_who_holds_what_and_pauses_once(sign_in, ada, project, session):
    browser = sign_in(ada)
    review = browser.get(f"/projects/{project.id}/pause")
    assert "1 person has 1 task now, which may be finished" in review.text
    for _ in range(2):  # pressed twice, or by two admins: still paused
        assert (
            browser.post(f"/projects/{project.id}/pause", data=form_of(review.text)).status_code
            == 303
        )
        session.expire_all()
        assert project.paused_at is not None
    assert "Work goes on with the next claim" in browser.get(f"/projects/{project.id}/pause").text


# -- taking a change back


def test_the_last_change_is_taken_back_after_a_look(sign_in, api, ada, project, session):
    program, browser = api(ada), sign_in(ada)
    path = f"/projects/{project.id}/settings"
    assert "Undo this change" not in browser.get(path).text
    program.patch(f"/api/v1{path[: -len('/settings')]}", json={"lease_minutes": 12})
    program.patch(
        f"/api/v1{path[: -len('/settings')]}",
        json={"overlap": {"min": 2, "max": 3}, "guidelines": "Worse.", "gold_rate": 0.3},
    )
    assert "Undo this change" in browser.get(path).text
    review = browser.get(f"{path}/undo").text
    assert "30 %" in review
    assert "version 3" in review

    done = browser.post(f"{path}/undo", data=form_of(review))
    assert done.headers["location"] == f"{path}?saved=undone"
    session.expire_all()
    assert (project.overlap_min, project.overlap_max, project.gold_rate) == (1, 1, 0)
    assert (project.lease_minutes, project.guidelines_version) == (12, 3)
    assert guidelines_of(session, project=project).text == "Prefer the better one."

    late = browser.post(f"{path}/undo", data=form_of(review))  # pressed twice
    assert late.headers["location"] == f"{path}/undo"
    session.expire_all()
    assert project.gold_rate == 0
    again = browser.get(f"{path}/undo").text  # the undoing can be undone
    browser.post(f"{path}/undo", data=form_of(again))
    session.expire_all()
    assert (project.gold_rate, project.guidelines_version) == (0.3, 4)
