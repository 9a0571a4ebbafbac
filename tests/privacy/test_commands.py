"""On the command line, and after a restore of a backup that still knew her."""

import json

import pytest
from sqlalchemy import create_engine, select

from app import backup
from app.accounts.models import Role, User
from app.annotation.models import Annotation
from app.config import settings
from app.db import SessionLocal, database_now
from app.privacy import service
from app.privacy.formats import ledger
from app.privacy.models import Erasure
from app.privacy.schemas import Scope
from tests.conftest import fresh_database, psycopg_url
from tests.factories import make_annotation, make_member, make_project, make_task, make_user
from tests.privacy.world import EMAIL, NAME, where_said
from tests.setup.test_backup import installation as home_of
from tests.setup.test_backup import silent
from tests.setup.test_commands import touchstone

__all__ = ["touchstone"]


def fill(session):
    """Maria with two judgements in Kitchen, beside an admin."""
    ada = make_user(session, "Ada", role=Role.ADMIN)
    maria = make_user(session, NAME)
    project = make_project(session, "Kitchen", by=ada)
    make_member(session, project, maria, Role.ANNOTATOR)
    for number in range(2):
        task = make_task(session, project, prompt=f"p{number}")
        make_annotation(session, task, maria, ranks=[1, 2], rationale="Because.")
    session.commit()
    return maria.id


@pytest.fixture
def installation(server_url, template):
    with fresh_database(server_url, template) as name:
        url = psycopg_url(server_url, name)
        object.__setattr__(settings, "database_url", url)
        engine = create_engine(url)
        try:
            with SessionLocal(bind=engine) as session:
                fill(session)
            yield engine
        finally:
            engine.dispose()
            object.__setattr__(settings, "database_url", None)


def test_without_yes_it_only_says_what_would_go(installation, touchstone):
    said = touchstone("user", "erase", EMAIL, "--judgements")
    assert said.code == 0
    assert "2 judgements; 2 tasks open again" in said.output
    assert "Nothing was done" in said.output
    with SessionLocal(bind=installation) as session:
        assert where_said(session, NAME)


def test_with_yes_she_goes_and_is_found_by_her_number(installation, touchstone):
    said = touchstone("user", "erase", EMAIL, "--judgements", "--texts", "--yes")
    assert said.code == 0, said.errors
    assert "Now called Person 1" in said.output
    assert "Backups made before now" in said.output
    with SessionLocal(bind=installation) as session:
        assert where_said(session, NAME, EMAIL, "Because.") == []
    traced = touchstone("user", "traces", "Person 1")
    assert traced.code == 0, traced.errors
    assert "\tKitchen\tannotator-" in traced.output
    again = touchstone("user", "erase", EMAIL, "--yes")
    assert (again.code, again.output) == (2, "")
    assert "There is nobody called" in again.errors
    twice = touchstone("user", "erase", "person 1", "--yes")
    assert twice.code == 2
    assert "erased already" in twice.errors


def test_in_one_project_the_account_stays(installation, touchstone):
    assert touchstone("user", "erase", EMAIL, "--project", "Kitchen").code == 2  # of what?
    assert touchstone("user", "erase", EMAIL, "--judgements", "--project", "Cellar").code == 2
    said = touchstone("user", "erase", EMAIL, "--judgements", "--project", "kitchen", "--yes")
    assert said.code == 0, said.errors
    with SessionLocal(bind=installation) as session:
        assert session.scalars(select(User.name).where(User.email == EMAIL)).one() == NAME
        assert session.scalars(select(Annotation)).all() == []


def test_all_that_is_stored_comes_as_lines(installation, touchstone):
    said = touchstone("user", "export", EMAIL)
    lines = [json.loads(line) for line in said.output.splitlines()]
    assert [line["rationale"] for line in lines if line.get("table") == "annotation"] == [
        "Because."
    ] * 2


@pytest.fixture
def saved(server_url, template, tmp_path):
    """A home with Maria, and its backup from before she was erased."""
    with home_of(server_url, tmp_path / "home", template=template) as engine:
        with SessionLocal(bind=engine) as session:
            maria_id = fill(session)
        file = tmp_path / "before.tar"
        backup.write(settings, file, report=silent)
        with SessionLocal(bind=engine) as session:
            maria = session.get_one(User, maria_id)
            scope = Scope(identity=True, judgements=True)
            service.erase(session, user=maria, scope=scope, by=None, now=database_now(session))
            session.commit()
        yield engine, file


def test_a_restore_of_an_older_backup_erases_her_again(saved):
    engine, file = saved
    ledger.path().unlink()  # the database, which is about to be replaced, knows it as well
    sentence = backup.read(settings, file, replace=True, report=silent)
    assert "Erased again: 1" in sentence
    with SessionLocal(bind=engine) as session:
        assert where_said(session, NAME, EMAIL) == []
        assert session.scalars(select(Annotation)).all() == []
        assert session.scalars(select(User.name).where(User.email.is_(None))).all() == ["Person 1"]
        erasures = session.scalars(select(Erasure)).all()
    assert len(erasures) == 1


def test_the_list_beside_the_database_is_enough(saved):
    engine, file = saved
    with engine.begin() as connection:  # as after a loss of the database
        connection.exec_driver_sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    assert "Erased again: 1" in backup.read(settings, file, replace=False, report=silent)
    with SessionLocal(bind=engine) as session:
        assert where_said(session, NAME, EMAIL) == []


def test_the_list_names_nobody_and_survives_a_torn_line(saved):
    written = ledger.path().read_text()
    assert NAME not in written
    assert EMAIL not in written
    with ledger.path().open("a") as file:
        file.write('{"id": "half')
    assert len(ledger.entries()) == 1
