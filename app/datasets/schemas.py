"""The recipe of a snapshot, and what the API says of one."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from app.datasets.rules.comparisons import Pairs
from app.datasets.rules.rows import ConfigName


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


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


Moment = Annotated[AwareDatetime, AfterValidator(_utc)]


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
