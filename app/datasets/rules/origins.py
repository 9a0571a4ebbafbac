"""Where the prompts of a dataset come from, in which languages, and under what licence."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

MOST_NAMED = 30
_TAG = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*", re.ASCII)
# SPDX identifiers that suit data, and what the Hugging Face Hub calls the same.
LICENCES = {
    "CC0-1.0": "cc0-1.0",
    "CC-BY-4.0": "cc-by-4.0",
    "CC-BY-SA-4.0": "cc-by-sa-4.0",
    "CC-BY-NC-4.0": "cc-by-nc-4.0",
    "CC-BY-NC-SA-4.0": "cc-by-nc-sa-4.0",
    "CC-BY-ND-4.0": "cc-by-nd-4.0",
    "CC-BY-NC-ND-4.0": "cc-by-nc-nd-4.0",
    "ODC-By-1.0": "odc-by",
    "ODbL-1.0": "odbl",
    "PDDL-1.0": "pddl",
    "CDLA-Permissive-2.0": "cdla-permissive-2.0",
    "CDLA-Sharing-1.0": "cdla-sharing-1.0",
    "Apache-2.0": "apache-2.0",
    "MIT": "mit",
}
_ON_THE_HUB = {spdx.lower(): hub for spdx, hub in LICENCES.items()} | {
    hub: hub for hub in LICENCES.values()
}


def licence_fields(licence: str | None) -> dict[str, str]:
    """How a dataset card names the licence: by the hub's word, or as another one with its name."""
    if not licence:
        return {}
    known = _ON_THE_HUB.get(licence.lower())
    return {"license": known} if known else {"license": "other", "license_name": licence}


def language_tags(languages: Mapping[str, Any]) -> list[str]:
    """Those of the languages that are tags such as `en` or `pt-BR`, the commonest first."""
    return [name for name, _ in _in_order(languages.get("named", {})) if _TAG.fullmatch(name)]


def named(counted: Counter[str | None]) -> dict[str, Any]:
    """The commonest by name, how many have another one, and how many have none."""
    unknown = sum(number for name, number in counted.items() if not name)
    order = sorted((name for name in counted if name), key=lambda name: (-counted[name], name))
    return {
        "named": {name: counted[name] for name in order[:MOST_NAMED]},
        "others": sum(counted[name] for name in order[MOST_NAMED:]),
        "unknown": unknown,
    }


def _in_order(numbers: Mapping[str, int]) -> list[tuple[str, int]]:
    """The commonest first, however the database kept them."""
    return sorted(numbers.items(), key=lambda each: (-each[1], each[0]))


def shares(origin: Mapping[str, Any], *, most: int = MOST_NAMED) -> list[tuple[str, int, float]]:
    """(name, prompts, share of all in per cent): at most so many names, the rest together."""
    names = _in_order(origin["named"])
    rest = origin["others"] + sum(number for _, number in names[most:])
    rows = [*names[:most], ("others", rest), ("not said", origin["unknown"])]
    whole = sum(number for _, number in rows)
    return [(name, number, 100 * number / whole) for name, number in rows if number]
