"""What tests of snapshots share."""

import pytest

from app.config import settings
from app.datasets.schemas import Annotators
from app.datasets.service import export_project


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch):
    """An artifact store of its own for each test."""
    monkeypatch.setitem(settings.__dict__, "artifacts_url", (tmp_path / "store").as_uri())


@pytest.fixture
def export(session, tmp_path):
    number = 0

    def export(project, annotators=Annotators.NAMES, name="out-{}.jsonl"):
        nonlocal number
        number += 1
        session.commit()
        file = tmp_path / name.format(number)
        export_project(project_id=project.id, file=file, annotators=annotators)
        return file

    return export
