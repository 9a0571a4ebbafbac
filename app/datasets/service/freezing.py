"""Freezing: everything a recipe takes from a project, as the files of a dataset folder."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy.orm import Session

from app.artifacts import digest
from app.datasets import queries
from app.datasets.formats.card import card
from app.datasets.formats.files import WrittenFile, data_files
from app.datasets.formats.manifest import (
    FORMAT_VERSION,
    JudgementOrigin,
    contents,
    identity,
    lineage_file,
    write_manifest,
)
from app.datasets.formats.refused import refused_file
from app.datasets.queries.writers import has_written, writers_behind
from app.datasets.rules.counts import REASONS, shown_groups
from app.datasets.rules.identity import pseudonym
from app.datasets.rules.judged import Behind
from app.datasets.rules.rows import RefusedRow
from app.datasets.schemas import Recipe
from app.datasets.service.assembling import Assembly, plan, with_posteriors
from app.datasets.service.near import Watch, with_near
from app.datasets.service.reading import few_collections, rows_of_prompts
from app.db import JsonObject, database_now
from app.errors import Invalid
from app.projects.models import Project
from app.quality.queries.summary import groups_of

T = TypeVar("T")

MOST_REFUSED = 1_000  # rows listed one by one in the manifest; all are counted


@dataclass(frozen=True, slots=True)
class Frozen:
    """What a folder holds. rows: by path of a data file.

    judgements: how many of whom, by the name in the manifest; versions: under which guidelines;
    writers: about responses of which model. removals: those that had taken place when the
    project was read.
    """

    counts: JsonObject
    quality: JsonObject
    rows: Mapping[str, int]
    identity: str
    contents: str
    judgements: Mapping[str, int] = field(default_factory=dict)
    versions: Mapping[int, int] = field(default_factory=dict)
    writers: Mapping[UUID | str, int] = field(default_factory=dict)
    removals: frozenset[UUID] = frozenset()


def freeze(
    session: Session,
    *,
    project: Project,
    recipe: Recipe,
    folder: Path,
    beat: Callable[[], None] = lambda: None,
) -> Frozen:
    """Write the dataset folder of a recipe, as the project is at this moment.

    `session` should be one that sees a single moment (`queries.see_one_moment`). `beat` is called
    again and again and may raise to stop. `Invalid` where the recipe takes nothing at all.
    """
    beat()
    made = with_posteriors(
        session, project=project, plan=plan(session, project=project, recipe=recipe)
    )
    made = with_near(session, project=project, plan=made, beat=beat)
    assembly, watch = Assembly(made), Watch()
    refused: list[RefusedRow] = []
    names = _Names(project, by_models=has_written(session, project=project))
    removals = frozenset(removal.id for removal in queries.removals_in(session, project=project))
    folder.mkdir(parents=True, exist_ok=True)
    with (
        few_collections(),
        lineage_file(folder / ".lineage") as lineage,
        data_files(folder, file_format=recipe.format, criteria=made.criteria) as files,
        refused_file(folder) as refused_rows,
        closing(rows_of_prompts(session, project=project, assembly=assembly)) as found,
    ):
        for assembled in watch.look(assembly.placed(_beating(found, beat))):
            for config, rows in assembled.made.rows.items():
                for row in rows:
                    files.add(config, assembled.split, row)
            refused += assembled.made.refused[: MOST_REFUSED - len(refused)]
            refused_rows.add(assembled.made.refused, messages=assembled.messages)
            if assembled.judgements:
                lineage.add(
                    assembled.prompt_id, [names.origin(each) for each in assembled.judgements]
                )
        written = files.close()
        assembly.counts.near_copies = watch.told()
        counts, quality = assembly.counts.as_json(), assembly.tally.figures()
        if not written:
            raise Invalid(_nothing(counts))
        readme = card(
            recipe=recipe,
            counts=counts,
            quality=quality,
            files=written,
            criteria=made.criteria,
            groups=shown_groups(_groups(session, project=project), names.people),
        )
        (folder / "README.md").write_text(readme, encoding="utf-8", newline="\n")
        public = _public(recipe)
        body = {
            "format_version": FORMAT_VERSION,
            "identity": identity(written, recipe=public),
            "recipe": public,
            "counts": counts,
            "quality": quality,
            "refused": [asdict(row) for row in refused],
            "files": [_entry(folder, file) for file in written]
            + [_entry(folder, name) for name in ("README.md", *refused_rows.close())],
        }
        about = _about(session, project, names)
        write_manifest(folder / "manifest.json", body=body, about=about, lineage=lineage)
    return Frozen(
        counts=counts,
        quality=quality,
        rows={file.path: file.rows for file in written},
        identity=str(body["identity"]),
        contents=contents(written),
        judgements=names.judgements,
        versions=names.versions,
        writers=names.writers(session),
        removals=removals,
    )


def _beating(found: Iterator[T], beat: Callable[[], None]) -> Iterator[T]:
    for each in found:
        beat()
        yield each


class _Names:
    """People under pseudonyms that hold inside a project and say nothing outside it."""

    def __init__(self, project: Project, *, by_models: bool) -> None:
        self.project = project
        self.by_models = by_models
        self.people: dict[str, str] = {}
        self.sources: set[str] = set()
        self.versions: Counter[int] = Counter()
        self.judgements: Counter[str] = Counter()
        self.ids = bytearray()  # 16 bytes each: there may be a million

    def origin(self, judgement: Behind) -> JudgementOrigin:
        self.versions[judgement.guidelines_version] += 1
        if self.by_models:
            self.ids += UUID(judgement.id).bytes
        annotator = self._annotator(judgement)
        self.judgements[annotator] += 1
        return judgement.id, annotator, judgement.guidelines_version

    def writers(self, session: Session) -> dict[UUID | str, int]:
        """Once all prompts were read: till then the session reads them."""
        ids = [UUID(bytes=bytes(self.ids[at : at + 16])) for at in range(0, len(self.ids), 16)]
        return writers_behind(session, annotation_ids=ids)

    def _annotator(self, judgement: Behind) -> str:
        if judgement.user_id is None:
            source = judgement.source or "unknown"
            self.sources.add(source)
            return source
        if judgement.user_id not in self.people:
            self.people[judgement.user_id] = pseudonym(self.project.id, judgement.user_id)
        return self.people[judgement.user_id]


def _groups(session: Session, *, project: Project) -> dict[str, set[str]]:
    """The people of each group that somebody counts herself to, by id."""
    groups = groups_of(session, project=project)
    return {name: {str(user_id) for user_id in ids} for name, ids in groups.items()}


def _about(session: Session, project: Project, names: _Names) -> JsonObject:
    """The part of the lineage that comes before the judgements."""
    moment: datetime = database_now(session)
    return {
        "created_at": moment.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "project": {"id": str(project.id), "name": project.name},
        "guidelines": [
            {
                "version": guidelines.version,
                "sha256": sha256(guidelines.text.encode()).hexdigest(),
                "text": guidelines.text,
            }
            for guidelines in reversed(queries.guidelines_versions(session, project=project))
            if guidelines.version in names.versions
        ],
        "imports": [
            {"id": str(row.id), "file": row.filename, "format": row.format}
            for row in queries.imports_behind(session, project=project)
        ],
        "checkpoints": [
            str(checkpoint_id)
            for checkpoint_id in queries.checkpoints_behind(session, project=project)
        ],
        "annotators": sorted(names.people.values()),
        "sources": sorted(names.sources),
        "annotation_fields": ["id", "annotator", "guidelines_version"],
    }


def _public(recipe: Recipe) -> JsonObject:
    """The recipe as it may leave the house: how many people it leaves out, not who they are."""
    public = recipe.as_json()
    public["exclude_annotators"] = [
        f"(person {number})" for number, _ in enumerate(recipe.exclude_annotators, 1)
    ]
    return public


def _entry(folder: Path, file: WrittenFile | str) -> JsonObject:
    path = file if isinstance(file, str) else file.path
    entry: dict[str, Any] = {
        "path": path,
        "bytes": (folder / path).stat().st_size,
        "sha256": digest(folder / path),
    }
    if isinstance(file, WrittenFile):
        entry |= {
            "rows": file.rows,
            "config": file.config.value,
            "split": file.split.value,
            "content_sha256": file.content_sha256,
        }
    return entry


def _nothing(counts: JsonObject) -> str:
    """Why there is no row at all, and what to change."""
    if not counts["prompts"]:
        return (
            "There is nothing to freeze: this project has no prompts besides gold questions."
            " Import some first."
        )
    if not counts["tasks"]["read"]:
        return (
            "No row came out of this recipe: the project has no tasks. Import responses to its"
            " prompts, or generate some."
        )
    left_out = "; ".join(
        f"{number:,} {REASONS[reason]}" for reason, number in counts["tasks"]["excluded"].items()
    )
    return (
        f"No row came out of this recipe. Of {counts['tasks']['read']:,} tasks it leaves out:"
        f" {left_out or 'none, but no config it asks for has rows'}. Loosen it, or judge more."
    )
