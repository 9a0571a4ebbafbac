"""A batch of imported rows made ready for the database, while the one before it is written."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from uuid import UUID

from app.corpus import service as corpus
from app.corpus.formats import ImportedTask
from app.corpus.rules import response_hash
from app.corpus.schemas import NewPrompt


@dataclass(frozen=True, slots=True)
class Prepared:
    """Rows with all that takes no database: their prompts, and the hashes of their responses."""

    tasks: Sequence[ImportedTask]
    prompts: corpus.PreparedPrompts
    responses: Sequence[Sequence[bytes]]


def prepare(batch: Sequence[ImportedTask], *, project_id: UUID, import_id: UUID) -> Prepared:
    prompts = corpus.prepare_prompts(
        [_prompt(task) for task in batch], project_id=project_id, import_id=import_id
    )
    hashes = [
        [response_hash(prompt=key, text=each.text, source=each.source) for each in task.responses]
        for task, key in zip(batch, prompts.hashes, strict=True)
    ]
    return Prepared(batch, prompts, hashes)


def _prompt(task: ImportedTask) -> NewPrompt:
    return NewPrompt(
        messages=task.messages,
        system=task.system,
        source=task.source,
        tags=task.tags,
        language=task.language,
        expertise=task.expertise,
        external_id=task.external_id,
        meta={} if task.responses else task.meta,
    )


class Preparing:
    """One batch after the other, each prepared by another thread while its caller writes.

    The database is waited for without the interpreter's lock, so the two go on side by side.
    """

    def __init__(self, *, project_id: UUID, import_id: UUID) -> None:
        self.project_id = project_id
        self.import_id = import_id
        self.aside = ThreadPoolExecutor(1, thread_name_prefix="preparing")
        self.coming: Future[Prepared] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.aside.shutdown(cancel_futures=True)

    def swap(self, batch: Sequence[ImportedTask]) -> Prepared | None:
        """Take a batch to prepare, if it has rows; gives back the one before, which is ready."""
        before, self.coming = self.coming, None
        if batch:
            self.coming = self.aside.submit(
                prepare, batch, project_id=self.project_id, import_id=self.import_id
            )
        return before.result() if before else None
