"""The artifact store on S3: whole or nothing, checked on the way down, said in a sentence."""

import hashlib
import signal
import subprocess
import sys

import boto3
import pytest

from app import artifacts
from app.doctor import Mark, check_artifacts
from app.errors import Conflict, NotFound
from tests.datasets.test_artifacts import folder_in

BIG = 11 << 20


def keys_in(bucket):
    found = boto3.client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])
    return sorted(each["Key"] for each in found)


def stored(to="runs/1/attempt-1"):
    with artifacts.workspace() as workspace:
        return artifacts.put_folder(folder_in(workspace), to=to)


def test_a_folder_goes_up_and_comes_down_as_it_was(s3):
    files = stored()
    assert keys_in(s3) == [
        "touchstone/runs/1/attempt-1/README.md",
        "touchstone/runs/1/attempt-1/preference/train.jsonl",
    ]
    with artifacts.local_folder("runs/1/attempt-1", files=files) as local:
        assert (local / "preference" / "train.jsonl").read_text() == "{}\n"
    assert artifacts.folders("runs/1") == ["attempt-1"]
    assert artifacts.held("runs").files == 2
    with pytest.raises(Conflict):
        stored()
    artifacts.remove("runs/1")
    assert keys_in(s3) == []
    assert artifacts.held("runs") == artifacts.Held(0, 0, None)


def test_a_large_file_goes_in_parts(s3, monkeypatch, tmp_path):
    import s3fs

    monkeypatch.setattr(s3fs.S3FileSystem, "default_block_size", 5 << 20)
    put_file = s3fs.S3FileSystem.put_file

    def in_parts(self, here, there, **more):
        return put_file(self, here, there, chunksize=5 << 20, **more)

    monkeypatch.setattr(s3fs.S3FileSystem, "put_file", in_parts)
    content = bytes(range(256)) * (BIG // 256)
    (tmp_path / "model.safetensors").write_bytes(content)
    file = artifacts.put_file(tmp_path / "model.safetensors", to="a/model.safetensors")
    tag = boto3.client("s3").head_object(Bucket=s3, Key="touchstone/a/model.safetensors")["ETag"]
    assert tag.strip('"').endswith(("-2", "-3"))  # in parts
    pieces = artifacts.chunks("a/model.safetensors")
    assert b"".join(artifacts.unharmed(pieces, path=file.path, sha256=file.sha256)) == content
    middle = b"".join(artifacts.chunks("a/model.safetensors", start=1000, stop=3000))
    assert middle == content[1000:3000]


def test_lines_are_read_up_to_a_limit(s3, tmp_path):
    """An import reads so: a line that never ends must not fill the memory."""
    (tmp_path / "lines").write_bytes(b"a" * 100 + b"\nb\n")
    artifacts.put_file(tmp_path / "lines", to="imports/1/upload")
    with artifacts.open_file("imports/1/upload") as lines:
        assert [lines.readline(60), lines.readline(), lines.read()] == [
            b"a" * 60,
            b"a" * 40 + b"\n",
            b"b\n",
        ]
    with pytest.raises(NotFound, match="imports/2"):
        artifacts.open_file("imports/2/upload")


def test_what_was_changed_or_taken_in_the_store_is_named(s3):
    files = stored()
    client = boto3.client("s3")
    key = "touchstone/runs/1/attempt-1/README.md"
    client.put_object(Bucket=s3, Key=key, Body=b"# Cord\n")  # as long as before
    with (
        pytest.raises(artifacts.Damaged, match=r"attempt-1/README\.md"),
        artifacts.local_folder("runs/1/attempt-1", files=files),
    ):
        pass
    client.delete_object(Bucket=s3, Key=key)
    with (
        pytest.raises(NotFound, match=r"attempt-1/README\.md"),
        artifacts.local_folder("runs/1/attempt-1", files=files),
    ):
        pass


def test_what_another_process_stores_and_removes_is_seen_at_once(s3):
    assert not artifacts.exists("runs/9")
    assert artifacts.folders("runs") == []
    client = boto3.client("s3")
    client.put_object(Bucket=s3, Key="touchstone/runs/9/a", Body=b"x")
    assert artifacts.exists("runs/9")
    assert artifacts.folders("runs") == ["9"]
    client.delete_object(Bucket=s3, Key="touchstone/runs/9/a")
    assert not artifacts.exists("runs/9")


UPLOAD = """
import sys
from pathlib import Path
from app import artifacts
import s3fs
put_file = s3fs.S3FileSystem.put_file
def slowly(self, here, there, **more):
    put_file(self, here, there, **more)
    print("one is up", flush=True)
    import signal
    signal.pause()
s3fs.S3FileSystem.put_file = slowly
artifacts.put_folder(Path(sys.argv[1]), to="runs/2/attempt-1")
"""


def test_half_a_folder_of_a_killed_upload_is_never_registered(s3, tmp_path, monkeypatch):
    """Only what `put_folder` has returned is registered; what is left, the clean-up takes."""
    folder = folder_in(tmp_path)
    monkeypatch.setenv("TOUCHSTONE_ARTIFACTS", f"s3://{s3}/touchstone")
    with subprocess.Popen(
        [sys.executable, "-c", UPLOAD, str(folder)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "one is up\n"
        process.send_signal(signal.SIGKILL)
    assert artifacts.held("runs/2").files == 1
    whole = [
        artifacts.StoredFile(name, len(content), hashlib.sha256(content).hexdigest())
        for name, content in (("README.md", b"# Card\n"), ("preference/train.jsonl", b"{}\n"))
    ]
    with (
        pytest.raises(NotFound),
        artifacts.local_folder("runs/2/attempt-1", files=whole),
    ):
        pass


def test_a_failed_upload_leaves_nothing(s3, monkeypatch):
    import s3fs

    put_file = s3fs.S3FileSystem.put_file

    def once(self, here, there, **more):
        if "README" not in there:
            raise OSError("The connection broke.")
        return put_file(self, here, there, **more)

    monkeypatch.setattr(s3fs.S3FileSystem, "put_file", once)
    with pytest.raises(OSError, match="broke"):
        stored()
    assert keys_in(s3) == []


def said():
    [finding] = check_artifacts()
    return finding.mark, f"{finding.what} {finding.mend}"


def test_doctor_writes_and_reads_once(s3):
    assert said()[0] is Mark.GOOD
    assert keys_in(s3) == []


def test_doctor_names_a_bucket_that_is_missing(s3, monkeypatch):
    from app.config import settings

    monkeypatch.setitem(settings.__dict__, "artifacts_url", "s3://no-such-bucket/x")
    mark, text = said()
    assert mark is Mark.BAD
    assert "s3://no-such-bucket/x is not there" in text
    assert "Make the bucket" in text


def test_doctor_names_wrong_keys(guarded, s3):
    guarded.use("AKIAIOSFODNN7EXAMPLE", "wrong")
    mark, text = said()
    assert mark is Mark.BAD
    assert "keys" in text
    assert "AWS_ACCESS_KEY_ID" in text


def test_doctor_says_which_rights_are_missing(guarded, s3):
    guarded("s3:ListBucket", "s3:GetObject")
    mark, text = said()
    assert mark is Mark.BAD
    assert "s3:PutObject" in text


def test_doctor_names_a_store_that_does_not_answer(s3, monkeypatch):
    import s3fs

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3fs.S3FileSystem.clear_instance_cache()
    mark, text = said()
    assert mark is Mark.BAD
    assert "does not answer" in text
