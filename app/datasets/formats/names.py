"""What downloaded files are called."""

import re


def file_name(*parts: str) -> str:
    """A name that every file system takes."""
    plain = (re.sub(r"[^A-Za-z0-9._-]+", "-", part).strip("-.") for part in parts)
    return "-".join(part for part in plain if part) or "snapshot"


def media_type(path: str) -> str:
    """Never one that a browser would run or show as a page."""
    if path.endswith(".gz"):
        return "application/gzip"
    if path.endswith(".json"):
        return "application/json"
    if path.endswith(".jsonl"):
        return "application/x-ndjson"
    if path.endswith(".md"):
        return "text/markdown; charset=utf-8"
    return "application/vnd.apache.parquet"
