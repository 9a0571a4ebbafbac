"""The editor of the guidelines: examples, drafts, two admins at once, and what changed."""

import json

import pytest

from app.accounts.models import Role
from app.projects import queries, rules
from app.projects.models import Guidelines, GuidelinesDraft
from app.quality.service import review
from tests.factories import make_member, make_task, make_user

EXAMPLE = {
    "example-0-prompt": "Two plus two?",
    "example-0-response": ["Four.", "Five, as everybody knows."],
    "example-0-order": "a > b",
    "example-0-why": "It is true.",
    "example-0-kind": "good",
}


@pytest.fixture
def path(project):
    return f"/projects/{project.id}/guidelines"


def save(browser, path, text, version=1, **fields):
    return browser.post(f"{path}/edit", data={"text": text, "version": version, **fields})


def current(session, project):
    session.expire_all()
    return queries.guidelines_of(session, project=project)


# -- examples, and why


def test_examples_and_a_note_are_part_of_a_version(sign_in, ada, ana, project, session, path):
    browser = sign_in(ada)
    made = save(
        browser, path, "Be exact.", **EXAMPLE, examples_shown="yes", note="Truth comes first."
    )
    assert made.status_code == 303
    version = current(session, project)
    assert version.note == "Truth comes first."
    assert version.examples == [
        {
            "prompt": "Two plus two?",
            "responses": ["Four.", "Five, as everybody knows."],
            "ranks": [1, 2],
            "why": "It is true.",
            "kind": "good",
            "task_id": None,
        }
    ]
    page = sign_in(ana).get(path).text
    for told in ("Truth comes first.", "Two plus two?", "A &gt; B", "new example"):
        assert told in page
    # A change of the text alone keeps them, and one of the scale does.
    save(browser, path, "Be very exact.", version=2)
    assert current(session, project).examples == version.examples
    browser.post(
        f"/projects/{project.id}/settings", data={"name": project.name, "strength_levels": "0"}
    )
    newest = current(session, project)
    assert (newest.version, newest.examples) == (4, version.examples)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"example-0-order": "A > C"}, "does not say how its 2 responses compare"),
        ({"example-0-order": ""}, "Name each of A to B once"),
        ({"example-0-response": ["Only one"]}, "Example 1 needs at least two responses"),
        ({"example-0-prompt": " "}, "Example 1 has no prompt"),
    ],
)
def test_an_unfinished_example_is_named_and_nothing_is_lost(
    sign_in, ada, project, session, path, change, sentence
):
    data = {"text": "New words.", "version": 1, "examples_shown": "yes", **EXAMPLE, **change}
    for action in ("edit", "review"):
        reply = sign_in(ada).post(f"{path}/{action}", data=data)
        assert reply.status_code == 422
        assert sentence in reply.text
        assert "New words." in reply.text
        assert "It is true." in reply.text
    session.expire_all()
    assert project.guidelines_version == 1


def test_an_example_is_left_out_and_another_gets_room(sign_in, ada, session, path, project):
    browser = sign_in(ada)
    save(browser, path, "Be exact.", **EXAMPLE, examples_shown="yes")
    more = browser.post(
        f"{path}/examples",
        data={"text": "T", "version": 2, "examples_shown": "yes", **EXAMPLE},
    )
    assert 'name="example-1-prompt"' in more.text
    out = {"text": "Be exact.", "version": 2, "examples_shown": "yes", **EXAMPLE}
    assert browser.post(f"{path}/edit", data=out | {"example-0-out": "yes"}).status_code == 303
    assert current(session, project).examples == []
    differences = browser.get(f"{path}/differences?from=2&to=3").text
    assert "taken out" in differences


def test_orders_are_read_as_people_write_them():
    assert rules.ranks_from_words("b>a = c", size=3) == [2, 1, 2]
    assert rules.ranks_from_words(" A = B ", size=2) == [1, 1]
    for wrong in ("A", "A > B > B", "A > B > D", "A B C", ""):
        with pytest.raises(ValueError, match="Name each of A to C once"):
            rules.ranks_from_words(wrong, size=3)


def test_an_adjudicated_task_becomes_an_example_of_the_draft(
    sign_in, ada, rui, project, session, path
):
    task = make_task(session, project, prompt="Why is the sky blue?", wanted=2)
    review.adjudicate(session, task=task, ranks=[2, 1], reason="It scatters.", by=rui)
    session.commit()
    browser = sign_in(ada)
    done = browser.post(f"/tasks/{task.id}/example")
    assert done.headers["location"] == f"{path}/edit#edit-examples"
    page = browser.get(f"{path}/edit").text
    for told in (
        "Why is the sky blue?",
        "It scatters.",
        "B &gt; A",
        "nobody is asked to judge it any more",
    ):
        assert told in page
    assert "model-0" not in page
    again = browser.post(f"/tasks/{task.id}/example")
    assert again.status_code == 409
    assert "an example in your draft of the guidelines already" in again.text
    assert project.guidelines_version == 1  # nothing is published by it
    draft = session.get(GuidelinesDraft, (project.id, ada.id))
    data = {"text": draft.text, "version": 1, "examples": json.dumps(draft.examples)}
    assert browser.post(f"{path}/edit", data=data).status_code == 303
    read = current(session, project).examples
    assert read[0]["task_id"] == str(task.id)
    ana_page = sign_in(rui).get(path).text
    assert str(task.id) not in ana_page


