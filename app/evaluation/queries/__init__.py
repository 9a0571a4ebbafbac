"""Reads of evaluations, of what people say in them, and of promotions."""

from app.evaluation.queries.drawing import (
    best_judged,
    draw,
    sources_of,
    tags_of,
    taught_by,
)
from app.evaluation.queries.promotions import (
    promoted,
    promotion_in,
    promotions_of,
    rule_of,
)
from app.evaluation.queries.reading import (
    Verdict,
    being_judged,
    closed_lately,
    evaluation_in,
    evaluations_of,
    is_judged_by_simulated,
    judgements_asked,
    judgements_of,
    names_of,
    standing_of,
    tasks_of,
    verdict,
    verdict_from,
)
from app.evaluation.queries.scores import (
    Example,
    best_of_of,
    examples,
    first_pairs,
    left_out,
    scored_prompts,
)

__all__ = [
    "Example",
    "Verdict",
    "being_judged",
    "best_judged",
    "best_of_of",
    "closed_lately",
    "draw",
    "evaluation_in",
    "evaluations_of",
    "examples",
    "first_pairs",
    "is_judged_by_simulated",
    "judgements_asked",
    "judgements_of",
    "left_out",
    "names_of",
    "promoted",
    "promotion_in",
    "promotions_of",
    "rule_of",
    "scored_prompts",
    "sources_of",
    "standing_of",
    "tags_of",
    "tasks_of",
    "taught_by",
    "verdict",
    "verdict_from",
]
