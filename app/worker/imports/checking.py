"""What an import says of itself beside its rows: what it brought, what it refused, what it saw."""

from collections import Counter
from typing import IO, Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import artifacts
from app.annotation.rules import is_source
from app.corpus.formats import Limits, Refusals, Survey, look_at, telling_keys
from app.db import JsonObject, among
from app.projects.models import Membership, Project

SHOWN_NAMES = 40


class Findings:
    """Gathered while the rows are read; a check looks closer than an import does."""

    def __init__(self) -> None:
        self.refusals = Refusals()
        self.brought: Counter[str] = Counter()
        self.survey: Survey | None = None
        self.looked: JsonObject = {}
        self.people: JsonObject = {}
        self.refused: JsonObject = {}

    def look(self, stream: IO[bytes], *, project: Project, format: str, limits: Limits) -> None:  # noqa: A002
        """Begin a check."""
        self.looked = look_at(stream, format=format, limits=limits)
        self.survey = Survey(is_source=is_source, allow_ties=project.allow_ties)

    def tell_people(self, session: Session, *, project_id: UUID) -> None:
        """Whom the file names: who is known here, and who would come in. Nothing is written yet."""
        if self.survey is None:
            return
        names = self.survey.people()
        known = set(
            session.scalars(
                select(Membership.imported_name).where(
                    Membership.project_id == project_id, among(Membership.imported_name, names)
                )
            )
        )
        new = [name for name in names if name not in known]
        self.people = {
            "new": new[:SHOWN_NAMES],
            "known": [name for name in names if name in known][:SHOWN_NAMES],
            "n_new": len(new),
            "n_known": len(names) - len(new),
        }

    def keep_refused(
        self,
        stream: IO[bytes],
        *,
        import_id: UUID,
        attempt: int,
        format: str,  # noqa: A002
        limits: Limits,
    ) -> None:
        """Store the refused lines: their report, and the lines themselves, to be mended."""
        if not self.refusals.count:
            return
        with artifacts.workspace() as folder:
            kind = self.refusals.write(folder, stream, format=format, limits=limits)
            where = f"refused/{import_id}/{attempt}"
            stored = {"report": artifacts.put_file(folder / "refused.jsonl", to=f"{where}/report")}
            if kind is not None:
                stored["lines"] = artifacts.put_file(folder / "mend", to=f"{where}/lines")
        self.refused = {name: file.path for name, file in stored.items()} | {"written": kind}

    def report(self, *, format: str | None) -> JsonObject:  # noqa: A002
        made: dict[str, Any] = {"brings": dict(self.brought), "reasons": self.refusals.report()}
        if self.refused:
            made["refused"] = self.refused
        if self.survey is not None:
            told_by = telling_keys(format or "", self.looked["keys"])
            made |= self.looked | {"told_by": told_by} | self.survey.report()
            made["people"] = self.people
        return made
