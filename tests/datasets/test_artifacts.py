"""The artifact store keeps folders whole, never replaces them and never leaves its root."""

import hashlib
import io
import zipfile

import pytest

from app import artifacts
from app.config import settings
from app.errors import Conflict, Invalid, NotFound

pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture(params=["file", "memory"])
def store(request, tmp_path, monkeypatch):
    """A local store in a folder whose name has a blank, and one that is not on this disk."""
    url = (tmp_path / "my artifacts").as_uri() if request.param == "file" else "memory://store"
    monkeypatch.setitem(settings.__dict__, "artifacts_url", url)
    yield url
    if request.param == "memory":
        artifacts.remove("")


def folder_in(workspace):
    folder = workspace / "result"
    (folder / "preference").mkdir(parents=True)
    (folder / "README.md").write_text("# Card\n")
    (folder / "preference" / "train.jsonl").write_text("{}\n")
    return folder


def test_a_folder_is_stored_with_the_hash_of_each_file():
    with artifacts.workspace() as workspace:
        files = artifacts.put_folder(folder_in(workspace), to="snapshots/1/attempt-1")
    assert [(file.path, file.bytes) for file in files] == [
        ("README.md", 7),
        ("preference/train.jsonl", 3),
    ]
    assert files[1].sha256 == hashlib.sha256(b"{}\n").hexdigest()
    assert b"".join(artifacts.chunks("snapshots/1/attempt-1/README.md")) == b"# Card\n"
    with artifacts.local_folder("snapshots/1/attempt-1") as local:
        assert (local / "preference" / "train.jsonl").read_text() == "{}\n"


def test_what_is_stored_is_never_replaced():
    with artifacts.workspace() as workspace:
        artifacts.put_folder(folder_in(workspace), to="a")
    with artifacts.workspace() as workspace, pytest.raises(Conflict):
        artifacts.put_folder(folder_in(workspace), to="a")
    with artifacts.workspace() as workspace, pytest.raises(Conflict):
        artifacts.put_file(folder_in(workspace) / "README.md", to="a/README.md")


def test_a_missing_file_is_named():
    with pytest.raises(NotFound, match=r"runs/7/model\.safetensors"):
        artifacts.open_file("runs/7/model.safetensors")
    with pytest.raises(NotFound, match="runs/7"), artifacts.local_folder("runs/7"):
        pass


def test_a_workspace_leaves_nothing_behind():
    with artifacts.workspace() as workspace:
        (workspace / "half").write_text("x")
    assert not workspace.exists()


def test_a_removed_folder_is_gone_and_removing_it_again_is_fine():
    with artifacts.workspace() as workspace:
        artifacts.put_folder(folder_in(workspace), to="runs/1/attempt-1")
    artifacts.remove("runs/1/attempt-1")
    artifacts.remove("runs/1/attempt-1")
    assert not artifacts.exists("runs/1/attempt-1/README.md")


def test_a_folder_leaves_as_the_same_zip_every_time():
    with artifacts.workspace() as workspace:
        files = artifacts.put_folder(folder_in(workspace), to="snapshots/1")
    archive = b"".join(artifacts.zipped("snapshots/1"))
    assert b"".join(artifacts.zipped("snapshots/1")) == archive
    assert b"".join(artifacts.zipped_whole("snapshots/1", files)) == archive
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.testzip() is None
        assert {name: opened.read(name) for name in opened.namelist()} == {
            "README.md": b"# Card\n",
            "preference/train.jsonl": b"{}\n",
        }
    with pytest.raises(NotFound):
        artifacts.zipped("snapshots/2")


@pytest.mark.parametrize("path", ["../secrets", "a/../../b", "/etc/passwd", "a\\b", "a\0b"])
def test_no_path_leaves_the_store(path):
    with pytest.raises(Invalid):
        artifacts.open_file(path)
    with artifacts.workspace() as workspace, pytest.raises(Invalid):
        artifacts.put_folder(folder_in(workspace), to=path)


def test_the_digest_of_a_folder_depends_on_names_and_contents_alone():
    one = artifacts.StoredFile("a", 1, "00")
    two = artifacts.StoredFile("b", 1, "11")
    assert artifacts.folder_digest([one, two]) == artifacts.folder_digest([two, one])
    assert artifacts.folder_digest([one, two]) != artifacts.folder_digest([one])
