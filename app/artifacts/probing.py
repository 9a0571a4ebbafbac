"""Whether the store can be used, in a sentence."""

import os
from uuid import uuid4

from app.artifacts.store import store
from app.config import settings

KEYS = (
    "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or the role of this machine), and "
    "AWS_ENDPOINT_URL where the store is not Amazon's."
)
RIGHTS = (
    "They need s3:ListBucket on the bucket, and s3:GetObject, s3:PutObject and s3:DeleteObject on "
    "what is in it."
)


def is_elsewhere() -> bool:
    return not settings.artifacts_url.startswith("file://")


def trouble() -> tuple[str, str] | None:
    """Why the store cannot be used, and what to do; None where a file can be written and read."""
    url = settings.artifacts_url
    try:
        filesystem, root = store()
        bucket = root.partition("/")[0]
        if url.startswith("s3://"):
            filesystem.call_s3("list_objects_v2", Bucket=bucket, MaxKeys=1)
        target, content = f"{root}/.probe/{uuid4()}", os.urandom(16)
        filesystem.makedirs(target.rpartition("/")[0], exist_ok=True)
        filesystem.pipe_file(target, content)
        same = filesystem.cat_file(target) == content
        filesystem.rm(target)
    except Exception as error:  # noqa: BLE001 - every kind of store has its own
        return _sentence(url, error)
    if not same:
        return (
            f"The artifact store {url} answers with other bytes than were written",
            "Is something between that changes files, such as a proxy?",
        )
    return None


def _sentence(url: str, error: Exception) -> tuple[str, str]:
    said = " ".join(str(error).split())
    if isinstance(error, FileNotFoundError):
        return (
            f"The bucket of the artifact store {url} is not there",
            "Make the bucket, or correct TOUCHSTONE_ARTIFACTS.",
        )
    low = f"{type(error).__name__} {said}".lower()
    if any(word in low for word in ("invalidaccesskeyid", "access key id", "signature")):
        return f"The artifact store {url} does not know these keys: {said}", KEYS
    if "nocredentials" in low or "unable to locate credentials" in low:
        return f"There are no keys for the artifact store {url}", KEYS
    if isinstance(error, PermissionError) or "denied" in low or "forbidden" in low:
        return (
            f"The keys may not do everything in the artifact store {url}: {said}",
            RIGHTS,
        )
    if any(word in low for word in ("connect", "timeout", "resolve", "endpoint")):
        return (
            f"The artifact store {url} does not answer: {said}",
            "Is it running, and is AWS_ENDPOINT_URL right?",
        )
    return (
        f"The artifact store {url} cannot be used: {said}",
        "Check TOUCHSTONE_ARTIFACTS; s3:// needs a package: .venv/bin/pip install '.[s3]'.",
    )
