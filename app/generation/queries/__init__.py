"""Reads of generations: who writes, what is written so far, and whether choosing pays."""

from app.generation.queries.arms import ArmFacts, arm_facts
from app.generation.queries.generations import (
    Progress,
    endpoint_in,
    endpoints_of,
    generation_in,
    generations_of,
    is_by_endpoints,
    problems_of,
    progress_of,
    samples_of,
    turns_in,
    writers_of,
    writing_checkpoints,
)
from app.generation.queries.prompts import counted, fitting, sources_of, tags_of

__all__ = [
    "ArmFacts",
    "Progress",
    "arm_facts",
    "counted",
    "endpoint_in",
    "endpoints_of",
    "fitting",
    "generation_in",
    "generations_of",
    "is_by_endpoints",
    "problems_of",
    "progress_of",
    "samples_of",
    "sources_of",
    "tags_of",
    "turns_in",
    "writers_of",
    "writing_checkpoints",
]
