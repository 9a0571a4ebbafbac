"""However many tags, sources and people there are: a few are shown, the others are found."""

import pytest

from app.accounts.models import Role
from app.datasets.queries import choices
from tests.factories import (
    make_annotation,
    make_member,
    make_project,
    make_prompt,
    make_task,
    make_user,
)


@pytest.fixture
def many(session, project, ada):
    """Tags by the hundred, one of them rare; those of another project are its own."""
    for number in range(60):
        prompt = make_prompt(session, project, f"Question {number}")
        prompt.tags = ["common", *(f"tag {number} {letter}" for letter in "ab")]
        prompt.source = f"50%_{number % 2}"
        prompt.language = "en"
    other = make_project(session, "Other", by=ada)
    make_prompt(session, other, "x").tags = ["tag elsewhere"]
    session.flush()
    return project


def address(project, kind):
    return f"/projects/{project.id}/snapshots/choices/{kind}"


def test_values_are_found_by_a_part_of_them(many, sign_in, ada):
    browser = sign_in(ada)

    def found(kind, search):
        answer = browser.get(address(many, kind), params={"search": search})
        return [each["value"] for each in answer.json()]

    assert found("tags", "TAG 59") == ["tag 59 a", "tag 59 b"]
    assert len(found("tags", "tag")) == choices.FOUND
    assert found("tags", "o")[0] == "common"
    assert found("tags", "elsewhere") == []
    assert found("sources", "%_1") == ["50%_1"]
    assert found("languages", "e") == ["en"]
    assert browser.get(address(many, "secrets")).status_code == 404
    assert found("tags", "\0") != []


def test_rare_values_are_found_beyond_the_sample(session, many, monkeypatch):
    monkeypatch.setattr(choices, "SAMPLE", 1)
    wanted = {"kind": "tags", "search": "59 b"}
    assert choices.values_like(session, project=many, **wanted) == ["tag 59 b"]


def test_a_search_that_takes_too_long_answers_with_the_sample(session, many, monkeypatch):
    monkeypatch.setattr(choices, "PATIENCE", 1)
    slow = choices._counted

    def slowly(prompts, **options):
        query = slow(prompts, **options)
        return query if prompts._limit_clause is not None else query.where(_sleeps())

    monkeypatch.setattr(choices, "_counted", slowly)
    assert "common" in choices.values_like(session, project=many, kind="tags", search="comm")
    assert choices.values_like(session, project=many, kind="tags", search="59 b")  # still usable


def _sleeps():
    from sqlalchemy import func

    return func.pg_sleep(5).is_not(None)


def test_people_are_a_few_and_those_who_are_chosen(session, project, ana, sign_in, ada):
    people = [ana]
    for number in range(33):
        person = make_user(session, f"Person {number:02}")
        make_member(session, project, person, Role.ANNOTATOR)
        people.append(person)
    task = make_task(session, project, wanted=50)
    for person in people:
        make_annotation(session, task, person, ranks=[1, 2])
    stranger = make_user(session, "Person who judged nothing")
    make_member(session, project, stranger, Role.ANNOTATOR)
    session.flush()
    last = people[-1]
    browser = sign_in(ada)
    editor = f"/projects/{project.id}/snapshots/new"
    page = browser.get(editor).text
    assert page.count('type="checkbox" name="exclude_annotators"') == choices.SHOWN
    assert str(last.id) not in page
    chosen = browser.get(f"{editor}?exclude_annotators={last.id}&exclude_annotators=").text
    assert f'value="{last.id}" checked' in chosen
    found = browser.get(address(project, "exclude_annotators"), params={"search": "person 32"})
    assert [each["value"] for each in found.json()] == [str(last.id)]
    nobody = browser.get(address(project, "exclude_annotators"), params={"search": "nothing"})
    assert nobody.json() == []


def test_what_is_typed_counts_without_a_script(many, sign_in, ada):
    editor = f"/projects/{many.id}/snapshots/new"
    page = sign_in(ada).get(f"{editor}?tags=tag+59+b&tags=&preview=yes").text
    assert 'value="tag 59 b" checked' in page
    assert "must" not in page.split("data-errors")[1].split("</div>")[0]
