"""A whole project as lines of `touchstone`: what another installation imports to have it all."""

import gzip
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, cast
from uuid import UUID

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.accounts.service import audit
from app.annotation.models import Annotation
from app.annotation.rules import is_source
from app.corpus.formats.touchstone import ANNOTATION_KEYS, TASK_KEYS, TIMES
from app.corpus.models import Prompt, Response
from app.datasets import queries
from app.datasets.rules.identity import canonical_json, pseudonym
from app.datasets.schemas import Annotators
from app.db import JsonObject, transaction
from app.projects.models import Membership, Project
from app.quality.models import Adjudication
from app.tasks.models import GoldKey, Task, TaskKind, TaskResponse

Names = Mapping[UUID, str]

_PSEUDONYM = re.compile(r"annotator-[0-9a-f]{12}")
_LONGEST_NAME = 200  # that an import takes
_LEVEL = 1  # of gzip
_RESPONSE_KEYS = frozenset({"text", "source", "sampling"})


def export_project(
    *,
    project_id: UUID,
    file: Path,
    annotators: Annotators = Annotators.PSEUDONYMS,
    by: User | None = None,
    beat: Callable[[], None] = lambda: None,
) -> int:
    """Write everything of a project to `file`, as of one moment; answers how many lines.

    The order of lines, and of what stands in one, hangs on content alone: what was exported, then
    imported elsewhere and exported there, is the same to the byte. A name that ends in .gz is
    compressed. `beat` is called for each prompt.
    """
    number = 0
    with transaction() as session, _opened(file) as target:
        queries.see_one_moment(session)
        project = session.get_one(Project, project_id)
        names = _names(session, project=project, annotators=annotators)
        versions = project.guidelines_version > 1  # else each judgement was made under the first
        for lines in _lines(session, project=project, names=names, versions=versions):
            beat()
            number += len(lines)
            target.writelines(canonical_json(line) + b"\n" for line in lines)
    with transaction() as session:
        audit(
            session,
            user=by,
            action="project.export",
            target=session.get_one(Project, project_id).name,
            project_id=project_id,
            annotators=annotators.value,
        )
    return number


@contextmanager
def _opened(file: Path) -> Iterator[IO[bytes]]:
    """A new file to write to; a compressed one tells neither name nor time."""
    with file.open("xb") as plain:
        if file.suffix != ".gz":
            yield plain
            return
        with gzip.GzipFile("", "wb", compresslevel=_LEVEL, fileobj=plain, mtime=0) as packed:
            yield cast("IO[bytes]", packed)


def _names(session: Session, *, project: Project, annotators: Annotators) -> Names:
    """What each person who judged is called: by one name each, and none like that of a source."""
    judged = select(Annotation.user_id).where(Annotation.project_id == project.id).distinct()
    people = session.execute(
        select(User.id, User.name, User.email, Membership.imported_name)
        .outerjoin(
            Membership, (Membership.user_id == User.id) & (Membership.project_id == project.id)
        )
        .where(User.id.in_(judged))
    ).all()
    wanted = {each.id: " ".join((each.imported_name or each.name).split()) for each in people}
    number = Counter(wanted.values())
    names = {}
    for each in people:
        name = wanted[each.id]
        if number[name] > 1 and each.email:
            name = each.email
        is_usable = 0 < len(name) <= _LONGEST_NAME and not is_source(name)
        is_known = is_usable and _PSEUDONYM.fullmatch(name) is not None  # it came with the data
        if not is_usable or (annotators is Annotators.PSEUDONYMS and not is_known):
            name = pseudonym(project.id, each.id)
        names[each.id] = name
    return names


def _lines(
    session: Session, *, project: Project, names: Names, versions: bool
) -> Iterator[list[JsonObject]]:
    """The lines of one prompt after the other, sorted by content hash; memory is flat."""
    prompts = (
        select(
            Prompt.id,
            Prompt.messages,
            Prompt.system,
            Prompt.source,
            Prompt.tags,
            Prompt.language,
            Prompt.expertise,
            Prompt.external_id,
            Prompt.meta,
        )
        .where(Prompt.project_id == project.id)
        .order_by(Prompt.content_hash)
        .execution_options(yield_per=queries.BATCH)
    )
    with session.execute(prompts) as cursor:
        for batch in cursor.partitions():
            yield from _of_prompts(session, batch, names=names, versions=versions)