def test_hostile_examples_are_text(sign_in, ada, ana, path):
    nasty = {**EXAMPLE, "example-0-prompt": "<script>alert(1)</script> [x](javascript:alert(1))"}
    save(sign_in(ada), path, "T", examples_shown="yes", **nasty)
    page = sign_in(ana).get(path).text
    assert "<script>alert" not in page
    assert 'href="javascript' not in page
    broken = sign_in(ada).post(f"{path}/edit", data={"text": "T", "version": 2, "examples": "[1"})
    assert broken.status_code == 422


# -- what kind of change


def test_a_clarification_holds_nobody_up_and_is_news(sign_in, ada, ana, project, session, path):
    save(sign_in(ada), path, "Prefer the better one!", is_clarification="true", note="Just a sign.")
    browser = sign_in(ana)
    assert browser.get(f"/projects/{project.id}/rank").status_code == 200
    page = browser.get(path).text
    assert "say some things more clearly since you read version 1" in page
    assert "Just a sign." in page
    browser.post(f"{path}/read", data={"version": "2"})
    assert "more clearly" not in browser.get(path).text
    # What must be read stays so, however many clarifications come after it.
    save(sign_in(ada), path, "Another rule.", version=2)
    save(sign_in(ada), path, "Another rule!", version=3, is_clarification="true")
    assert current(session, project).needed == 3
    assert browser.get(f"/projects/{project.id}/rank").status_code == 303


def test_a_new_scale_is_never_a_mere_clarification(api, ada, project, session):
    change = {"allow_ties": False, "guidelines": "x", "guidelines_kind": "clarification"}
    assert api(ada).patch(f"/api/v1/projects/{project.id}", json=change).status_code == 200
    assert current(session, project).needed == 2


def test_programs_read_versions_and_write_examples(api, ada, vic, project):
    program, path = api(ada), f"/api/v1/projects/{project.id}"
    example = {"prompt": "p", "responses": ["a", "b"], "ranks": [5, 3], "kind": "borderline"}
    body = {"guidelines_examples": [example], "guidelines_note": "An example."}
    assert program.patch(path, json=body).json()["guidelines_version"] == 2
    newest, first = api(vic).get(f"{path}/guidelines").json()
    assert newest["examples"][0]["ranks"] == [2, 1]
    assert (newest["note"], newest["is_clarification"]) == ("An example.", False)
    assert first["examples"] == []
    wrong = {**example, "ranks": [1, 2, 3]}
    reply = program.patch(path, json={"guidelines_examples": [wrong]})
    assert reply.status_code == 422
    assert "as many ranks" in reply.text
    late = program.patch(path, json={"guidelines": "x", "guidelines_version": 1})
    assert late.status_code == 409
    assert "Somebody has published version 2" in late.json()["detail"]


def test_an_undone_change_brings_the_examples_back(api, ada, sign_in, project, session):
    example = {"prompt": "p", "responses": ["a", "b"], "ranks": [1, 2]}
    api(ada).patch(f"/api/v1/projects/{project.id}", json={"guidelines_examples": [example]})
    browser, path = sign_in(ada), f"/projects/{project.id}/settings"
    page = browser.get(f"{path}/undo").text
    assert "version 3" in page
    event = page.split('name="event" value="')[1].split('"')[0]
    assert browser.post(f"{path}/undo", data={"event": event}).status_code == 303
    assert current(session, project).examples == []


# -- two at once


def test_changes_of_different_lines_are_put_together(sign_in, ada, project, session, path):
    base = "One.\n\nTwo.\n\nThree.\n"
    browser = sign_in(ada)
    save(browser, path, base)
    save(browser, path, base.replace("One.", "One, changed."), version=2, note="The first line.")
    late = save(browser, path, base.replace("Three.", "Three, changed."), version=2)
    assert late.status_code == 409
    assert "Somebody has published version 3 while you worked on version 2" in late.text
    assert "both changes put together" in late.text
    assert "One, changed.\n\nTwo.\n\nThree, changed." in late.text
    assert "The first line." in late.text
    assert 'name="version" value="3"' in late.text
    assert current(session, project).text == base.replace("One.", "One, changed.")


