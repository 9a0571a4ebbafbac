"""What tests of snapshots share."""

import pytest

from app.config import settings


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch):
    """An artifact store of its own for each test."""
    monkeypatch.setitem(settings.__dict__, "artifacts_url", (tmp_path / "store").as_uri())
