"""What an erasure is asked for with, and what is told of a person's work."""

from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.errors import Invalid


class Scope(BaseModel):
    """What is to be erased of a person."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    identity: bool = Field(
        default=False,
        description="Who she is: name, address, password, keys, settings. Everywhere, for good.",
    )
    judgements: bool = Field(
        default=False, description="Everything she judged; others judge those tasks instead."
    )
    texts: bool = Field(
        default=False, description="What she wrote: rationales, rewrites, notes, reasons, appeals."
    )
    project_id: UUID | None = Field(
        default=None, description="Only in this project; without it everywhere."
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not (self.identity or self.judgements or self.texts):
            raise ValueError("Name what is to be erased: `identity`, `judgements` or `texts`.")
        if self.identity and self.project_id is not None:
            raise ValueError("Who she is can only be erased everywhere: leave `project_id` out.")
        return self


class ErasureOut(BaseModel):
    """What was erased, in numbers."""

    id: str
    user_id: str
    called: str = Field(description="What the person is called now.")
    identity: bool
    judgements: bool
    texts: bool
    project_id: str | None
    counts: dict[str, int]
    at: datetime


class ReachOut(BaseModel):
    """What an erasure would find now; nothing is done."""

    judgements: int = Field(description="Current judgements.")
    counted: int = Field(description="Of them: those that count towards their tasks.")
    opened: int = Field(description="Tasks that others would be asked to judge instead.")
    texts: int = Field(description="Rationales and rewrites.")


class TracedProject(BaseModel):
    id: str
    name: str
    annotator: str = Field(description="Her name in the manifests of this project.")
    judgements: int = Field(description="Judgements of hers that are there now.")


class TracedSnapshot(BaseModel):
    id: str
    project_id: str
    name: str
    judgements: int
    created_at: datetime
    erased_at: datetime | None
    files_removed_at: datetime | None


class TracedRun(BaseModel):
    id: str
    project_id: str
    name: str
    kind: str
    snapshot_id: str
    directly: bool = Field(description="Trained on a snapshot with her work, not only on a model.")


class TracedCheckpoint(BaseModel):
    id: str
    project_id: str
    name: str
    kind: str
    run_id: str
    directly: bool
    responses: int = Field(description="Responses that it wrote into projects.")


class TracedGeneration(BaseModel):
    id: str
    project_id: str
    checkpoint_id: str | None
    created_at: datetime


class TracesOut(BaseModel):
    """Where a person's work went: snapshots, and the models that learned from them."""

    user_id: str
    called: str
    projects: list[TracedProject]
    snapshots: list[TracedSnapshot]
    runs: list[TracedRun]
    checkpoints: list[TracedCheckpoint]
    generations: list[TracedGeneration]
    erasures: list[ErasureOut]


class EraseForm(BaseModel):
    """The form of her page: what, and her name as whoever erases her has typed it."""

    identity: bool = False
    judgements: bool = False
    texts: bool = False
    confirmation: str = Field("", max_length=500)

    def scope(self, *, project_id: UUID | None) -> Scope:
        if not (self.identity or self.judgements or self.texts):
            raise Invalid("Choose what is to be erased. Nothing was changed.")
        if self.identity and project_id is not None:
            raise Invalid("Who this is can only be erased everywhere, by an admin of all.")
        return Scope(
            identity=self.identity,
            judgements=self.judgements,
            texts=self.texts,
            project_id=project_id,
        )
