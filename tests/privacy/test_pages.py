"""The pages and calls of privacy: what goes is said first, a typed name confirms, nothing tells."""

import csv
import io
import json

import pytest
from sqlalchemy import select

from app.accounts.models import Role, User, UserKind
from app.annotation.models import Annotation
from app.db import Base
from app.privacy.formats.own_data import HIDDEN_TABLES, SECRET, columns_of
from app.projects.models import Membership
from tests.datasets.frozen import freeze
from tests.factories import make_member
from tests.privacy.test_erasure import erase
from tests.privacy.world import EMAIL, NAME


def privacy_of(person, project=None):
    if project is None:
        return f"/users/{person.id}/privacy"
    return f"/projects/{project.id}/annotators/{person.id}/privacy"


def test_it_says_what_goes_before_anything_goes(session, world, maria, ada, sign_in):
    page = sign_in(ada).get(privacy_of(maria)).text
    assert "8 judgements with their history" in page
    assert "5 tasks open again" in page
    assert "6 rationales and rewrites" in page
    assert "backups made before today" in page
    assert session.scalars(select(Annotation).where(Annotation.user_id == maria.id)).first()


@pytest.mark.parametrize("typed", ["", "Maria"])
def test_without_her_name_nothing_happens(session, world, maria, ada, sign_in, typed):
    form = {"identity": "true", "texts": "true", "confirmation": typed}
    reply = sign_in(ada).post(privacy_of(maria), data=form)
    assert reply.status_code == 422
    assert f"Type “{NAME}” to confirm" in reply.text
    assert 'name="texts" value="true" checked' in reply.text  # the choice is as it was
    session.expire_all()
    assert maria.name == NAME


def test_nothing_chosen_is_refused(world, maria, ada, sign_in):
    reply = sign_in(ada).post(privacy_of(maria), data={"confirmation": NAME})
    assert reply.status_code == 422
    assert "Choose what is to be erased" in reply.text


def test_a_typed_name_erases_her_and_the_page_says_so(session, world, maria, ada, sign_in):
    browser = sign_in(ada)
    form = {"identity": "true", "confirmation": f"  {NAME.lower()} "}
    reply = browser.post(privacy_of(maria), data=form)
    assert reply.status_code == 303
    page = browser.get(reply.headers["location"]).text
    assert "Privacy of Person 1" in page
    assert "erased" in page
    assert NAME not in page
    assert "Who this is</strong>" not in page  # but her judgements may still go
    people = browser.get("/users").text
    assert EMAIL not in people
    assert "Person 1" in people


def test_an_admin_of_a_project_removes_what_lies_in_it_and_no_more(
    session, world, people, maria, sign_in
):
    make_member(session, world.project, people.sam, Role.ADMIN)
    session.commit()
    browser = sign_in(people.sam)
    where = privacy_of(maria, world.project)
    page = browser.get(where).text
    assert 'name="identity"' not in page
    forged = {"identity": "true", "judgements": "true", "confirmation": NAME}
    assert browser.post(where, data=forged).status_code == 422
    assert browser.get(privacy_of(maria)).status_code == 403
    session.expire_all()
    assert maria.kind is UserKind.PERSON
    done = browser.post(where, data={"judgements": "true", "confirmation": NAME})
    assert done.status_code == 303
    assert "8 judgements" in browser.get(where).text
    session.expire_all()
    assert session.scalars(select(Annotation).where(Annotation.user_id == maria.id)).all() == []


def test_who_is_no_part_of_a_project_is_not_there(world, people, sign_in, ada):
    assert sign_in(ada).get(privacy_of(people.vic, world.project)).status_code == 404


def test_oneself_is_told_to_ask_another(session, world, ada, sign_in):
    browser = sign_in(ada)
    assert "Ask another admin" in browser.get(privacy_of(ada)).text
    form = {"identity": "true", "confirmation": ada.name}
    assert browser.post(privacy_of(ada), data=form).status_code == 409


PAGES = (
    "", "/annotators", "/annotators.csv", "/annotators/{her}", "/annotators/{her}/privacy",
    "/members", "/members/{her}", "/review", "/work", "/agreement?by=annotator_pair", "/gold",
    "/snapshots/new", "/snapshots/{frozen}",
)  # fmt: skip
CALLS = ("annotators", "annotations", "members", "snapshots")


def test_no_page_names_her_afterwards(session, world, maria, ada, sign_in):
    """Of those that show people."""
    frozen = freeze(session, world.project, exclude_annotators=[EMAIL])
    erase(session, maria, ada, identity=True)
    browser, base = sign_in(ada), f"/projects/{world.project.id}"
    paths = [base + path.format(her=maria.id, frozen=frozen.id) for path in PAGES]
    paths += [f"/api/v1{base}/{call}" for call in CALLS]
    for path in (*paths, "/users", f"/users/{maria.id}/privacy"):
        reply = browser.get(path)
        assert reply.status_code == 200, path
        assert NAME not in reply.text, path
        assert EMAIL not in reply.text, path


