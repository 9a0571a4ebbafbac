"""Files of other programs, read line by line: what kind they are, and what each line says."""

from app.corpus.formats.lines import Limits
from app.corpus.formats.looking import look_at, telling_keys
from app.corpus.formats.reading import FORMATS, Read, checked_format, read_file
from app.corpus.formats.refusals import Refusals
from app.corpus.formats.rows import (
    BadFile,
    BadLine,
    ImportedAnnotation,
    ImportedGold,
    ImportedResponse,
    ImportedTask,
    Message,
)
from app.corpus.formats.survey import Survey

__all__ = [
    "FORMATS",
    "BadFile",
    "BadLine",
    "ImportedAnnotation",
    "ImportedGold",
    "ImportedResponse",
    "ImportedTask",
    "Limits",
    "Message",
    "Read",
    "Refusals",
    "Survey",
    "checked_format",
    "look_at",
    "read_file",
    "telling_keys",
]
