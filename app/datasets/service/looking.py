"""Reading rows and differences page by page, for pages and programs alike."""

from collections.abc import Iterator, Sequence
from itertools import chain

from sqlalchemy.orm import Session

from app.datasets.formats.browsing import Filters, RowsPage, matching, rows_page
from app.datasets.formats.differences import file_of, stored_differences
from app.datasets.formats.folder import DataFile, Folder, stored_folder
from app.datasets.models import Snapshot, SnapshotComparison
from app.datasets.queries.uses import Use, uses_of
from app.datasets.rules.differences import Kind
from app.datasets.rules.rows import ConfigName, Row
from app.datasets.schemas.looking import DifferencesQuery, RowFilters, RowsQuery
from app.db import JobState, JsonObject
from app.errors import Conflict, NotFound, found


def path_of(snapshot: Snapshot) -> str:
    """Where its files are; `Conflict` where there are none yet, `NotFound` once they are gone."""
    if snapshot.files_removed_at is not None:
        raise NotFound(
            f"The files of “{snapshot.name}” were removed, since they held judgements that have "
            "been erased. Take its corrected edition, or freeze one on its page."
        )
    if snapshot.path is None:
        if snapshot.state is JobState.FAILED:
            raise Conflict(f"“{snapshot.name}” failed and has no files. {snapshot.error}")
        raise Conflict(
            f"“{snapshot.name}” is {snapshot.state}; its files come when it has succeeded."
        )
    return snapshot.path


def folder_of(snapshot: Snapshot) -> Folder:
    """Its files, to be read from; raises like `path_of`."""
    return stored_folder(path_of(snapshot))


def filters_of(asked: RowFilters) -> Filters:
    return Filters(
        words=asked.q,
        agreement_below=asked.agreement_below,
        margin_from=asked.margin_from,
        judgements_from=asked.judgements_from,
        judgements_below=asked.judgements_below,
    )


def rows_of(snapshot: Snapshot, asked: RowsQuery) -> tuple[RowsPage, int]:
    """(a page of rows, all rows of the file); `NotFound` where there is no such file."""
    folder = folder_of(snapshot)
    file: DataFile = found(folder.file(asked.config, asked.split))
    page = rows_page(folder, file, start=asked.cursor, limit=asked.limit, filters=filters_of(asked))
    return page, file.rows


def differences_of(comparison: SnapshotComparison, asked: DifferencesQuery) -> tuple[RowsPage, int]:
    """(a page of differences, how many there are of the kind)."""
    number = number_of(comparison, asked.config, asked.kind)
    if not number or comparison.path is None:
        return RowsPage([], None, is_whole=True), 0
    page = rows_page(
        stored_differences(comparison.path),
        file_of(asked.config, asked.kind, rows=number),
        start=asked.cursor,
        limit=asked.limit,
        filters=Filters(words=asked.q, what=asked.what, why=asked.why),
    )
    return page, number


def uses(session: Session, snapshot: Snapshot) -> Sequence[Use]:
    """The runs that train on it, newest first."""
    return uses_of(session, snapshot=snapshot)


def number_of(comparison: SnapshotComparison, config: ConfigName, kind: Kind) -> int:
    return _number(comparison.summary, config, kind)


def _number(summary: JsonObject, config: ConfigName, kind: Kind) -> int:
    return int(summary.get("configs", {}).get(config.value, {}).get(kind.value, 0))


def all_differences(comparison: SnapshotComparison) -> Iterator[Row]:
    """Every difference, config by config; nothing of the database is needed meanwhile."""
    assert comparison.path is not None
    return every_difference(stored_differences(comparison.path), comparison.summary)


def every_difference(folder: Folder, summary: JsonObject) -> Iterator[Row]:
    files = [
        file_of(config, kind, rows=number)
        for config in ConfigName
        for kind in Kind
        if (number := _number(summary, config, kind))
    ]
    return chain.from_iterable(matching(folder, file, filters=Filters()) for file in files)