def test_the_erasure_by_a_program(session, world, maria, ada, api):
    program = api(ada)
    address = f"/api/v1/users/{maria.id}"
    freeze(session, world.project)
    seen = program.get(f"{address}/erasure", params={"project_id": str(world.project.id)}).json()
    assert seen == {"judgements": 8, "counted": 5, "opened": 5, "texts": 6}
    assert program.post(f"{address}/erasure", json={}).status_code == 422
    both = {"identity": True, "project_id": str(world.project.id)}
    assert program.post(f"{address}/erasure", json=both).status_code == 422
    done = program.post(f"{address}/erasure", json={"identity": True, "judgements": True}).json()
    assert (done["called"], done["counts"]["judgements"]) == ("Person 1", 8)
    told = program.get(f"{address}/traces").json()
    assert [each["judgements"] for each in told["snapshots"]] == [5]
    assert told["snapshots"][0]["erased_at"]
    assert told["erasures"][0]["id"] == done["id"]
    corrected = program.post(f"/api/v1/snapshots/{told['snapshots'][0]['id']}/correction")
    assert corrected.status_code == 202
    assert corrected.json()["replaces_id"] == told["snapshots"][0]["id"]


def test_an_annotator_and_a_viewer_may_nothing_of_this(world, people, maria, api):
    address = f"/api/v1/users/{maria.id}"
    for user in (people.ana, people.vic, maria):
        program = api(user)
        for path in ("traces", "erasure", "export"):
            assert program.get(f"{address}/{path}").status_code == 403
            inside = program.get(f"{address}/{path}", params={"project_id": str(world.project.id)})
            assert inside.status_code in {403, 404}


def test_the_csv_names_everything_that_holds_her_work(session, world, maria, ada, sign_in):
    frozen = freeze(session, world.project)
    text = sign_in(ada).get(f"{privacy_of(maria, world.project)}/traces.csv").text
    rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
    assert [(row["kind"], row["id"], row["judgements"]) for row in rows] == [
        ("snapshot", str(frozen.id), "5")
    ]


def test_she_gets_all_that_is_stored_and_no_secret(session, world, maria, ada, sign_in):
    reply = sign_in(ada).get(f"/users/{maria.id}/data.jsonl")
    lines = [json.loads(line) for line in reply.text.splitlines()]
    assert lines[0]["about"] == NAME
    by_table = {line["table"] for line in lines[1:]}
    assert by_table >= {
        "user", "membership", "annotation", "assignment", "appeal", "member_message",
        "qualification_attempt", "adjudication", "audit_event", "api_token", "login_session",
        "guidelines_draft", "send_back",
    }  # fmt: skip
    assert EMAIL in reply.text
    assert "I know eggs, 1" in reply.text
    keys = {key for line in lines for key in line}
    assert not keys & (SECRET | {"gold_passed", "is_repeat", "counted", "standing", "gold_seen"})
    assert not by_table & HIDDEN_TABLES
    assert (
        session.scalars(select(User.password_hash).where(User.id == maria.id)).one()
        not in reply.text
    )
    others = sign_in(ada).get(f"{privacy_of(maria, world.project)}/data.jsonl")
    assert others.status_code == 200


def test_every_row_about_a_person_is_in_her_data():
    """By the columns: a new table that says `user_id` is in it without a further word."""
    told = {table.name for table in Base.metadata.tables.values() if columns_of(table)}
    assert told >= {"annotation", "assignment", "membership", "login_session", "erasure", "removal"}


def test_a_paused_one_reads_why_she_gets_nothing(session, world, maria, ada, sign_in):
    erase(session, maria, ada, judgements=True, project_id=world.project.id)
    page = sign_in(maria).get(f"/projects/{world.project.id}/rank", follow_redirects=True)
    assert "have been removed" in page.text
    assert session.get_one(Membership, (world.project.id, maria.id)).paused_at


def test_logs_name_nobody(session, world, maria, ada, sign_in, capsys):
    """What the database says of a conflict holds the row; the log has the sentence alone."""
    from sqlalchemy.exc import IntegrityError

    from app.web.problems import _said

    session.add(User(email=EMAIL.upper(), name="Another"))
    with pytest.raises(IntegrityError) as caught:
        session.flush()
    session.rollback()
    assert EMAIL in str(caught.value.orig).lower()
    assert EMAIL not in _said(caught.value).lower()
