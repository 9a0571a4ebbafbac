"""Backup and restore: database, artifacts and secrets in one tar file.

    backup.json       what it is, of when, of which schema, and the SHA-256 of the dump
    database.dump     pg_dump's own format
    artifacts/…       the local artifact store; another store keeps its own copies
    secrets/…
    checksums.json    of each artifact and secret; the last, so that what breaks off lacks it

The dump comes first: artifacts never change once the database knows them, so all that the dump
names are still there when they are copied.
"""

import contextlib
import gzip
import hashlib
import io
import json
import lzma
import os
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session

from app import artifacts, models  # noqa: F401 # erasures need every domain's tables
from app.config import Settings
from app.db import JsonObject
from app.errors import Conflict, Invalid, NotFound
from app.postgres import configured
from app.postgres.machine import binaries
from app.privacy import service as privacy
from app.privacy.formats import ledger
from app.schema import is_at_head, is_known, migrate
from app.supervisor import only_one

VERSION = 2
WITHOUT_CHECKSUMS = 1  # the version before
SUMMARY, DUMP, CHECKSUMS = "backup.json", "database.dump", "checksums.json"
PRELUDE = b"""SET lock_timeout = '10s';
DROP SCHEMA public CASCADE;
CREATE SCHEMA public;
"""
DAMAGED = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError)
Report = Callable[..., None]


def write(settings: Settings, file: Path, *, report: Report) -> str:
    """Write everything into `file`, which appears whole or not at all; answers a sentence."""
    if file.is_dir():
        raise Invalid(f"{file} is a folder. Name the file to write, for example backup.tar.")
    if not file.absolute().parent.is_dir():
        raise NotFound(f"There is no folder {file.absolute().parent} to write the backup into.")
    unfinished = file.with_name(file.name + ".unfinished")
    with configured(settings) as url, tempfile.TemporaryDirectory(dir=file.absolute().parent) as at:
        summary = describe(url)
        dump = Path(at) / DUMP
        run("pg_dump", "--format=custom", "--no-owner", "--no-acl", f"--file={dump}", conninfo(url))
        files = list(stored_files(settings))
        summary |= {"dump_sha256": digest(dump), "artifact_files": len(files)}
        try:
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as raw, archive(raw) as tar:
                add_bytes(tar, SUMMARY, json.dumps(summary, indent=2).encode())
                tar.add(dump, DUMP)
                total = sum(path.stat().st_size for path, _ in files)
                done = 0
                checksums = {}
                for path, name in files:
                    with contextlib.suppress(FileNotFoundError):  # removed by its owner meanwhile
                        checksums[name] = add_file(tar, name, path)
                        done += path.stat().st_size
                        report(done, total=total)
                add_bytes(tar, CHECKSUMS, json.dumps(checksums).encode())
                raw.flush()
            with unfinished.open("rb") as written:
                os.fsync(written.fileno())
            unfinished.replace(file)
        finally:
            unfinished.unlink(missing_ok=True)
    where = "" if artifacts.local_path("") else " The artifact store is elsewhere: not included."
    size = file.stat().st_size / 1e6
    return f"{file}: database and {len(files)} files, {size:,.1f} MB.{where}"


def read(settings: Settings, file: Path, *, replace: bool, report: Report) -> str:
    """Bring `file` back; nothing is changed when it cannot be brought back whole."""
    if not file.is_file():
        raise NotFound(f"There is no file {file}.")
    home = settings.home_path
    home.mkdir(parents=True, exist_ok=True)
    with only_one(home), opened(file) as tar, tempfile.TemporaryDirectory(dir=home) as at:
        summary = checked_summary(tar, file)
        dump = Path(at) / DUMP
        with dump.open("wb") as target:
            shutil.copyfileobj(inner_file(tar, DUMP, file), target, 1 << 20)
        if digest(dump) != summary["dump_sha256"]:
            raise Invalid(f"{file} is damaged: its database does not have the recorded checksum.")
        with configured(settings) as url:
            engine = create_engine(url)
            try:
                with engine.connect() as connection:
                    if has_data(connection) and not replace:
                        raise Conflict(
                            "This installation has data, which a restore would replace. Make a "
                            "backup of it, then say --replace; or restore into another "
                            "TOUCHSTONE_HOME."
                        )
                files = checked_files(tar)  # to the end: what breaks off is found here
                has_checksums = summary["touchstone_backup"] != WITHOUT_CHECKSUMS
                checksums = checked_content(tar, files, file) if has_checksums else {}
                erased = known_erasures(engine)
                unpack(settings, files["artifacts"], tar, checksums, report=report)
                restore_database(dump, conninfo(url))
                unpack(settings, files["secrets"], tar, checksums, report=report)
                migrate(engine)
                again = erase_again(engine, erased)
            finally:
                engine.dispose()
    count = sum(map(len, files.values()))
    return f"Restored the backup of {summary['made_at']}: database and {count} files.{again}"


