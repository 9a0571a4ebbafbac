"""A backup brings everything back elsewhere, and a broken one changes nothing."""

import gzip
import hashlib
import io
import json
import tarfile
from contextlib import contextmanager

import pytest
from sqlalchemy import create_engine, select, text

from app import artifacts, backup
from app.accounts import service as accounts
from app.accounts.models import AuditEvent, Role, User
from app.config import settings
from app.db import SessionLocal
from app.errors import Conflict, Invalid, NotFound
from app.schema import migrate
from tests.conftest import fresh_database, psycopg_url
from tests.factories import make_project, make_user

DERIVED = ("home_path", "artifacts_url", "secrets_path")


def silent(*_arguments, **_more):
    pass


@contextmanager
def installation(server_url, home, *, template=None):
    """Settings of an installation in `home`, on a database of its own; gives its engine."""
    before = settings.home
    with fresh_database(server_url, template) as name:
        url = psycopg_url(server_url, name)
        engine = create_engine(url)
        for key, value in (("home", home), ("database_url", url)):
            object.__setattr__(settings, key, value)
        for key in DERIVED:
            settings.__dict__.pop(key, None)
        try:
            yield engine
        finally:
            engine.dispose()
            for key, value in (("home", before), ("database_url", None)):
                object.__setattr__(settings, key, value)
            for key in DERIVED:
                settings.__dict__.pop(key, None)


@pytest.fixture(scope="module")
def saved(server_url, template, tmp_path_factory):
    """The backup of an installation with Ada, her project, an artifact and a secret."""
    folder = tmp_path_factory.mktemp("backup")
    with installation(server_url, folder / "home", template=template) as engine:
        with SessionLocal(bind=engine) as session:
            ada = make_user(session, "Ada", role=Role.ADMIN)
            project = make_project(session, "Kitchen", by=ada)
            for action in ("first", "second"):
                accounts.audit(session, user=ada, action=action, target=str(project.id))
            session.commit()
        made = folder / "made" / "weights.bin"
        made.parent.mkdir()
        made.write_bytes(b"weights" * 1000)
        artifacts.put_folder(made.parent, to="runs/1/attempt-1", read_only=True)
        settings.secrets_path.mkdir()
        (settings.secrets_path / "key").write_text("canary")
        file = folder / "saved.tar"
        sentence = backup.write(settings, file, report=silent)
    assert sentence.startswith(f"{file}: database and 2 files, ")
    return file


def rewritten(saved, target, **changes):
    """A copy of the backup in which some files have other content, or None for left out."""
    with tarfile.open(saved) as old, tarfile.open(target, "w") as new:
        members = {member.name: old.extractfile(member).read() for member in old}
        for name, content in (members | changes).items():
            if content is not None:
                member = tarfile.TarInfo(name)
                member.size = len(content)
                new.addfile(member, io.BytesIO(content))
    return target


def test_everything_is_back_elsewhere(saved, server_url, tmp_path):
    assert saved.stat().st_mode & 0o077 == 0  # it holds password hashes and secrets
    with installation(server_url, tmp_path / "elsewhere") as engine:
        sentence = backup.read(settings, saved, replace=False, report=silent)
        assert sentence.endswith("database and 2 files.")
        with SessionLocal(bind=engine) as session:
            ada = session.scalars(select(User)).one()
            assert (ada.email, ada.role) == ("ada@example.org", Role.ADMIN)
            chain = session.scalars(select(AuditEvent).order_by(AuditEvent.id)).all()
            assert [event.hash for event in chain] == [accounts.event_hash(e) for e in chain]
        with artifacts.open_file("runs/1/attempt-1/weights.bin") as weights:
            assert weights.read() == b"weights" * 1000
        stored = artifacts.local_path("runs/1/attempt-1/weights.bin")
        assert stored.stat().st_mode & 0o222 == 0  # as it was stored
        secret = settings.secrets_path / "key"
        assert secret.read_text() == "canary"
        assert secret.stat().st_mode & 0o077 == 0
        assert secret.parent.stat().st_mode & 0o077 == 0


def test_what_is_there_is_only_replaced_on_request(saved, server_url, template, tmp_path):
    with installation(server_url, tmp_path / "used", template=template) as engine:
        with SessionLocal(bind=engine) as session:
            make_user(session, "Sam")
            session.commit()
        with pytest.raises(Conflict, match=r"has data, which a restore would replace"):
            backup.read(settings, saved, replace=False, report=silent)
        backup.read(settings, saved, replace=True, report=silent)
        with SessionLocal(bind=engine) as session:
            assert session.scalars(select(User.name)).all() == ["Ada"]


