"""Files of a snapshot on their way out: whole, in parts, known already, missing or damaged."""

import hashlib
import io
import zipfile

import pytest

from app import artifacts
from app.artifacts import Damaged, StoredFile
from app.artifacts.store import store
from app.config import settings
from tests.datasets.frozen import freeze
from tests.factories import make_annotation, make_task

ROWS = "preference/train.jsonl.gz"


@pytest.fixture(params=["file", "memory"], autouse=True)
def own_store(request, tmp_path, monkeypatch):
    """A store on this disk, and one as far away as S3."""
    is_local = request.param == "file"
    url = (tmp_path / "store").as_uri() if is_local else "memory://downloads"
    monkeypatch.setitem(settings.__dict__, "artifacts_url", url)
    yield url
    if not is_local:
        artifacts.remove("")


@pytest.fixture
def frozen(session, project, ana):
    make_annotation(session, make_task(session, project), ana, ranks=[1, 2])
    return freeze(session, project, test_share=0)


@pytest.fixture
def file(frozen):
    return next(file for file in frozen.files if file["path"] == ROWS)


@pytest.fixture
def get(frozen, api, ada):
    def get(path=f"/files/{ROWS}", *, method="GET", **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return api(ada).request(method, f"/api/v1/snapshots/{frozen.id}{path}", headers=named)

    return get


def damage(frozen, path, change):
    """Change a stored file behind the back of the store."""
    filesystem, root = store()
    target = f"{root}/{frozen.path}/{path}"
    content = change(filesystem.cat_file(target))
    filesystem.pipe_file(target, content)


def test_a_part_of_a_file_can_be_asked_for(get):
    whole = get().content
    first = get(range="bytes=0-9")
    assert (first.status_code, first.content) == (206, whole[:10])
    assert first.headers["content-range"] == f"bytes 0-9/{len(whole)}"
    assert get(range="bytes=10-").content == whole[10:]
    assert get(range="bytes=-7").content == whole[-7:]
    assert get(range=f"bytes=5-{len(whole) + 100}").content == whole[5:]
    assert first.content + get(range="bytes=10-").content == whole


@pytest.mark.parametrize(
    "asked", ["lines=0-9", "bytes=0-1,4-5", "bytes=9-2", "bytes=-", "nonsense"]
)
def test_what_is_no_single_range_gets_the_whole_file(get, asked):
    reply = get(range=asked)
    assert (reply.status_code, reply.content) == (200, get().content)


def test_a_range_behind_the_end_is_refused_with_the_size(get, file):
    reply = get(range=f"bytes={file['bytes']}-")
    assert (reply.status_code, reply.content) == (416, b"")
    assert reply.headers["content-range"] == f"bytes */{file['bytes']}"
    assert get(range="bytes=-0").status_code == 416


def test_a_download_goes_on_only_with_the_same_bytes(get, file):
    same, other = f'"{file["sha256"]}"', '"another"'
    assert get(range="bytes=4-", if_range=same).status_code == 206
    assert get(range="bytes=4-", if_range=other).status_code == 200


def test_who_has_the_file_already_is_not_sent_it_again(get, file):
    etag = f'"{file["sha256"]}"'
    assert get().headers["etag"] == etag
    for known in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        reply = get(if_none_match=known)
        assert (reply.status_code, reply.content) == (304, b"")
    assert get(if_none_match='"x"').status_code == 200
    archive = get("/archive").headers["etag"]
    assert get("/archive", if_none_match=archive).status_code == 304


@pytest.mark.parametrize("path", [f"/files/{ROWS}", "/archive"])
def test_a_head_request_says_what_would_come(get, path):
    said, sent = get(path, method="HEAD"), get(path)
    assert (said.status_code, said.content) == (200, b"")
    assert int(said.headers["content-length"]) == len(sent.content)
    assert said.headers["etag"] == sent.headers["etag"]


def test_the_length_of_an_archive_is_known_before_it_is_made(get, frozen):
    reply = get("/archive")
    assert int(reply.headers["content-length"]) == len(reply.content)
    with zipfile.ZipFile(io.BytesIO(reply.content)) as opened:
        assert opened.testzip() is None
        assert {file["path"]: file["sha256"] for file in frozen.files} == {
            name: hashlib.sha256(opened.read(name)).hexdigest() for name in opened.namelist()
        }


@pytest.mark.parametrize("names", [[], ["a"], ["a", "b/é.txt"], [f"{n}" for n in range(200)]])
def test_the_length_of_a_zip_is_that_of_its_parts(tmp_path, names):
    folder = tmp_path / "made"
    folder.mkdir()
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x" * number * 1000)
    (folder / "empty").touch()
    files = artifacts.put_folder(folder, to="zipped")
    assert artifacts.zip_bytes(files) == sum(map(len, artifacts.zipped_whole("zipped", files)))
    assert artifacts.zip_bytes([StoredFile("large", 1 << 31, "")]) is None


@pytest.mark.parametrize("path", [f"/files/{ROWS}", "/archive"])
def test_a_file_that_is_gone_is_a_sentence(get, frozen, path):
    artifacts.remove(f"{frozen.path}/{ROWS}")
    reply = get(path)
    assert (reply.status_code, ROWS in reply.json()["detail"]) == (404, True)


@pytest.mark.parametrize("path", [f"/files/{ROWS}", "/archive"])
def test_a_file_that_was_cut_off_is_a_sentence(get, frozen, path):
    damage(frozen, ROWS, lambda content: content[:-3])
    reply = get(path)
    assert reply.status_code == 409
    assert ROWS in reply.json()["detail"]
    assert "backup" in reply.json()["detail"]


def test_a_file_whose_bytes_were_changed_is_a_sentence(get, frozen):
    damage(frozen, ROWS, lambda content: content[:20] + b"\0" + content[21:])
    assert get().status_code == 409
    with pytest.raises(RuntimeError, match="already started"):  # the connection is cut
        get("/archive")


def test_of_a_changed_file_everything_but_its_end_is_sent(frozen, file):
    path = f"{frozen.path}/{ROWS}"
    damage(frozen, ROWS, lambda content: content[:20] + b"\0" + content[21:])
    sent = []
    with pytest.raises(Damaged):
        sent.extend(
            artifacts.unharmed(
                artifacts.chunks(path, size=16), path=path, sha256=str(file["sha256"])
            )
        )
    assert 0 < sum(map(len, sent)) < file["bytes"]


@pytest.mark.parametrize("path", ["../manifest.json", "preference", "preference/", "/etc/passwd"])
def test_no_path_leads_to_what_is_not_registered(get, path):
    assert get(f"/files/{path}").status_code == 404
