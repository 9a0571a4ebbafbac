"""The ranking page and the history as plain forms, without a line of JavaScript."""

import re
from datetime import timedelta

import pytest

from app.accounts.models import Role
from app.db import database_now
from app.projects.models import Guidelines, Membership
from app.tasks.models import Assignment, AssignmentState, Task
from tests.factories import make_annotation, make_member, make_project, make_prompt, make_task


@pytest.fixture
def browser(sign_in, ana):
    return sign_in(ana)


@pytest.fixture
def rank(project):
    return f"/projects/{project.id}/rank"


def fields_of(page):
    """What the browser would post: hidden fields and what is checked."""
    fields = {}
    for tag in re.findall(r"<input[^>]*>", page):
        name = re.search(r'name="([^"]*)"', tag)
        value = re.search(r'value="([^"]*)"', tag)
        kind = re.search(r'type="([^"]*)"', tag)
        if name and value and ((kind and kind[1] == "hidden") or " checked" in tag):
            fields[name[1]] = value[1]
    return fields


def action_of(page):
    return re.search(r'<form class="task[^>]*action="([^"]*)"', page, re.DOTALL)[1]


def begin(browser, rank):
    """From the offer of a task to its page."""
    reply = browser.post(f"{rank}/next")
    assert (reply.status_code, reply.headers["location"]) == (303, rank)
    return browser.get(rank).text


def test_looking_takes_no_task(session, project, browser, rank):
    make_task(session, project)
    session.commit()
    for _ in range(2):
        page = browser.get(rank)
        assert page.status_code == 200
        assert "Start ranking" in page.text
    assert session.query(Assignment).filter_by(project_id=project.id).count() == 0


def test_a_pair_is_judged_by_a_form(session, project, ana, browser, rank, stored):
    task = make_task(session, project, prompt="Which **one**?", responses=["zero", "one"])
    session.commit()
    page = begin(browser, rank)
    assert "<strong>one</strong>" in page
    fields = fields_of(page)
    assert fields["revision"] == "0"

    reply = browser.post(
        action_of(page),
        data=fields | {"choice": "B2", "rationale": "b!", "flag_A": "unsafe", "rewrite": "1!"},
    )

    assert (reply.status_code, reply.headers["location"]) == (303, rank)
    (annotation,) = stored(ana, task)
    order = session.query(Assignment).filter_by(user_id=ana.id).one().display_order
    assert annotation.ranks[order[1]] == 1
    assert annotation.ranks[order[0]] == 2
    assert (annotation.strength, annotation.rationale) == (2, "b!")
    assert annotation.rewrite == "1!"
    assert "with a better one" in browser.get(f"{rank}/history").text
    assert annotation.flags == {str(order[0]): ["unsafe"]}
    assert "Everything is judged" in browser.get(rank).text


def test_the_same_form_sent_twice_is_one_answer(session, project, ana, browser, rank, stored):
    make_task(session, project)
    session.commit()
    page = begin(browser, rank)
    fields = fields_of(page) | {"choice": "T"}
    for _ in range(2):
        assert browser.post(action_of(page), data=fields).status_code == 303
    assert [annotation.ranks for annotation in stored(ana)] == [[1, 1]]


def test_several_responses_are_placed_by_a_form(session, project, ana, browser, rank, stored):
    make_task(session, project, responses=["0", "1", "2", "3"])
    session.commit()
    page = begin(browser, rank)
    places = {"rank_A": "2", "rank_B": "1", "rank_C": "2", "rank_D": "4"}
    assert browser.post(action_of(page), data=fields_of(page) | places).status_code == 303
    order = session.query(Assignment).filter_by(user_id=ana.id).one().display_order
    assert [stored(ana)[0].ranks[place] for place in order] == [2, 1, 2, 4]


def test_an_unfinished_form_comes_back_with_what_was_filled_in(
    session, project, ana, browser, rank, stored
):
    project.criteria = [{"key": "clear", "label": "Clarity", "min": 1, "max": 5}]
    make_task(session, project, responses=["0", "1", "2"])
    session.commit()
    page = begin(browser, rank)
    given = {"rank_A": "1", "rank_C": "3", "rationale": "not yet <done>", "rating_B_clear": "4"}
    reply = browser.post(action_of(page), data=fields_of(page) | given)
    assert reply.status_code == 422
    assert "Response B is missing from the ranking" in reply.text
    assert "not yet &lt;done&gt;" in reply.text
    again = fields_of(reply.text)
    assert (again["rank_A"], again["rank_C"], again["rating_B_clear"]) == ("1", "3", "4")
    assert stored(ana) == []
    sent = browser.post(action_of(reply.text), data=again | {"rank_B": "2"})
    assert sent.status_code == 303
    assert stored(ana)[0].ratings["clear"].count(4) == 1


