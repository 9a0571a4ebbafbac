"""Client of OpenAI-compatible chat endpoints (`/v1/chat/completions`).

Redirects are not followed, proxies of the environment not used.
"""

from app.completions.addresses import Unusable, address_of, allowed, is_refused
from app.completions.replies import BadReply, Piece, Reply, reply_of, retry_after
from app.completions.writer import KEYS, Interrupted, Target, Writer

__all__ = [
    "KEYS",
    "BadReply",
    "Interrupted",
    "Piece",
    "Reply",
    "Target",
    "Unusable",
    "Writer",
    "address_of",
    "allowed",
    "is_refused",
    "reply_of",
    "retry_after",
]