def test_changes_of_the_same_line_are_shown_and_hers_is_kept(sign_in, ada, project, path):
    browser = sign_in(ada)
    save(browser, path, "Prefer the shorter one.")
    late = save(browser, path, "Prefer the longer one.", note="Longer!", **EXAMPLE)
    assert late.status_code == 409
    for told in ("yours alone", "<ins>shorter</ins>", "<ins>longer</ins>", "Longer!", "It is true"):
        assert told in late.text
    # Her own as it was, knowingly: the hidden fields lead on to the review and then it is saved.
    assert "Take mine as it was" in late.text
    mine = {"text": "Prefer the longer one.", "version": "2"}
    review_page = browser.post(f"{path}/review", data=mine)
    assert review_page.status_code == 200
    assert "<del>shorter</del>" in review_page.text
    assert save(browser, path, "Prefer the longer one.", version=2).status_code == 303


def test_examples_of_both_are_kept(sign_in, ada, path):
    browser = sign_in(ada)
    save(browser, path, "T", **{**EXAMPLE, "example-0-prompt": "Theirs?"}, examples_shown="yes")
    late = save(browser, path, "T", **{**EXAMPLE, "example-0-prompt": "Mine?"})
    assert late.status_code == 409
    assert 'id="example-0-prompt"' in late.text
    assert 'id="example-1-prompt"' in late.text


@pytest.mark.parametrize(
    ("theirs", "mine", "both"),
    [
        ("A\nb\nc\nd", "a\nb\nc\nD", "A\nb\nc\nD"),
        ("a\nb\nc\nd", "a\nb\nX\nc\nd", "a\nb\nX\nc\nd"),
        ("a\nd", "a\nb\nc\nd\ne", "a\nd\ne"),
        ("A\nb\nc\nd", "A\nb\nc\nd", "A\nb\nc\nd"),  # the same change twice is one
        ("X\nb\nc\nd", "Y\nb\nc\nd", None),
        ("a\nX\nc\nd", "a\nb\nY\nd", None),  # neighbours
        ("", "a\nb\nc\nd\ne", None),
    ],
)
def test_three_versions_make_one(theirs, mine, both):
    assert rules.merged("a\nb\nc\nd", theirs, mine) == both


# -- drafts


def test_what_is_written_is_kept_for_her_alone(sign_in, ada, project, session, path):
    ben = make_user(session, "Ben")
    make_member(session, project, ben, Role.ADMIN)
    session.commit()
    browser = sign_in(ada)
    kept = browser.post(
        f"{path}/draft",
        data={"text": "## Half a thought", "version": 1, "examples_shown": "yes", "note": "n"},
    ).json()
    assert '<h2 id="g-half-a-thought">' in kept["html"]
    assert kept["newest_version"] == 1
    assert "Half a thought" in browser.get(f"{path}/edit").text
    assert "This is your draft" in browser.get(f"{path}/edit").text
    assert "Half a thought" not in sign_in(ben).get(f"{path}/edit").text
    save(sign_in(ben), path, "Ben was faster.")
    shown = browser.get(f"{path}/edit")
    assert shown.status_code == 200
    assert "Two people changed the guidelines at once" in shown.text
    assert "Half a thought" in shown.text
    assert "Ben, <time" in shown.text
    browser.post(f"{path}/draft/discard")
    assert "Half a thought" not in browser.get(f"{path}/edit").text


def test_a_published_draft_is_gone(sign_in, ada, project, session, path):
    browser = sign_in(ada)
    browser.post(f"{path}/draft", data={"text": "Soon.", "version": 1})
    save(browser, path, "Soon.")
    assert "This is your draft" not in browser.get(f"{path}/edit").text
    assert session.get(GuidelinesDraft, (project.id, ada.id)) is None


# -- differences


def test_any_two_versions_are_compared(sign_in, ada, vic, path):
    browser = sign_in(ada)
    save(browser, path, "Prefer the shorter one.", note="Length counts.")
    save(browser, path, "Prefer the shorter one.\nSay why.", version=2)
    page = sign_in(vic).get(f"{path}/differences?from=3&to=1").text  # either order
    assert "from version 1 to 3" in page
    assert "<del>better</del>" in page
    assert "<ins>shorter</ins>" in page
    assert "Length counts." in page
    assert "by Ada" in page
    inline = browser.get(f"{path}/differences?from=1&to=3&view=inline").text
    assert "<del>better</del> <ins>shorter</ins>" in inline
    assert "Say why." in inline
    assert browser.get(f"{path}/differences?from=1&to=9").status_code == 404
    assert browser.get(f"{path}/differences?from=2&to=2").status_code == 200


def test_one_version_has_no_differences_and_says_so(sign_in, ada, path):
    page = sign_in(ada).get(f"{path}/differences")
    assert page.status_code == 200
    assert "There is one version so far" in page.text


def test_paragraphs_can_be_linked_to(sign_in, ada, ana, path):
    save(sign_in(ada), path, "## Safe\nx\n## True\ny\n## Helpful\nz")
    page = sign_in(ana).get(path).text
    assert '<a href="#g-safe">Safe</a>' in page
    assert '<h2 id="g-helpful">' in page


def test_versions_from_before_are_still_read(session, project):
    assert session.get(Guidelines, (project.id, 1)).needed == 1
