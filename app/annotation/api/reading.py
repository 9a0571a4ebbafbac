"""Two more views of a task's texts, for its annotator: as written, and compared word by word."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from app.annotation import queries
from app.annotation.auth import OwnAssignment
from app.db import SessionDep
from app.errors import Invalid
from app.web.difference import difference, is_by_words
from app.web.text import plain

router = APIRouter(tags=["annotation"])


class SourceOut(BaseModel):
    """The texts as safe HTML, character for character; what is invisible is marked."""

    prompt: list[str]
    responses: dict[str, str]


class DifferenceOut(BaseModel):
    """Safe HTML by label: `ins` stands only in this response, `del` only in the one `against`."""

    against: str
    unit: str
    responses: dict[str, str]


@router.get("/assignments/{assignment_id}/source")
def source(session: SessionDep, own: OwnAssignment) -> SourceOut:
    """The texts of a task before Markdown, LaTeX and code were rendered."""
    view = queries.assignment_view(session, assignment=own.assignment, project=own.project)
    written = [view.prompt.system or "", *(each["content"] for each in view.prompt.messages)]
    return SourceOut(
        prompt=[plain(text) for text in written if text],
        responses={each.label: plain(each.text) for each in view.responses},
    )


@router.get("/assignments/{assignment_id}/difference")
def word_difference(
    session: SessionDep,
    own: OwnAssignment,
    against: Annotated[str, Query(description="A label; of a pair each is shown as it is.")] = "A",
) -> DifferenceOut:
    """How the words of each response differ from one of them; by line where they are long."""
    view = queries.assignment_view(session, assignment=own.assignment, project=own.project)
    texts = {each.label: each.text for each in view.responses}
    if against not in texts:
        raise Invalid(f"There is no response {against} here; there are {', '.join(texts)}.")
    is_pair = len(texts) == 2
    compared = {
        label: difference(text, texts[against], with_other=not is_pair)
        for label, text in texts.items()
        if label != against
    }
    if is_pair:
        (other,) = set(texts) - {against}
        compared[against] = difference(texts[against], texts[other])
    return DifferenceOut(
        against=against,
        unit="word" if is_by_words(*texts.values()) else "line",
        responses={label: compared.get(label, plain(texts[label])) for label in texts},
    )
