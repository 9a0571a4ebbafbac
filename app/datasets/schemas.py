"""The recipe of a snapshot, and what the API says of one."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from app.datasets.rules.comparisons import Pairs
from app.datasets.rules.rows import ConfigName
from app.db import JobState


class Method(StrEnum):
    """How several judgements of a task become one."""

    MAJORITY = "majority"
    DAWID_SKENE = "dawid_skene"
    ADJUDICATED_FIRST = "adjudicated_first"


class Ties(StrEnum):
    DROP = "drop"
    KEEP = "keep"


class Margin(StrEnum):
    NONE = "none"
    STRENGTH = "strength"


class FileFormat(StrEnum):
    JSONL = "jsonl"
    PARQUET = "parquet"


class Annotators(StrEnum):
    """What people are called in an exported project."""

    PSEUDONYMS = "pseudonyms"
    NAMES = "names"


def _utc(moment: datetime) -> datetime:
    """A moment without a zone is meant in UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


Moment = Annotated[datetime, AfterValidator(_utc)]


class Recipe(BaseModel):
    """What is taken into a snapshot, and what is made of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_annotations: int = Field(
        1, ge=1, le=100, description="Leave out tasks with fewer judgements."
    )
    min_agreement: float = Field(
        0.0, ge=0, le=1, description="Leave out tasks whose judgements agree less."
    )
    consensus: Method = Field(
        Method.MAJORITY, description="How several judgements of a task become one."
    )
    exclude_failed_gold: bool = Field(
        True, description="Leave out the judgements of people who fail gold questions."
    )
    exclude_annotators: tuple[str, ...] = Field(
        (), max_length=1_000, description="Leave out these people: e-mail, imported name or id."
    )
    guidelines_version: int | None = Field(
        None, ge=1, description="Only judgements made under this version of the guidelines."
    )
    since: Moment | None = Field(None, description="Only judgements from this moment on.")
    until: Moment | None = Field(None, description="Only judgements before this moment.")
    pairs: Pairs = Field(Pairs.ALL, description="Which pairs of a ranking become comparisons.")
    ties: Ties = Field(Ties.DROP, description="Kept ties live in `ranking`, never in `preference`.")
    margin: Margin = Field(
        Margin.NONE, description="`strength`: how much better people found the chosen response."
    )
    max_pairs_per_prompt: int | None = Field(
        None, ge=1, description="Most comparisons from one prompt, drawn by `seed`."
    )
    test_share: float = Field(
        0.1, ge=0, le=0.9, description="Share of prompts whose rows go to the test split."
    )
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Of the split and of what is drawn.")
    format: FileFormat = FileFormat.JSONL
    configs: tuple[ConfigName, ...] | None = Field(
        None, description="Only these configs; without it every one that has rows."
    )

    @model_validator(mode="after")
    def _dates_in_order(self) -> Self:
        if self.since and self.until and self.since >= self.until:
            raise ValueError("`since` must lie before `until`.")
        return self

    def wants(self, config: ConfigName) -> bool:
        return self.configs is None or config in self.configs

    def as_json(self) -> dict[str, Any]:
        """All settings, defaults included, as stored with the snapshot."""
        return self.model_dump(mode="json")


class SnapshotBody(BaseModel):
    """`POST /projects/{id}/snapshots`."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(None, max_length=200)
    recipe: Recipe = Field(default_factory=Recipe)


class PreviewBody(BaseModel):
    """`POST /projects/{id}/snapshots/preview`."""

    model_config = ConfigDict(extra="forbid")

    recipe: Recipe = Field(default_factory=Recipe)


class FileOut(BaseModel):
    """A file of a snapshot; rows is null for the card and the manifest."""

    path: str
    bytes: int
    sha256: str
    rows: int | None


class SnapshotOut(BaseModel):
    """A snapshot; counts, quality and files are empty until it has succeeded."""

    id: str
    project_id: str
    name: str
    state: JobState
    attempt: int
    recipe: dict[str, Any]
    counts: dict[str, Any]
    quality: dict[str, Any]
    files: list[FileOut]
    error: str | None
    created_at: datetime
    finished_at: datetime | None


class SnapshotPage(BaseModel):
    items: list[SnapshotOut]
    next_cursor: str | None


class PreviewOut(BaseModel):
    """What a recipe would give; from a sample of prompts where `looked_at` < `prompts`."""

    counts: dict[str, Any]
    quality: dict[str, Any]
    looked_at: int
    prompts: int


class RecipeForm(BaseModel):
    """The recipe editor: everything as a browser sends it, so that a mistake can be shown again."""

    name: str = ""
    min_annotations: str = "1"
    min_agreement: str = "0"
    consensus: str = Method.MAJORITY
    keep_failed_gold: bool = False
    exclude_annotators: list[str] = []
    guidelines_version: str = ""
    since: str = ""
    until: str = ""
    pairs: str = Pairs.ALL
    ties: str = Ties.DROP
    margin: str = Margin.NONE
    max_pairs_per_prompt: str = ""
    test_share: str = "0.1"
    seed: str = "0"
    format: str = FileFormat.JSONL
    preview: str = ""  # the button that asks for counts, without JavaScript

    def recipe(self) -> Recipe:
        """The recipe; a `ValidationError` names the fields that are wrong."""
        fields = self.model_dump(exclude={"name", "keep_failed_gold", "preview"})
        given = {key: value for key, value in fields.items() if value != ""}
        return Recipe.model_validate({**given, "exclude_failed_gold": not self.keep_failed_gold})
