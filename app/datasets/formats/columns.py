"""The columns of each config, once for Parquet and once for the dataset card."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from app.datasets.rules.rows import ConfigName


@dataclass(frozen=True, slots=True)
class ListOf:
    """A column whose values are lists."""

    item: "Column"


Column = str | ListOf | Mapping[str, "Column"]  # a mapping is a struct

_MESSAGES = ListOf({"role": "string", "content": "string"})

_COLUMNS: dict[ConfigName, dict[str, Column]] = {
    ConfigName.PREFERENCE: {
        "prompt": _MESSAGES,
        "chosen": _MESSAGES,
        "rejected": _MESSAGES,
        "margin": "float64",
        "weight": "float64",
        "p": "float64",
        "strength": "float64",
        "agreement": "float64",
        "n_annotators": "int64",
        "prompt_id": "string",
        "chosen_id": "string",
        "rejected_id": "string",
    },
    ConfigName.HH_RLHF: {"chosen": "string", "rejected": "string"},
    ConfigName.RANKING: {
        "prompt": _MESSAGES,
        "responses": ListOf(_MESSAGES),
        "ranks": ListOf("int64"),
        "weight": "float64",
        "agreement": "float64",
        "n_annotators": "int64",
        "prompt_id": "string",
        "response_ids": ListOf("string"),
    },
    ConfigName.UNPAIRED: {"prompt": _MESSAGES, "completion": _MESSAGES, "label": "bool"},
    ConfigName.RATINGS: {
        "prompt": _MESSAGES,
        "response": _MESSAGES,
        "ratings": {},
        "n_annotators": "int64",
    },
    ConfigName.SFT: {"messages": _MESSAGES},
    ConfigName.PROMPTS: {"prompt": _MESSAGES},
}


def columns(config: ConfigName, *, criteria: Sequence[str]) -> dict[str, Column]:
    """Name → type, in the order of the rows. `criteria` are the keys of the struct `ratings`."""
    found = dict(_COLUMNS[config])
    if "ratings" in found:
        found["ratings"] = dict.fromkeys(criteria, "float64")
    return found


def arrow_schema(config: ConfigName, *, criteria: Sequence[str]) -> pa.Schema:
    found = columns(config, criteria=criteria)
    return pa.schema([pa.field(name, _arrow(column)) for name, column in found.items()])


def _arrow(column: Column) -> pa.DataType:
    if isinstance(column, ListOf):
        return pa.list_(_arrow(column.item))
    if isinstance(column, str):
        return {
            "string": pa.string(),
            "float64": pa.float64(),
            "int64": pa.int64(),
            "bool": pa.bool_(),
        }[column]
    return pa.struct([pa.field(name, _arrow(inner)) for name, inner in column.items()])


def features(config: ConfigName, *, criteria: Sequence[str]) -> list[dict[str, Any]]:
    """The columns as `datasets` writes them in the YAML of a card."""
    return [
        {"name": name, **_feature(column)}
        for name, column in columns(config, criteria=criteria).items()
    ]


def _feature(column: Column) -> dict[str, Any]:
    if isinstance(column, str):
        return {"dtype": column}
    if isinstance(column, ListOf):
        return {"list": _item(column.item)}
    return {"struct": _members(column)}


def _item(column: Column) -> Any:
    """What a list holds: a bare name, a nested list, or the members of a struct."""
    if isinstance(column, str):
        return column
    if isinstance(column, ListOf):
        return {"list": _item(column.item)}
    return _members(column)


def _members(struct: Mapping[str, Column]) -> list[dict[str, Any]]:
    return [{"name": name, **_feature(inner)} for name, inner in struct.items()]
