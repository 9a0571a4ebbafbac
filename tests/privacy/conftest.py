"""What tests of erasures share."""

import pytest

from app.config import settings
from tests.factories import make_user
from tests.privacy.world import make_world


@pytest.fixture(autouse=True)
def own_places(tmp_path, monkeypatch):
    """An artifact store and a list of erasures of its own for each test."""
    monkeypatch.setitem(settings.__dict__, "artifacts_url", (tmp_path / "store").as_uri())
    monkeypatch.setitem(settings.__dict__, "home_path", tmp_path)


@pytest.fixture
def maria(session, people):
    user = make_user(session, "Maria Ferreira")
    session.commit()
    return user


@pytest.fixture
def world(session, people, maria):
    """A project in which Maria has left traces wherever one can."""
    made = make_world(session, people, maria=maria)
    session.commit()
    return made
