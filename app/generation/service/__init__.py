"""Changes to generations and endpoints: what people ask for, and what a worker may write."""

from app.generation.service.attempts import (
    advance_generation,
    begin_generation,
    end_generation,
    hold_generation,
    release_generation,
    requeue_lost_generations,
)
from app.generation.service.choosing import choose_prompts
from app.generation.service.endpoints import (
    add_endpoint,
    remove_endpoint,
    target_of,
    usable_endpoint,
)
from app.generation.service.keeping import keep_most_doubtful
from app.generation.service.opening import (
    cancel_generation,
    open_generation,
    resume_generation,
)
from app.generation.service.storing import NewWriting, finish_rest, store

__all__ = [
    "NewWriting",
    "add_endpoint",
    "advance_generation",
    "begin_generation",
    "cancel_generation",
    "choose_prompts",
    "end_generation",
    "finish_rest",
    "hold_generation",
    "keep_most_doubtful",
    "open_generation",
    "release_generation",
    "remove_endpoint",
    "requeue_lost_generations",
    "resume_generation",
    "store",
    "target_of",
    "usable_endpoint",
]