def test_a_dump_that_breaks_off_leaves_the_database_as_it_was(
    saved, server_url, template, tmp_path
):
    with tarfile.open(saved) as tar:
        dump = tar.extractfile("database.dump").read()[:-400]
        summary = json.load(tar.extractfile("backup.json"))
    summary["dump_sha256"] = hashlib.sha256(dump).hexdigest()
    changed = {"database.dump": dump, "backup.json": json.dumps(summary).encode()}
    broken = rewritten(saved, tmp_path / "broken.tar", **changed)
    with installation(server_url, tmp_path / "used", template=template) as engine:
        with SessionLocal(bind=engine) as session:
            make_user(session, "Sam")
            session.commit()
        with pytest.raises(Conflict, match=r"could not be restored, and was left as it was"):
            backup.read(settings, broken, replace=True, report=silent)
        with SessionLocal(bind=engine) as session:
            assert session.scalars(select(User.name)).all() == ["Sam"]


def test_a_damaged_dump_is_found_by_its_checksum(saved, server_url, tmp_path):
    broken = rewritten(saved, tmp_path / "broken.tar", **{"database.dump": b"PGDMP"})
    with (
        installation(server_url, tmp_path / "new"),
        pytest.raises(Invalid, match=r"does not have the recorded checksum"),
    ):
        backup.read(settings, broken, replace=False, report=silent)


def test_a_backup_of_a_newer_version_is_refused(saved, server_url, tmp_path):
    with tarfile.open(saved) as tar:
        summary = json.load(tar.extractfile("backup.json"))
    for change in ({"touchstone_backup": 99}, {"touchstone_backup": [2]}, {"schema": "9999"}):
        newer = rewritten(
            saved, tmp_path / "newer.tar", **{"backup.json": json.dumps(summary | change).encode()}
        )
        with (
            installation(server_url, tmp_path / "new"),
            pytest.raises(Invalid, match=r"newer|does not know"),
        ):
            backup.read(settings, newer, replace=False, report=silent)


def test_a_file_of_a_backup_never_leaves_its_place(saved, server_url, tmp_path):
    for name in ("artifacts/../../evil", "/etc/evil", "elsewhere/evil"):
        evil = rewritten(saved, tmp_path / "evil.tar", **{name: b"evil"})
        with (
            installation(server_url, tmp_path / "new"),
            pytest.raises(Invalid, match=r"outside its place"),
        ):
            backup.read(settings, evil, replace=False, report=silent)
    assert not list(tmp_path.rglob("evil"))


def test_what_is_no_backup_is_named(server_url, tmp_path):
    (tmp_path / "letter.txt").write_text("Dear Ada")
    empty = tmp_path / "empty.tar"
    tarfile.open(empty, "w").close()
    with installation(server_url, tmp_path / "new"):
        for name in ("letter.txt", "empty.tar"):
            with pytest.raises(Invalid, match=f"{name} is no backup of Touchstone"):
                backup.read(settings, tmp_path / name, replace=False, report=silent)
        with pytest.raises(NotFound, match=r"There is no file"):
            backup.read(settings, tmp_path / "missing.tar", replace=False, report=silent)


def test_a_backup_without_its_parts_is_named(saved, server_url, tmp_path):
    with tarfile.open(saved) as tar:
        summary = json.load(tar.extractfile("backup.json"))
    del summary["dump_sha256"]
    for content in (b"[]", b'{"touchstone_backup": 1}', json.dumps(summary).encode()):
        broken = rewritten(saved, tmp_path / "broken.tar", **{"backup.json": content})
        with (
            installation(server_url, tmp_path / "new"),
            pytest.raises(Invalid, match=r"broken.tar is no backup of Touchstone"),
        ):
            backup.read(settings, broken, replace=False, report=silent)
    broken = rewritten(saved, tmp_path / "broken.tar", **{"database.dump": None})
    with (
        installation(server_url, tmp_path / "new"),
        pytest.raises(Invalid, match=r"it has no database.dump"),
    ):
        backup.read(settings, broken, replace=False, report=silent)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_backup_that_breaks_off_is_named(saved, server_url, tmp_path, pack, share):
    content = pack(saved.read_bytes())
    (tmp_path / "short").write_bytes(content[: int(len(content) * share)])
    with (
        installation(server_url, tmp_path / "new"),
        pytest.raises(Invalid, match=r"breaks off or is damaged|is no backup of Touchstone"),
    ):
        backup.read(settings, tmp_path / "short", replace=False, report=silent)


