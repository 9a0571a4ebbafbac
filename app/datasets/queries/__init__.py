"""Reads for datasets: snapshots, and everything judged in a project, prompt by prompt."""

from app.datasets.queries.judged import (
    BATCH,
    judged_prompt,
    judged_prompts,
    number_of_prompts,
    numbered,
    prompts_alone,
    ratings_in_order,
    see_moment_of,
    see_one_moment,
    share_moment,
)
from app.datasets.queries.people import (
    is_uuid,
    people_called,
    people_kept_out,
    people_who_fail_gold,
)
from app.datasets.queries.snapshots import (
    checkpoints_behind,
    guidelines_versions,
    imports_behind,
    removals_in,
    replacement_of,
    snapshot_for,
    snapshots_of,
)

__all__ = [
    "BATCH",
    "checkpoints_behind",
    "guidelines_versions",
    "imports_behind",
    "is_uuid",
    "judged_prompt",
    "judged_prompts",
    "number_of_prompts",
    "numbered",
    "people_called",
    "people_kept_out",
    "people_who_fail_gold",
    "prompts_alone",
    "ratings_in_order",
    "removals_in",
    "replacement_of",
    "see_moment_of",
    "see_one_moment",
    "share_moment",
    "snapshot_for",
    "snapshots_of",
]