def known_erasures(engine: Engine) -> list[JsonObject]:
    """What has been erased here: by the list beside the database, and by the database itself."""
    entries = ledger.entries()
    with engine.connect() as connection:
        if connection.execute(text("SELECT to_regclass('erasure')")).scalar_one() is None:
            return entries
    with Session(engine) as session:
        here = privacy.known(session)
    return entries + [entry for entry in here if entry not in entries]


def erase_again(engine: Engine, erased: list[JsonObject]) -> str:
    """Erase what the backup has brought back; answers a sentence, or nothing."""
    with Session(engine) as session:
        done = privacy.repeat(session, erased)
        session.commit()
    return done.in_words()


def restore_database(dump: Path, to: str) -> None:
    """Replace the schema by the dump's in one transaction."""
    restore = [str(binaries() / "pg_restore"), "--no-owner", "--no-acl", "--file=-", str(dump)]
    psql = [str(binaries() / "psql"), "-X", "-q", "--single-transaction", "-v", "ON_ERROR_STOP=1"]
    with tempfile.TemporaryFile() as said:
        target = subprocess.Popen(
            [*psql, "-f", "-", to], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said
        )
        assert target.stdin is not None
        failed = False
        try:
            target.stdin.write(PRELUDE)
            target.stdin.flush()
            failed = subprocess.run(restore, stdout=target.stdin, check=False).returncode != 0
            if failed:
                target.stdin.write(b"\nSELECT 1/0;\n")  # end in an error, so nothing is changed
            target.stdin.close()
        except BrokenPipeError:
            pass
        code = target.wait()
        said.seek(0)
        reason = said.read().decode(errors="replace").strip().splitlines()
    if code or failed:
        raise Conflict(
            "The database could not be restored, and was left as it was: "
            f"{reason[0] if reason else 'the dump is damaged'}. Stop everything that uses it "
            "(`touchstone serve`, `touchstone worker`), then try again."
        )


def checked_files(tar: tarfile.TarFile) -> dict[str, list[tarfile.TarInfo]]:
    """What is to be unpacked, by kind; `Invalid` where a name would leave its place."""
    files: dict[str, list[tarfile.TarInfo]] = {"artifacts": [], "secrets": []}
    for member in tar:
        parts = PurePosixPath(member.name).parts
        if member.name in {SUMMARY, DUMP, CHECKSUMS}:
            continue
        if not member.isfile() or ".." in parts or parts[0] not in files:
            raise Invalid(f"The backup names a file outside its place: {member.name}.")
        files[parts[0]].append(member)
    return files


def checked_content(
    tar: tarfile.TarFile, files: dict[str, list[tarfile.TarInfo]], file: Path
) -> dict[str, str]:
    """The recorded checksums; `Invalid` where a file is missing or is not as it was."""
    try:
        checksums: dict[str, str] = json.load(inner_file(tar, CHECKSUMS, file))
    except (Invalid, ValueError) as error:  # a header that cannot be read ends a tar file, too
        raise Invalid(f"{file} breaks off or is damaged. Nothing was changed.") from error
    found = {member.name: member for kind in files.values() for member in kind}
    if found.keys() != checksums.keys():
        raise Invalid(f"{file} is damaged: it does not have all its files. Nothing was changed.")
    for name, member in found.items():
        content = tar.extractfile(member)
        assert content is not None
        if hashlib.file_digest(content, "sha256").hexdigest() != checksums[name]:  # type: ignore[arg-type]
            raise Invalid(f"{file} is damaged: {name} is not as it was. Nothing was changed.")
    return checksums


def is_whole(target: Path, member: tarfile.TarInfo, checksum: str | None) -> bool:
    """Whether the artifact is there already, as the backup has it."""
    if not target.exists():
        return False
    return checksum is None or (target.stat().st_size == member.size and digest(target) == checksum)


