"""A store that speaks S3, on this machine."""

import logging
from collections.abc import Callable, Iterator
from uuid import uuid4

import boto3
import pytest
import requests
import s3fs
from moto.server import ThreadedMotoServer

from app.config import settings

logging.getLogger("werkzeug").setLevel(logging.ERROR)
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The artifact store is a bucket of its own; answers the bucket's name."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    bucket = f"bucket-{uuid4().hex[:12]}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    monkeypatch.setitem(settings.__dict__, "artifacts_url", f"s3://{bucket}/touchstone")
    s3fs.S3FileSystem.clear_instance_cache()
    yield bucket
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def guarded(s3_server: str, s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable]:
    """The store asks for rights; answers a function that takes a policy and uses such keys."""
    iam = boto3.client("iam")

    def with_rights(*actions: str) -> None:
        name = f"user-{uuid4().hex[:8]}"
        iam.create_user(UserName=name)
        if actions:
            policy = (
                '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Resource": "*",'
                f' "Action": {str(list(actions)).replace(chr(39), chr(34))}}}}}'
            )
            iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=policy)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        use(key["AccessKeyId"], key["SecretAccessKey"])

    def use(key: str, secret: str) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        s3fs.S3FileSystem.clear_instance_cache()
        requests.post(f"{s3_server}/moto-api/reset-auth", data=b"0", timeout=10)

    with_rights.use = use
    yield with_rights
    requests.post(f"{s3_server}/moto-api/reset-auth", data=b"inf", timeout=10)
