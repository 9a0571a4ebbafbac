"""How sure the answers are, and how people err: computed and kept as one part of the figures."""

from collections.abc import Iterator, Mapping
from uuid import UUID

from sqlalchemy.orm import Session

from app.annotation.rules import DEFAULT_CONFIDENCE
from app.db import JsonObject
from app.projects.models import Project
from app.quality.queries import consensus as queries
from app.quality.queries.consensus import GoldAnswer
from app.quality.queries.crowd import Crowd
from app.quality.rules.annotators import task_disagreement
from app.quality.rules.answers import Answers, KnownVote, answers
from app.quality.rules.dawid_skene import FIRST, TIE


def confidence_of(project: Project) -> float:
    return project.overlap_confidence or DEFAULT_CONFIDENCE


def consensus_figures(session: Session, *, project: Project, crowd: Crowd) -> JsonObject:
    """As JSON, people and tasks by their ids.

    `uncertain` holds `{task_id, posterior, n_annotations, disagreement, ranks, majority}`, least
    certain first: `ranks` is the model's answer by canonical position, `majority` that of the
    majority, null where it is even; `disagreement` is null where one person judged.
    """
    settled = queries.adjudicated_ranks(session, project=project)
    codes = queries.codes_of(crowd, queries.halves_of(list(settled)))
    ids = crowd.annotator_ids()
    figures = answers(
        crowd.judgements,
        n_annotators=len(ids),
        adjudicated={
            int(code): ranks
            for code, ranks in zip(codes, settled.values(), strict=True)
            if code >= 0
        },
        known=list(
            known_votes(
                queries.answers_to_gold(session, project=project),
                {user_id: code for code, user_id in enumerate(ids)},
            )
        ),
        ties=project.allow_ties or crowd.judgements.once().has_ties,
        confidence=confidence_of(project),
    )
    return _as_json(figures, crowd, confidence_of(project))


def known_votes(given: list[GoldAnswer], codes: Mapping[UUID, int]) -> Iterator[KnownVote]:
    """Every pair that a key speaks of; a tie that it lets pass is neither right nor wrong."""
    for answer in given:
        code = codes.get(answer.user_id)
        if code is None:
            continue
        pairs = [(i, j, FIRST) for i, j in answer.prefers]
        pairs += [(i, j, TIE) for i, j in answer.equal]
        for i, j, truth in pairs:
            tied = answer.ranks[i] == answer.ranks[j]
            if tied and truth == FIRST and answer.ties_allowed:
                continue
            order = answer.display_order
            yield KnownVote(
                annotator=code,
                truth=truth,
                said=TIE
                + (answer.ranks[i] > answer.ranks[j])
                - (answer.ranks[i] < answer.ranks[j]),
                is_mirrored=None if order is None else order.index(i) > order.index(j),
            )


def _as_json(figures: Answers, crowd: Crowd, confidence: float) -> JsonObject:
    ids = [str(user_id) for user_id in crowd.annotator_ids()]
    shared, differ = task_disagreement(crowd.judgements.once())
    disagreement = dict(zip(shared.tolist(), differ.round(6).tolist(), strict=True))
    methods = figures.methods
    return {
        "confidence": confidence,
        "n_open": figures.n_open,
        "n_confident": figures.n_confident,
        "n_adjudicated": methods.adjudicated,
        "share_of_ties": round(figures.share_of_ties, 6),
        "histogram": figures.histogram.tolist(),
        "methods": {name: getattr(methods, name) for name in methods.__slots__},
        "uncertain": [
            {
                "task_id": str(crowd.task_id(answer.task)),
                "posterior": round(answer.posterior, 6),
                "n_annotations": answer.n_annotations,
                "disagreement": disagreement.get(answer.task),
                "ranks": list(answer.ranks),
                "majority": None if answer.majority is None else list(answer.majority),
            }
            for answer in figures.uncertain
        ],
        "annotators": [
            {
                "user_id": ids[person.annotator],
                "n_annotations": person.n_annotations,
                "n_known": person.n_known,
                "two_sided": person.two_sided,
                "matrix": person.matrix.round(6).tolist(),
                "accuracy": person.accuracy.as_json(),
            }
            for person in figures.people
        ],
    }