def test_the_history_goes_on_beyond_its_first_page(session, project, ana, browser, rank):
    now = database_now(session)
    for number in range(53):
        task = make_task(session, project, prompt=f"Task number {number:02}")
        moment = now - timedelta(minutes=number)
        make_annotation(session, task, ana, ranks=[1, 2], submitted_at=moment)
    session.commit()
    first = browser.get(f"{rank}/history").text
    assert ("Task number 49" in first, "Task number 50" in first) == (True, False)
    assert first.count(">Change<") == 10
    older = re.search(r'href="([^"]*\?before=[^"]*)"', first)[1]
    second = browser.get(older).text
    assert ("Task number 49" in second, "Task number 50" in second) == (False, True)
    assert "Task number 52" in second
    assert ">Change<" not in second
    assert "Older ones" not in second


def test_the_history_goes_on_past_a_project_that_she_has_left(session, project, ana, ada, api):
    left = make_project(session, "Left", by=ada)
    make_member(session, left, ana, Role.ANNOTATOR)
    now = database_now(session)
    for number, where in enumerate((project, left, project)):
        task = make_task(session, where, prompt=f"p{number}")
        at = now + timedelta(minutes=number)
        make_annotation(session, task, ana, ranks=[1, 2], submitted_at=at)
    session.delete(session.get_one(Membership, (left.id, ana.id)))
    session.commit()
    program, seen, cursor = api(ana), [], ""
    while cursor is not None:
        page = program.get(f"/api/v1/me/annotations?limit=1{cursor and f'&cursor={cursor}'}").json()
        seen += [each["prompt"] for each in page["items"]]
        cursor = page["next_cursor"]
    assert seen == ["p2", "p1", "p0"]


def test_another_persons_answer_is_no_place_to_begin(session, project, rui, browser, rank):
    task = make_task(session, project)
    hers = make_annotation(session, task, rui, ranks=[1, 2])
    session.commit()
    assert browser.get(f"{rank}/history?before={hers.assignment_id}").status_code == 404


def test_a_draft_that_no_page_makes_is_shown_all_the_same(
    session, project, ana, browser, rank, works
):
    make_task(session, project)
    session.commit()
    mine = works(ana).claim().json()
    works(ana).draft(mine, ranking=[[], ["A", "B"]], revision=1)
    page = browser.get(rank)
    assert page.status_code == 200
    assert re.search(r'value="T"[^>]* checked', page.text)


@pytest.mark.parametrize("number", ["²", "9" * 5_000])
def test_what_is_no_number_in_a_form_is_not_filled_in(session, project, browser, rank, number):
    make_task(session, project, responses=["0", "1", "2"])
    session.commit()
    page = begin(browser, rank)
    form = fields_of(page) | {"rank_A": number, "rank_B": "1", "rank_C": "2", "revision": number}
    reply = browser.post(action_of(page), data=form)
    assert reply.status_code == 422
    assert "Response A is missing" in reply.text


def test_a_skip_by_form_needs_a_reason(session, project, ana, browser, rank):
    make_task(session, project)
    session.commit()
    page = begin(browser, rank)
    reply = browser.post(f"{action_of(page)}/skip", data=fields_of(page))
    assert reply.status_code == 422
    assert "Choose a reason" in reply.text
    reply = browser.post(f"{action_of(page)}/skip", data=fields_of(page) | {"reason": "language"})
    assert reply.status_code == 303
    row = session.query(Assignment).filter_by(user_id=ana.id).one()
    assert row.state is AssignmentState.SKIPPED
    assert "Nothing for you just now" in browser.get(rank).text


def test_an_answer_is_changed_from_the_history(session, project, ana, browser, rank, stored):
    make_task(session, project, prompt="Tell me a joke about tax")
    session.commit()
    page = begin(browser, rank)
    browser.post(action_of(page), data=fields_of(page) | {"choice": "A1"})
    history = browser.get(f"{rank}/history").text
    assert "Tell me a joke about tax" in history
    link = re.search(r'href="(/assignments/[^"]*)"', history)[1]

    page = browser.get(link).text
    assert fields_of(page)["choice"] == "A1"
    assert fields_of(page)["revision"] == "1"
    reply = browser.post(action_of(page), data=fields_of(page) | {"choice": "B3"})
    assert reply.headers["location"] == f"{rank}/history"
    assert [annotation.revision for annotation in stored(ana)] == [1, 2]

    # A second tab still shows the first answer: it must not win.
    reply = browser.post(action_of(page), data=fields_of(page) | {"choice": "T", "key": "other"})
    assert reply.status_code == 409
    assert "revision 2" in reply.text
    assert len(stored(ana)) == 2


