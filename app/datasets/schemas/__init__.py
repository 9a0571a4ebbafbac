"""The recipe of a snapshot, and what the API says of one."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from app.corpus.rules import LONGEST_LABEL
from app.datasets.rules.comparisons import Pairs
from app.datasets.rules.rows import ConfigName, Dedup, WeightBy
from app.db import JobState


class Method(StrEnum):
    """How several judgements of a task become one."""

    MAJORITY = "majority"
    DAWID_SKENE = "dawid_skene"
    ADJUDICATED_FIRST = "adjudicated_first"


class Ties(StrEnum):
    DROP = "drop"
    KEEP = "keep"


class NearDuplicates(StrEnum):
    """What becomes of prompts that begin almost alike."""

    KEEP = "keep"
    TOGETHER = "together"
    DROP = "drop"


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
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("This moment lies before the year 1 or after 9999.") from error


def _one_line(text: str | None) -> str | None:
    return " ".join((text or "").split()) or None


def _without_blanks(words: tuple[str, ...]) -> tuple[str, ...]:
    """A blank asks for nothing: forms send one where a field was left empty."""
    return tuple(word for word in words if word.strip())


Words = Annotated[
    tuple[Annotated[str, Field(max_length=LONGEST_LABEL)], ...],
    Field(max_length=200),
    AfterValidator(_without_blanks),
]
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
    exclude_annotators: Annotated[tuple[str, ...], AfterValidator(_without_blanks)] = Field(
        (), max_length=1_000, description="Leave out these people: e-mail, imported name or id."
    )
    guidelines_version: int | None = Field(
        None, ge=1, description="Only judgements made under this version of the guidelines."
    )
    since: Moment | None = Field(None, description="Only judgements from this moment on.")
    until: Moment | None = Field(None, description="Only judgements before this moment.")
    people_only: bool = Field(
        False, description="Leave out judgements that came with the data and have no person."
    )
    adjudicated_only: bool = Field(False, description="Only tasks that a reviewer settled.")
    sources: Words = Field((), description="Only prompts from these sources.")
    tags: Words = Field((), description="Only prompts with one of these tags.")
    languages: Words = Field((), description="Only prompts in these languages, such as `en`.")
    exclude_flags: Words = Field(
        (), description="Leave out responses that somebody flagged with one of these, as `unsafe`."
    )
    min_response_length: int = Field(
        0, ge=0, le=1_000_000, description="Leave out responses with fewer characters."
    )
    pairs: Pairs = Field(Pairs.ALL, description="Which pairs of a ranking become comparisons.")
    ties: Ties = Field(Ties.DROP, description="Kept ties live in `ranking`, never in `preference`.")
    margin: Margin = Field(
        Margin.NONE, description="`strength`: how much better people found the chosen response."
    )
    max_pairs_per_prompt: int | None = Field(
        None, ge=1, description="Most comparisons from one prompt, drawn by `seed`."
    )
    weight_by: WeightBy = Field(
        WeightBy.TASK,
        description="Weights sum to one per task; or per prompt, so that no prompt dominates.",
    )
    dedup: Dedup = Field(
        Dedup.EXACT,
        description="`normalised`: texts that differ in case or white space alone are the same.",
    )
    near_duplicates: NearDuplicates = Field(
        NearDuplicates.KEEP,
        description="Prompts almost alike: `together` on one side of the split; `drop` all but one"
        " of those that ask almost the same.",
    )
    test_share: float = Field(
        0.1, ge=0, le=0.9, description="Share of prompts whose rows go to the test split."
    )
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Of the split and of what is drawn.")
    format: FileFormat = Field(FileFormat.JSONL, description="Of the data files: JSONL or Parquet.")
    configs: tuple[ConfigName, ...] | None = Field(
        None, description="Only these configs; without it every one that has rows."
    )
    license: Annotated[str | None, AfterValidator(_one_line)] = Field(
        None,
        max_length=200,
        description="Under what licence the data may be used, as its card says: `CC-BY-4.0`.",
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


class ProgressOut(BaseModel):
    """Prompts read of all; total is null until a worker has begun."""

    done: int
    total: int | None


class SameRowsOut(BaseModel):
    id: str
    name: str


class SnapshotOut(BaseModel):
    """A snapshot; counts, quality and files are empty until it has succeeded.

    identity: SHA-256 of its rows and recipe; same_rows_as: the oldest snapshot before it that
    holds exactly the same rows.
    """

    id: str
    project_id: str
    name: str
    state: JobState
    attempt: int
    recipe: dict[str, Any]
    counts: dict[str, Any]
    quality: dict[str, Any]
    files: list[FileOut]
    identity: str | None
    same_rows_as: SameRowsOut | None
    progress: ProgressOut
    error: str | None
    replaces_id: str | None = Field(description="The snapshot of which this is a correction.")
    erased_at: datetime | None = Field(
        description="Since when it holds judgements that have been erased."
    )
    files_removed_at: datetime | None = Field(description="Since when it has no files any more.")
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
    open_tasks: int
    warnings: list[str]
    examples: list[dict[str, Any]]


class RecipeForm(BaseModel):
    """The recipe editor: everything as a browser sends it, so that a mistake can be shown again."""

    name: str = ""
    min_annotations: str = "1"
    min_agreement: str = "0"
    consensus: str = Method.MAJORITY
    keep_failed_gold: bool = False
    people_only: bool = False
    adjudicated_only: bool = False
    exclude_annotators: list[str] = []
    guidelines_version: str = ""
    since: str = ""
    until: str = ""
    sources: list[str] = []
    tags: list[str] = []
    languages: list[str] = []
    exclude_flags: list[str] = []
    min_response_length: str = "0"
    pairs: str = Pairs.ALL
    ties: str = Ties.DROP
    margin: str = Margin.NONE
    max_pairs_per_prompt: str = ""
    weight_by: str = WeightBy.TASK
    dedup: str = Dedup.EXACT
    near_duplicates: str = NearDuplicates.KEEP
    test_share: str = "0.1"
    seed: str = "0"
    format: str = FileFormat.JSONL
    configs: list[str] = []  # none: every one that has rows
    license: str = ""
    # Not of the recipe:
    preview: str = ""  # the button that asks for counts, without JavaScript
    preset: str = ""  # begin with one of these
    like: str = ""  # begin with the recipe of a snapshot, by its id
    glance: str = ""  # count as much as fits into a moment

    def recipe(self) -> Recipe:
        """The recipe; a `ValidationError` names the fields that are wrong."""
        fields = self.model_dump(exclude={"name", "keep_failed_gold", *_BESIDES})
        typed = {
            key: [each for each in value if each.strip()] if isinstance(value, list) else value
            for key, value in fields.items()
        }
        given = {key: value for key, value in typed.items() if value not in ("", [])}
        return Recipe.model_validate({**given, "exclude_failed_gold": not self.keep_failed_gold})

    @classmethod
    def of(cls, recipe: Recipe) -> Self:
        """The form that gives this recipe."""
        values = {
            name: _typed(value) for name, value in recipe.as_json().items() if value is not None
        }
        values["keep_failed_gold"] = not recipe.exclude_failed_gold
        for name in ("since", "until"):
            moment = getattr(recipe, name)
            values[name] = "" if moment is None else _as_typed(moment)
        return cls.model_validate({k: v for k, v in values.items() if k in cls.model_fields})


_BESIDES = {"preview", "preset", "like", "glance"}


def _typed(value: Any) -> Any:
    """As a browser sends it: a number is text."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _as_typed(moment: datetime) -> str:
    """A day where it begins at midnight UTC, as the editor asks for days, else the moment."""
    return moment.replace(tzinfo=None).isoformat().removesuffix("T00:00:00")
