"""Erasing again what a restored backup brought back."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy.orm import Session

from app.accounts.models import User
from app.datasets.models import Snapshot
from app.db import JsonObject, database_now
from app.errors import AppError
from app.privacy import queries
from app.privacy.formats import ledger
from app.privacy.models import Erasure
from app.privacy.schemas import Scope
from app.privacy.service.erasing import erase
from app.privacy.service.files import remove_files


@dataclass(slots=True)
class Repeated:
    """How many erasures were done again, and why others could not be."""

    erasures: int = 0
    files: int = 0
    problems: list[str] = field(default_factory=list)

    def in_words(self) -> str:
        if not (self.erasures or self.files or self.problems):
            return ""
        said = f" Erased again: {self.erasures} since that backup."
        if self.files:
            said += f" Files of {self.files} snapshots were removed again."
        return said + "".join(f" Not repeated: {problem}" for problem in self.problems)


def known(session: Session) -> list[JsonObject]:
    """The erasures that this database knows of."""
    entries = [ledger.entry_of(erasure) for erasure in queries.all_erasures(session)]
    removed = queries.snapshots_without_files(session)
    return entries + [{"files_of": str(snapshot_id)} for snapshot_id in removed]


def repeat(session: Session, entries: Iterable[JsonObject]) -> Repeated:
    """Do what the database does not know of, in order; whom it does not know it need not forget."""
    done = Repeated()
    for entry in entries:
        try:
            with session.begin_nested():
                if "files_of" in entry:
                    done.files += _repeat_files(session, UUID(entry["files_of"]))
                else:
                    done.erasures += _repeat(session, entry)
        except AppError as error:
            done.problems.append(error.detail)
        except (KeyError, TypeError, ValueError):
            done.problems.append("a line of the list of erasures cannot be read.")
    return done


def _repeat(session: Session, entry: JsonObject) -> bool:
    erasure_id, user_id = UUID(entry["id"]), UUID(entry["user_id"])
    user = session.get(User, user_id)
    if user is None or session.get(Erasure, erasure_id) is not None:
        return False
    scope = Scope.model_validate({name: entry[name] for name in (*ledger.WHAT, "project_id")})
    erase(session, user=user, scope=scope, by=None, now=database_now(session), again=erasure_id)
    return True


def _repeat_files(session: Session, snapshot_id: UUID) -> bool:
    snapshot = session.get(Snapshot, snapshot_id)
    if snapshot is None or snapshot.files_removed_at is not None or snapshot.erased_at is None:
        return False
    remove_files(session, snapshot=snapshot, by=None)
    return True