def unpack(
    settings: Settings,
    members: list[tarfile.TarInfo],
    tar: tarfile.TarFile,
    checksums: dict[str, str],
    *,
    report: Report,
) -> None:
    """Put artifacts or secrets in their places; an artifact that is there already stays."""
    local = artifacts.local_path("")
    for count, member in enumerate(members, start=1):
        kind, *inside = PurePosixPath(member.name).parts
        is_secret = kind == "secrets"
        root = settings.secrets_path if is_secret else local
        if root is None:
            continue
        target = root.joinpath(*inside)
        if not is_secret and is_whole(target, member, checksums.get(member.name)):
            continue
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700 if is_secret else 0o777)
        unfinished = target.with_name(target.name + ".unfinished")
        source = tar.extractfile(member)
        assert source is not None
        mode = 0o600 if is_secret else 0o644
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "wb") as written:
            shutil.copyfileobj(source, written, 1 << 20)
        if not is_secret and not member.mode & 0o222:  # frozen
            unfinished.chmod(artifacts.READ_ONLY)
        unfinished.replace(target)
        report(count, total=len(members))


def describe(url: str) -> dict[str, Any]:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            if connection.execute(text("SELECT to_regclass('alembic_version')")).scalar() is None:
                raise NotFound("There is nothing to back up yet: this installation is empty.")
            revision = connection.execute(text("SELECT version_num FROM alembic_version"))
            return {
                "touchstone_backup": VERSION,
                "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
                "schema": revision.scalar_one(),
                "is_current": is_at_head(connection),
                "postgresql": connection.execute(text("SHOW server_version")).scalar_one(),
            }
    finally:
        engine.dispose()


def checked_summary(tar: tarfile.TarFile, file: Path) -> dict[str, Any]:
    try:
        summary = json.load(inner_file(tar, SUMMARY, file))
        version, schema = summary["touchstone_backup"], str(summary["schema"])
        _ = summary["dump_sha256"], summary["made_at"]
    except (KeyError, TypeError, ValueError) as error:
        raise Invalid(f"{file} is no backup of Touchstone.") from error
    if version not in (WITHOUT_CHECKSUMS, VERSION):  # it may be anything
        raise Invalid(f"{file} was written by a newer Touchstone. Restore it with that version.")
    if not is_known(schema):
        raise Invalid(
            f"{file} has a schema that this Touchstone does not know. Restore it with the version "
            "that wrote it, or a newer one."
        )
    return dict(summary)


def inner_file(tar: tarfile.TarFile, name: str, file: Path) -> IO[bytes]:
    try:
        content = tar.extractfile(name)
    except KeyError:
        content = None
    if content is None:
        raise Invalid(f"{file} is no backup of Touchstone: it has no {name}.")
    return content


@contextmanager
def opened(file: Path) -> Iterator[tarfile.TarFile]:
    try:
        tar = tarfile.open(file)  # noqa: SIM115 # closed by the block below
    except DAMAGED as error:
        raise Invalid(f"{file} is no backup of Touchstone.") from error
    try:
        with tar:
            yield tar
    except DAMAGED as error:
        raise Invalid(f"{file} breaks off or is damaged. Nothing was changed.") from error


def has_data(connection: Any) -> bool:
    """Whether anybody has an account or a project here."""
    if connection.execute(text("SELECT to_regclass('project')")).scalar_one() is None:
        return False
    found = connection.execute(
        text('SELECT EXISTS (SELECT FROM project) OR EXISTS (SELECT FROM "user")')
    )
    return bool(found.scalar_one())


def stored_files(settings: Settings) -> Iterator[tuple[Path, str]]:
    """What lies outside the database: path and name inside the backup."""
    for root, name in ((artifacts.local_path(""), "artifacts"), (settings.secrets_path, "secrets")):
        if root is None or not root.is_dir():
            continue
        for path in sorted(root.rglob("*")):
            inside = path.relative_to(root)
            if path.is_file() and not path.is_symlink() and inside.parts[0] != ".work":
                yield path, f"{name}/{inside.as_posix()}"


def run(program: str, *arguments: str) -> None:
    done = subprocess.run(
        [str(binaries() / program), *arguments],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no reason was given"]
        raise Conflict(f"{program} ended with: {lines[0]}")


def conninfo(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


def archive(raw: IO[bytes]) -> tarfile.TarFile:
    """To write to; a file that stands in the store under two names is in it twice."""
    return tarfile.open(fileobj=raw, mode="w", dereference=True)


class Hashed:
    """A file that is read once, for its content and its checksum."""

    def __init__(self, raw: IO[bytes]) -> None:
        self.raw, self.sha256 = raw, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        content = self.raw.read(size)
        self.sha256.update(content)
        return content


def add_file(tar: tarfile.TarFile, name: str, path: Path) -> str:
    member = tar.gettarinfo(path, name)
    with path.open("rb") as raw:
        content = Hashed(raw)
        tar.addfile(member, content)
    return content.sha256.hexdigest()


def add_bytes(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o600
    tar.addfile(member, io.BytesIO(content))


def digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
