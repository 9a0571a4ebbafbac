"""The manifest: recipe, counts, quality, hashes, and at its end the lineage."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from app.datasets.formats.files import WrittenFile
from app.datasets.rules.identity import canonical_json, sha256

FORMAT_VERSION = 1
_PIECE = 1 << 18


# Where one judgement came from: its id, the annotator (a pseudonym, or the name of a source), and
# the version of the guidelines. Plain tuples: there are a million of them.
JudgementOrigin = tuple[str, str, int]


class LineageFile:
    """The judgements behind each prompt, kept on disk until the manifest is written.

    One line per prompt: a dataset of a million judgements has a lineage of 70 MB.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.is_empty = True

    def add(self, prompt_id: str, origins: Sequence[JudgementOrigin]) -> None:
        separator = "\n" if self.is_empty else ",\n"
        self.file.write(f'{separator}"{prompt_id}":'.encode() + canonical_json(sorted(origins)))
        self.is_empty = False

    def copy_to(self, file: IO[bytes]) -> None:
        self.file.seek(0)
        shutil.copyfileobj(self.file, file, _PIECE)


@contextmanager
def lineage_file(path: Path) -> Iterator[LineageFile]:
    with path.open("w+b", buffering=_PIECE) as file:
        yield LineageFile(file)
    path.unlink()


def identity(files: Sequence[WrittenFile], *, recipe: Mapping[str, Any]) -> str:
    """What the dataset is, whatever its files are compressed with: SHA-256 of rows and recipe."""
    contents = [f"{file.config}/{file.split} {file.content_sha256}" for file in files]
    return sha256(canonical_json(recipe).decode(), *sorted(contents))


def contents(files: Sequence[WrittenFile]) -> str:
    """Which rows the dataset holds, whatever recipe took them and whatever format holds them."""
    return sha256(*sorted(f"{file.config}/{file.split} {file.content_sha256}" for file in files))


def write_manifest(
    path: Path, *, body: Mapping[str, Any], about: Mapping[str, Any], lineage: LineageFile
) -> None:
    """`body`, then the lineage: `about` and [annotation, annotator, guidelines version] by prompt.

    Everything in `body` is the same for equal datasets; what is not stands in the lineage.
    """
    head = json.dumps({**body, "lineage": about}, ensure_ascii=False, indent=1, allow_nan=False)
    opening = head.removesuffix("\n }\n}")  # of the lineage and of the whole
    with path.open("wb") as file:
        file.write(f'{opening},\n  "annotations": {{'.encode())
        lineage.copy_to(file)
        file.write(b"\n  }\n }\n}\n")
