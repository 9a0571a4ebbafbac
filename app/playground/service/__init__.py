"""Changes to conversations: what people ask for, and what a worker may write."""

from app.playground.service.asking import ask, forget, stop, type_reply
from app.playground.service.sending import Sent, send
from app.playground.service.working import (
    begin,
    close,
    end_answer,
    end_silent,
    fail_answer,
    grow,
    hold,
    leave_unread,
    mark_loading,
    note_error,
    note_reading,
)

__all__ = [
    "Sent",
    "ask",
    "begin",
    "close",
    "end_answer",
    "end_silent",
    "fail_answer",
    "forget",
    "grow",
    "hold",
    "leave_unread",
    "mark_loading",
    "note_error",
    "note_reading",
    "send",
    "stop",
    "type_reply",
]