def _of_prompts(
    session: Session, prompts: Sequence[Row[Any]], *, names: Names, versions: bool
) -> Iterator[list[JsonObject]]:
    asked = queries.numbered([prompt.id for prompt in prompts])
    tasks: list[list[Row[Any]]] = [[] for _ in prompts]
    for row in session.execute(
        select(
            asked.c.number,
            Task.id,
            Task.kind,
            Task.external_id,
            Task.meta,
            GoldKey.prefers,
            GoldKey.equal,
            GoldKey.ties_allowed,
            GoldKey.explanation,
            GoldKey.suspended_at,
            GoldKey.suspend_reason,
        )
        .join(Task, Task.prompt_id == asked.c.id)
        .outerjoin(GoldKey, GoldKey.task_id == Task.id)
    ):
        tasks[row.number - 1].append(row)
    ids = [task.id for of_prompt in tasks for task in of_prompt]
    responses, hashes = _responses(session, task_ids=ids)
    for of_prompt in tasks:
        of_prompt.sort(key=lambda task: hashes[task.id])
    annotations = _annotations(session, tasks=tasks, names=names, versions=versions)
    settled = _adjudications(session, task_ids=ids)
    for prompt, of_prompt in zip(prompts, tasks, strict=True):
        about = _about(prompt)
        lines = []
        told = {task.external_id for task in of_prompt}
        if not of_prompt or prompt.meta or prompt.external_id not in {None, *told}:
            lines.append(_line(prompt.external_id, about, {"responses": None}, prompt.meta))
        for task in of_prompt:
            said = {
                "responses": responses[task.id],
                "gold": _gold(task),
                "annotations": annotations.get(task.id),
                "adjudication": settled.get(task.id) if task.kind is TaskKind.ORDINARY else None,
            }
            lines.append(_line(task.external_id, about, said, task.meta))
        yield lines


def _line(
    external_id: str | None, about: JsonObject, said: JsonObject, meta: Mapping[str, Any]
) -> JsonObject:
    line = {"id": external_id, **about, **said}
    present = {key: value for key, value in line.items() if value or key == "responses"}
    return present | _further(meta, known=TASK_KEYS)


def _about(prompt: Row[Any]) -> JsonObject:
    return {
        "prompt": [
            {"role": message["role"], "content": message["content"]} for message in prompt.messages
        ],
        "system": prompt.system,
        "source": prompt.source,
        "tags": prompt.tags,
        "language": prompt.language,
        "expertise": prompt.expertise,
    }


def _further(meta: Mapping[str, Any], *, known: frozenset[str]) -> JsonObject:
    """What else a file said. A key that means something in this format gets another name."""
    return {
        f"meta.{key}" if key in known else key: value
        for key, value in meta.items()
        if value is not None
    }


def _responses(
    session: Session, *, task_ids: Sequence[UUID]
) -> tuple[dict[UUID, list[JsonObject]], dict[UUID, list[bytes]]]:
    """Of each task, in canonical order (which gold keys and ranks count by); and their hashes."""
    found: dict[UUID, list[JsonObject]] = {task_id: [] for task_id in task_ids}
    hashes: dict[UUID, list[bytes]] = {task_id: [] for task_id in task_ids}
    asked = queries.numbered(task_ids)
    for row in session.execute(
        select(
            TaskResponse.task_id,
            Response.content_hash,
            Response.text,
            Response.source,
            Response.sampling,
            Response.meta,
        )
        .select_from(asked)
        .join(TaskResponse, TaskResponse.task_id == asked.c.id)
        .join(Response, Response.id == TaskResponse.response_id)
        .order_by(TaskResponse.task_id, TaskResponse.position)
    ):
        response = {"text": row.text}
        response |= {
            key: value
            for key, value in (("source", row.source), ("sampling", row.sampling))
            if value is not None
        }
        found[row.task_id].append(response | _further(row.meta, known=_RESPONSE_KEYS))
        hashes[row.task_id].append(row.content_hash)
    return found, hashes


