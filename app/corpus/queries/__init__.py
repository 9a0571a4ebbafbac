"""Reads of prompts, responses and imports."""

from app.corpus.queries.imports import (
    count_imports,
    import_by_id,
    imports_of,
    imports_without_job,
    is_over,
    known_imports,
    lines_to_mend,
    refused_lines,
    undoings_without_job,
    waiting_checks,
    waits_for,
)
from app.corpus.queries.prompts import (
    TASK_RESPONSE,
    Judgement,
    ListedPrompt,
    by_lot,
    count_prompts,
    judgements_of,
    prompt_by_id,
    prompts_of,
    responses_of,
)
from app.corpus.queries.undoing import Undoing, is_generating, undoing_of

__all__ = [
    "TASK_RESPONSE",
    "Judgement",
    "ListedPrompt",
    "Undoing",
    "by_lot",
    "count_imports",
    "count_prompts",
    "import_by_id",
    "imports_of",
    "imports_without_job",
    "is_generating",
    "is_over",
    "judgements_of",
    "known_imports",
    "lines_to_mend",
    "prompt_by_id",
    "prompts_of",
    "refused_lines",
    "responses_of",
    "undoing_of",
    "undoings_without_job",
    "waiting_checks",
    "waits_for",
]
