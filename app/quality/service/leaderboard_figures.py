"""The standing of the sources of responses: computed and kept as one part of the figures."""

from collections.abc import Sequence

import numpy as np
from sqlalchemy.orm import Session

from app.db import JsonObject
from app.projects.models import Project
from app.quality.queries.consensus import response_sources
from app.quality.queries.crowd import Crowd
from app.quality.queries.tags import tasks_by_tag
from app.quality.rules.battles import ENOUGH_PEOPLE, Battles, battles_of, tables
from app.quality.rules.equal_length import AtEqualLength, at_equal_length
from app.quality.rules.intervals import Ints
from app.quality.rules.leaderboard import MIDDLE, PSEUDO, Entry, Standings, standings

MOST_SOURCES = 100  # with most comparisons
MOST_TAGS = 20  # with most comparisons


def leaderboard_figures(session: Session, *, project: Project, crowd: Crowd) -> JsonObject:
    """As JSON. `with_pseudo_counts` holds a board of all sources where some stand apart."""
    sources = response_sources(session, project=project, crowd=crowd)
    names, places = _busiest(sources.names, sources.places)
    judgements = crowd.judgements.once()
    battles = battles_of(
        judgements,
        places[judgements.task],
        n_sources=len(names),
        characters=sources.characters[judgements.task],
    )
    number = len(battles.comparisons)
    people = len(np.unique(battles.annotator))
    board: JsonObject = {
        "n_sources": len(sources.names),
        "n_comparisons": number,
        "n_judgements": len(np.unique(battles.judgement)),
        "n_tasks": len(np.unique(battles.task)),
        "n_annotators": people,
        "clustered_by": ["task", "annotator"] if people >= ENOUGH_PEOPLE else ["task"],
        "mean": MIDDLE,
        "pseudo": PSEUDO,
        "entries": [],
        "apart": [],
        "with_pseudo_counts": None,
        "matrix": None,
        "at_equal_length": None,
        "by_tag": [],
        "n_tags": 0,
    }
    if len(names) < len(sources.names):
        board["left_out"] = (
            f"Only the {MOST_SOURCES} sources with most comparisons are shown, "
            f"of {len(sources.names):,}."
        )
    if not number:
        return board | {"reason": _nothing_to_compare(sources.names)}
    found = standings(battles)
    board |= _standings_json(found, names)
    if found.reason or found.apart:
        board["with_pseudo_counts"] = _standings_json(standings(battles, pseudo=PSEUDO), names)
    by_tag = _by_tag(session, project, crowd, battles)
    return board | {
        "matrix": _matrix_json(battles, names, found),
        "at_equal_length": _equal_length_json(at_equal_length(battles, found), names),
        "by_tag": [_tag_json(tag, part, names) for tag, part in by_tag[:MOST_TAGS]],
        "n_tags": len(by_tag),
    }


def _by_tag(
    session: Session, project: Project, crowd: Crowd, battles: Battles
) -> list[tuple[str, Battles]]:
    """The comparisons of each tag's prompts, the tag with most of them first."""
    parts = []
    for tag, tasks in tasks_by_tag(session, project=project, crowd=crowd).items():
        has_it = np.zeros(len(crowd.tasks), np.bool_)
        has_it[tasks] = True
        rows = has_it[battles.task]
        if rows.any():
            parts.append((tag, rows))
    parts.sort(key=lambda part: (-int(part[1].sum()), part[0]))
    return [(tag, battles.where(rows)) for tag, rows in parts]


def _tag_json(tag: str, battles: Battles, names: Sequence[str]) -> JsonObject:
    return {
        "tag": tag,
        "n_tasks": len(np.unique(battles.task)),
        "n_comparisons": len(battles.comparisons),
        **_standings_json(standings(battles), names),
    }


def _equal_length_json(found: AtEqualLength, names: Sequence[str]) -> JsonObject:
    usual = found.usual_difference
    return {
        **_standings_json(found.standings, names),
        "longer_of_equals": found.longer.as_json(),
        "usual_difference": None if usual is None else round(usual, 1),
    }


def _nothing_to_compare(names: Sequence[str]) -> str:
    if not names:
        return "No response says where it comes from: import responses with a source."
    if len(names) == 1:
        return f"All responses come from one source, {names[0]}: there is nothing to compare."
    return "No judgement yet compares responses of two sources."


def _busiest(names: Sequence[str], places: Ints) -> tuple[Sequence[str], Ints]:
    if len(names) <= MOST_SOURCES:
        return names, places
    number = np.bincount(places[places >= 0], minlength=len(names))
    kept = np.sort(np.argsort(-number, kind="stable")[:MOST_SOURCES])
    renumbered = np.full(len(names) + 1, -1)  # the last stands for −1
    renumbered[kept] = np.arange(len(kept))
    return [names[place] for place in kept], renumbered[places]


def _standings_json(found: Standings, names: Sequence[str]) -> JsonObject:
    answer: JsonObject = {
        "entries": [_entry_json(entry, names) for entry in found.entries],
        "apart": [{"source": names[source], "why": why} for source, why in found.apart],
        "ties_of_equals": found.tie.as_json(),
        "left_of_equals": found.left.as_json(),
    }
    return answer if found.reason is None else answer | {"reason": found.reason}


def _entry_json(entry: Entry, names: Sequence[str]) -> JsonObject:
    number = entry.wins + entry.ties + entry.losses
    return {
        "source": names[entry.source],
        "score": entry.score.as_json(),
        "rank": list(entry.rank),
        "n_comparisons": number,
        "wins": entry.wins,
        "ties": entry.ties,
        "losses": entry.losses,
        "win_share": round((entry.wins + entry.ties / 2) / number, 6) if number else None,
        "better_than_next": entry.better_than_next and entry.better_than_next.as_json(),
    }


def _matrix_json(battles: Battles, names: Sequence[str], found: Standings) -> JsonObject:
    """Wins of the row over the column and ties, best source first, those apart at the end."""
    wins, ties = tables(battles.comparisons)
    order = [entry.source for entry in found.entries]
    order += [source for source in range(len(names)) if source not in set(order)]
    return {
        "sources": [names[source] for source in order],
        "wins": wins[np.ix_(order, order)].tolist(),
        "ties": ties[np.ix_(order, order)].tolist(),
    }