def _gold(task: Row[Any]) -> JsonObject | None:
    if task.prefers is None:
        return None
    gold: JsonObject = {"prefers": task.prefers}
    if task.equal:
        gold["equal"] = task.equal
    if task.ties_allowed:
        gold["ties_allowed"] = True
    if task.explanation:
        gold["explanation"] = task.explanation
    if task.kind is TaskKind.QUALIFICATION:
        gold["qualification"] = True
    if task.suspended_at is not None:
        gold["suspended"] = task.suspend_reason or ""
    return gold


def _adjudications(session: Session, *, task_ids: Sequence[UUID]) -> dict[UUID, JsonObject]:
    """Of each task, the one that holds; who settled it stays here."""
    asked = queries.numbered(task_ids)
    newest = (
        select(
            Adjudication.task_id, Adjudication.ranks, Adjudication.reason, Adjudication.created_at
        )
        .select_from(asked)
        .join(Adjudication, Adjudication.task_id == asked.c.id)
        .where(Adjudication.withdrawn_at.is_(None))
        .order_by(Adjudication.task_id, Adjudication.created_at, Adjudication.id.desc())
    )
    return {
        row.task_id: {
            "ranks": row.ranks,
            "reason": row.reason,
            "created_at": _in_utc(row.created_at),
        }
        for row in session.execute(newest)
    }


def _in_utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _annotations(
    session: Session,
    *,
    tasks: Sequence[Sequence[Row[Any]]],
    names: Names,
    versions: bool,
) -> dict[UUID, list[JsonObject]]:
    """Of each task, every current judgement: first the first of each person, then repeats."""
    kinds = {task.id: task.kind for of_prompt in tasks for task in of_prompt}
    if not kinds:
        return {}
    asked = queries.numbered(list(kinds))
    rows = session.execute(
        select(
            Annotation.task_id,
            Annotation.user_id,
            Annotation.source,
            Annotation.ranks,
            Annotation.strength,
            Annotation.ratings,
            Annotation.flags,
            Annotation.rationale,
            Annotation.rewrite,
            Annotation.submitted_at,
            Annotation.counted,
            Annotation.is_repeat,
            Annotation.meta,
            Annotation.guidelines_version,
            *(getattr(Annotation, name) for name in TIMES),
        )
        .select_from(asked)
        .join(Annotation, Annotation.task_id == asked.c.id)
        .where(Annotation.is_current)
        .order_by(Annotation.task_id, Annotation.is_repeat, Annotation.submitted_at)
    )
    said: dict[UUID, list[tuple[bool, datetime, bytes, JsonObject]]] = {}
    met: set[tuple[UUID, str]] = set()
    for row in rows:
        name = names[row.user_id] if row.user_id else row.source
        again = (row.task_id, name) in met
        met.add((row.task_id, name))
        is_counted = row.counted or again or not row.user_id
        is_ordinary = kinds[row.task_id] is TaskKind.ORDINARY
        line = _annotation(row, name=name, is_left_out=is_ordinary and not is_counted)
        if versions:
            line["guidelines_version"] = row.guidelines_version
        place = (again, row.submitted_at, canonical_json(line), line)
        said.setdefault(row.task_id, []).append(place)
    return {
        task_id: [line for *_, line in sorted(of_task, key=lambda place: place[:3])]
        for task_id, of_task in said.items()
    }


def _annotation(row: Any, *, name: str, is_left_out: bool) -> JsonObject:
    size = len(row.ranks)
    line: JsonObject = {"annotator": name, "ranks": row.ranks}
    if row.strength is not None:
        line["strength"] = row.strength
    if row.ratings:
        ratings = queries.ratings_in_order(row.ratings, range(size))
        line["ratings"] = {criterion: ratings[criterion] for criterion in sorted(ratings)}
    if row.flags:
        line["flags"] = [row.flags.get(str(position), []) for position in range(size)]
    if row.rationale:
        line["rationale"] = row.rationale
    if row.rewrite:
        line["rewrite"] = row.rewrite
    if is_left_out:
        line["counted"] = False
    line["created_at"] = _in_utc(row.submitted_at)
    times = {name: getattr(row, name) for name in TIMES if getattr(row, name) is not None}
    if times:
        line["times"] = times
    return line | _further(row.meta or {}, known=ANNOTATION_KEYS)