WEIGHTS = "artifacts/runs/1/attempt-1/weights.bin"


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (lambda at, content: content[: at.offset], "breaks off or is damaged"),
        (lambda at, content: flipped(content, at.offset + 5), "breaks off or is damaged"),
        (lambda at, content: flipped(content, at.offset_data + 50), f"{WEIGHTS} is not as it was"),
    ],
)
def test_a_file_that_is_lost_or_changed_is_found_before_anything_is(
    saved, server_url, template, tmp_path, harm, sentence
):
    """A tar file that ends between two files, or has a byte that fell over, reads like a whole."""
    with tarfile.open(saved) as tar:
        at = tar.getmember(WEIGHTS)
    broken = tmp_path / "broken.tar"
    broken.write_bytes(harm(at, saved.read_bytes()))
    with installation(server_url, tmp_path / "used", template=template) as engine:
        with SessionLocal(bind=engine) as session:
            make_user(session, "Sam")
            session.commit()
        with pytest.raises(Invalid, match=sentence):
            backup.read(settings, broken, replace=True, report=silent)
        with SessionLocal(bind=engine) as session:
            assert session.scalars(select(User.name)).all() == ["Sam"]
        assert not artifacts.exists("runs/1")


def flipped(content, place):
    return content[:place] + bytes([content[place] ^ 0x40]) + content[place + 1 :]


def test_a_damaged_artifact_is_replaced_by_that_of_the_backup(saved, server_url, tmp_path):
    with installation(server_url, tmp_path / "used"):
        for damage in (b"weights", b"w" * 7000):
            stored = artifacts.local_path("runs/1/attempt-1/weights.bin")
            stored.parent.mkdir(parents=True, exist_ok=True)
            stored.unlink(missing_ok=True)
            stored.write_bytes(damage)
            backup.read(settings, saved, replace=True, report=silent)
            assert stored.read_bytes() == b"weights" * 1000


def test_a_file_with_two_names_in_the_store_comes_back_under_both(server_url, template, tmp_path):
    file, names = tmp_path / "saved.tar", ("one", "two")
    with installation(server_url, tmp_path / "home", template=template):
        first, second = (artifacts.local_path(f"runs/{name}/weights.bin") for name in names)
        for each in (first, second):
            each.parent.mkdir(parents=True)
        first.write_bytes(b"weights")
        second.hardlink_to(first)
        backup.write(settings, file, report=silent)
    with installation(server_url, tmp_path / "elsewhere"):
        backup.read(settings, file, replace=False, report=silent)
        for name in names:
            assert artifacts.local_path(f"runs/{name}/weights.bin").read_bytes() == b"weights"


def test_a_backup_of_the_first_version_comes_back_without_checksums(saved, server_url, tmp_path):
    with tarfile.open(saved) as tar:
        summary = json.load(tar.extractfile("backup.json")) | {"touchstone_backup": 1}
    changed = {"backup.json": json.dumps(summary).encode(), "checksums.json": None}
    first = rewritten(saved, tmp_path / "first.tar", **changed)
    with installation(server_url, tmp_path / "new"):
        sentence = backup.read(settings, first, replace=False, report=silent)
        assert sentence.endswith("database and 2 files.")


def test_an_empty_installation_has_nothing_to_back_up(server_url, tmp_path):
    with installation(server_url, tmp_path / "new") as engine:
        with pytest.raises(NotFound, match=r"nothing to back up yet"):
            backup.write(settings, tmp_path / "file.tar", report=silent)
        migrate(engine)
        with pytest.raises(NotFound, match=r"There is no folder"):
            backup.write(settings, tmp_path / "missing" / "file.tar", report=silent)
        with pytest.raises(Invalid, match=r"is a folder"):
            backup.write(settings, tmp_path, report=silent)
        backup.write(settings, tmp_path / "file.tar", report=silent)
        assert {found.name for found in tmp_path.iterdir()} <= {"file.tar", "new"}
        with engine.connect() as connection:
            assert connection.execute(text("SELECT count(*) FROM project")).scalar() == 0