def test_new_guidelines_are_read_first(session, project, ana, browser, rank):
    make_task(session, project)
    session.add(Guidelines(project_id=project.id, version=2, text="Be strict."))
    project.guidelines_version = 2
    session.commit()
    reply = browser.get(rank)
    assert (reply.status_code, reply.headers["location"]) == (
        303,
        f"/projects/{project.id}/guidelines",
    )
    session.get(Membership, (project.id, ana.id)).guidelines_read = 2
    session.commit()
    assert "Start ranking" in browser.get(rank).text


def test_guidelines_without_a_word_need_no_reading(session, project, ana, browser, rank):
    make_task(session, project)
    session.get(Guidelines, (project.id, 1)).text = " "
    session.get(Membership, (project.id, ana.id)).guidelines_read = 0
    session.commit()
    assert "Start ranking" in browser.get(rank).text


def test_a_task_whose_time_is_over_is_offered_again(
    session, project, ana, rui, ada, rank, sign_in, clock
):
    """To who holds it and to others, but not to who has judged it; while it runs, to nobody."""
    task = make_task(session, project, wanted=2)
    make_annotation(session, task, ada, ranks=[1, 2])
    session.commit()
    begin(sign_in(ana), rank)
    assert "Nothing for you just now" in sign_in(rui).get(rank).text
    clock.advance(minutes=31)
    for who, is_offered in ((ana, True), (rui, True), (ada, False)):
        assert ("Start ranking" in sign_in(who).get(rank).text) is is_offered
    assert "How do I boil an egg?" in begin(sign_in(rui), rank)
    assert "Nothing for you just now" in sign_in(ana).get(rank).text


@pytest.mark.parametrize(
    ("who_is_paused", "sentence"),
    [
        ("nobody", "There are no tasks yet"),
        ("project", "project is paused"),
        ("ana", "Talk to Rui first."),
    ],
)
def test_an_empty_page_says_why(session, project, ana, browser, rank, who_is_paused, sentence):
    membership = session.get(Membership, (project.id, ana.id))
    if who_is_paused == "project":
        project.paused_at = database_now(session)
    elif who_is_paused == "ana":
        membership.paused_at = database_now(session)
        membership.pause_reason = "Talk to Rui first."
    session.commit()
    assert sentence in browser.get(rank).text
    assert browser.post(f"{rank}/next").status_code == 303  # and taking none breaks nothing


def test_the_conversation_is_shown_in_full_and_safely(session, project, browser, rank):
    prompt = make_prompt(session, project, "x", system="Answer briefly.", language="he")
    prompt.messages = [
        {"role": "user", "content": "first <script>alert(1)</script>"},
        {"role": "assistant", "content": "second"},
        {"role": "user", "content": "third \u202edrow"},
    ]
    make_task(
        session,
        project,
        prompt=prompt,
        responses=["![x](http://evil/x.png) $x^2$", "<img src=x onerror=alert(1)>"],
    )
    session.commit()
    page = begin(browser, rank)
    for text in ("Answer briefly.", "second", "assistant", 'dir="auto"', 'lang="he"', "<math"):
        assert text in page
    assert '<span class="invisible-mark">RLO</span>' in page
    assert "<script>alert" not in page
    assert "<img" not in page


def test_strangers_and_viewers_rank_nothing(session, project, vic, sam, rank, sign_in, client):
    make_task(session, project)
    session.commit()
    for user, status in ((sam, 404), (vic, 403)):
        browser = sign_in(user)
        assert browser.get(rank).status_code == status
        assert browser.get(f"{rank}/history").status_code == status
        assert browser.post(f"{rank}/next").status_code == status
    assert client.get(rank).headers["location"].startswith("/sign-in?next=")
    assert session.query(Task).filter_by(project_id=project.id).one().leased == 0


def test_somebody_elses_task_page_does_not_exist(session, project, browser, rui, rank, sign_in):
    make_task(session, project)
    session.commit()
    page = begin(browser, rank)
    other = sign_in(rui)
    assert other.get(action_of(page)).status_code == 404
    assert other.post(action_of(page), data={"choice": "A1"}).status_code == 404
    assert other.post(f"{action_of(page)}/skip", data={"reason": "other"}).status_code == 404
