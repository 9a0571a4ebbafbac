"""A project leaves as `touchstone` lines and comes back elsewhere, to the byte."""

import gzip
import json
from datetime import UTC, datetime

import pytest
from sqlalchemy import select, update

from app.annotation.models import Annotation
from app.corpus.models import Prompt
from app.datasets.schemas import Annotators
from app.tasks.models import GoldKey, Task, TaskKind
from tests.corpus.files import brought_in, counts, json_lines, problems
from tests.factories import make_annotation, make_project, make_question, make_task

CRITERIA = [
    {"key": "truth", "label": "True", "min": 1, "max": 5},
    {"key": "tone", "label": "Tone", "min": 1, "max": 5},
]
AT = "2026-01-02T03:04:05.678901Z"
LINES = [
    {
        "id": "q-1",
        "prompt": [
            {"role": "user", "content": "Hi\u2028 =1+1"},
            {"role": "assistant", "content": "\n\nHuman: hm"},
            {"role": "user", "content": " \u202eבּ e\u0301 👩‍👩‍👧\r\n"},
        ],
        "system": "Be brief.",
        "source": "helpdesk",
        "tags": ["a", "b"],
        "language": "en",
        "expertise": ["law"],
        "responses": [
            {"text": "B", "source": "model:b", "sampling": {"temperature": 0.7}, "score": 1.5},
            {"text": ""},
            {"text": "A\r", "meta.text": "kept", "n": 12345678901234567890},
        ],
        "annotations": [
            {
                "annotator": "Ana",
                "ranks": [1, 2, 2],
                "ratings": {"tone": [1, None, 3], "truth": [5, 4, None]},
                "flags": [[], ["pii", "unsafe"], []],
                "rationale": "why\n",
                "rewrite": "Better.",
                "created_at": AT,
            },
            {"annotator": "Bea", "ranks": [3, 1, 1], "counted": False, "created_at": AT},
            {"annotator": "dataset:old", "ranks": [1, 1, 1], "created_at": AT},
            {"annotator": "Ana", "ranks": [1, 3, 2], "created_at": AT},
        ],
        "difficulty": {"level": [1, 2.5, None]},
    },
    {"id": 7, "prompt": "Gold?", "responses": ["yes", "no"],
     "gold": {"prefers": [[1, 0]], "ties_allowed": True, "explanation": "It is."},
     "annotations": [{"annotator": "Ana", "ranks": [2, 1], "strength": 2, "created_at": AT}]},
    {"prompt": "Qualified?", "responses": ["yes", "no"],
     "gold": {"prefers": [[0, 1]], "qualification": True}},
    {"prompt": "Suspended?", "responses": ["yes", "no", "hm"],
     "gold": {"prefers": [[0, 1]], "equal": [[1, 2]], "suspended": "People disagree."}},
    {"id": "waits", "prompt": "Nobody answered", "responses": None, "topic": "x"},
    {"prompt": "Nobody answered", "responses": ["now", "or then"]},
    {"prompt": "Gold?", "responses": ["yes", "perhaps"]},
    {"prompt": "Gold?", "responses": ["yes", "perhaps", "no"]},
]  # fmt: skip


@pytest.fixture
def place(session, ada):
    """Projects that can hold the lines."""

    def place(name):
        return make_project(session, name, by=ada, criteria=CRITERIA)

    return place


def lines_of(file):
    return [json.loads(line) for line in file.read_bytes().split(b"\n") if line]


def test_what_was_exported_and_imported_is_exported_the_same(session, place, export, tmp_path):
    here, there = place("Here"), place("There")
    row = brought_in(session, here, json_lines(tmp_path / "in.jsonl", LINES))
    assert (row.state, problems(row)) == ("succeeded", {})
    first = export(here)
    row = brought_in(session, there, first)
    assert (row.state, problems(row)) == ("succeeded", {})
    assert export(there).read_bytes() == first.read_bytes()
    assert counts(session, here) == counts(session, there)


def test_every_line_says_what_came(session, place, export, tmp_path):
    here = place("Here")
    brought_in(session, here, json_lines(tmp_path / "in.jsonl", LINES))
    by_prompt = {}
    for line in lines_of(export(here)):
        by_prompt.setdefault(line["prompt"][-1]["content"], []).append(line)
    assert len(by_prompt["Gold?"]) == 3
    (whole,) = by_prompt[LINES[0]["prompt"][-1]["content"]]
    order = [line["text"] for line in whole["responses"]]
    assert {key: value for key, value in whole.items() if key != "annotations"} == {
        key: value for key, value in LINES[0].items() if key != "annotations"
    }
    assert order == ["B", "", "A\r"]
    assert sorted(whole["annotations"], key=str) == sorted(LINES[0]["annotations"], key=str)
    (gold,) = [line for line in by_prompt["Gold?"] if "gold" in line]
    assert (gold["gold"], gold["id"]) == (LINES[1]["gold"], "7")
    assert by_prompt["Suspended?"][0]["gold"] == LINES[3]["gold"]
    assert by_prompt["Qualified?"][0]["gold"]["qualification"] is True
    assert by_prompt["Nobody answered"][0]["responses"] is None
    assert len(by_prompt["Nobody answered"]) == 2


def test_kinds_standing_and_counters_come_back(session, place, export, tmp_path):
    here, there = place("Here"), place("There")
    brought_in(session, here, json_lines(tmp_path / "in.jsonl", LINES))
    brought_in(session, there, export(here))

    def standing(project):
        tasks = session.execute(
            select(Prompt.messages, Task.kind, Task.counted, Task.wanted, GoldKey.suspend_reason)
            .join(Task, Task.prompt_id == Prompt.id)
            .outerjoin(GoldKey, GoldKey.task_id == Task.id)
            .where(Task.project_id == project.id)
        ).all()
        judged = session.execute(
            select(Annotation.counted, Annotation.is_repeat, Annotation.ranks, Annotation.flags)
            .where(Annotation.project_id == project.id)
            .order_by(Annotation.ranks, Annotation.is_repeat, Annotation.counted)
        ).all()
        return sorted(map(str, tasks)), judged

    assert standing(here) == standing(there)
    assert set(session.scalars(select(Task.kind))) == set(TaskKind)


def test_the_order_of_lines_hangs_on_content_alone(session, place, export, tmp_path):
    here, there = place("Here"), place("There")
    brought_in(session, here, json_lines(tmp_path / "in.jsonl", LINES[:5]))
    for number, line in enumerate(reversed(LINES[:5])):
        brought_in(session, there, json_lines(tmp_path / f"{number}.jsonl", [line]))
    assert export(here).read_bytes() == export(there).read_bytes()


def test_people_have_pseudonyms_unless_their_names_are_asked_for(
    session, project, ana, rui, export
):
    task = make_task(session, project, wanted=2)
    make_annotation(session, task, ana, ranks=[1, 2])
    make_annotation(session, task, rui, ranks=[2, 1])
    content = export(project, Annotators.PSEUDONYMS).read_text()
    assert ana.name not in content
    assert ana.email not in content
    hidden = {each["annotator"] for each in json.loads(content)["annotations"]}
    assert all(name.startswith("annotator-") for name in hidden)
    assert len(hidden) == 2
    (line,) = lines_of(export(project))
    assert {each["annotator"] for each in line["annotations"]} == {ana.name, rui.name}


def test_pseudonyms_stay_when_the_file_moves_on(session, place, project, ana, export):
    make_annotation(session, make_task(session, project), ana, ranks=[1, 2])
    first = export(project, Annotators.PSEUDONYMS)
    there = place("There")
    brought_in(session, there, first)
    assert export(there, Annotators.PSEUDONYMS).read_bytes() == first.read_bytes()


def test_two_people_of_one_name_stay_two(session, project, ana, rui, export):
    rui.name = ana.name
    task = make_task(session, project, wanted=2)
    make_annotation(session, task, ana, ranks=[1, 2])
    make_annotation(session, task, rui, ranks=[2, 1])
    (line,) = lines_of(export(project))
    assert {each["annotator"] for each in line["annotations"]} == {ana.email, rui.email}


def test_nobody_becomes_a_source_by_her_name(session, project, ana, export):
    ana.name = "model:ana"
    make_annotation(session, make_task(session, project), ana, ranks=[1, 2])
    (line,) = lines_of(export(project))
    assert line["annotations"][0]["annotator"].startswith("annotator-")


def test_only_the_current_revision_leaves_and_a_late_one_is_marked(session, project, ana, export):
    task = make_task(session, project)
    late = make_annotation(session, task, ana, ranks=[1, 2], flags={"1": ["unsafe"]})
    late.counted = False
    session.flush()
    session.execute(update(Task).values(counted=0))
    (line,) = lines_of(export(project))
    (judged,) = line["annotations"]
    assert (judged["counted"], judged["flags"]) == (False, [[], ["unsafe"]])


def test_the_moment_is_kept_to_the_microsecond(session, project, ana, export):
    moment = datetime(2026, 3, 4, 5, 6, 7, 890123, tzinfo=UTC)
    make_annotation(session, make_task(session, project), ana, ranks=[1, 2], submitted_at=moment)
    (line,) = lines_of(export(project))
    assert line["annotations"][0]["created_at"] == "2026-03-04T05:06:07.890123Z"


def test_a_compressed_export_is_the_same_inside_and_tells_nothing_outside(
    session, project, ana, export
):
    make_question(session, project)
    plain, packed = export(project), export(project, name="out-{}.jsonl.gz")
    assert gzip.decompress(packed.read_bytes()) == plain.read_bytes()
    assert packed.read_bytes()[3:8] == b"\0\0\0\0\0"


def test_an_admin_downloads_the_project(session, project, ada, ana, api):
    make_annotation(session, make_task(session, project), ana, ranks=[1, 2])
    session.commit()
    address = f"/api/v1/projects/{project.id}/export"
    reply = api(ada).get(address, params={"annotators": "names"})
    assert reply.status_code == 200
    assert int(reply.headers["content-length"]) == len(reply.content)
    assert reply.headers["content-disposition"].endswith('.touchstone.jsonl.gz"')
    (line,) = gzip.decompress(reply.content).splitlines()
    assert json.loads(line)["annotations"][0]["annotator"] == ana.name
    assert api(ada).get(address, params={"annotators": "all"}).status_code == 422


def test_nobody_else_downloads_it(project, api, rui, vic, ana, sam):
    status = [
        api(user).get(f"/api/v1/projects/{project.id}/export").status_code
        for user in (rui, vic, ana, sam)
    ]
    assert status == [403, 403, 403, 404]


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ({"ratings": {"truth": [1]}}, "one rating of “truth” per response"),
        ({"ratings": {"truth": [1, 9]}}, "outside 1 to 5"),
        ({"ratings": {"taste": [1, 2]}}, "rates “taste”"),
        ({"ratings": [1]}, "no object"),
        ({"flags": [["unsafe"]]}, "one list per response"),
        ({"flags": [["rude"], []]}, "flag “rude”"),
        ({"flags": ["unsafe", "pii"]}, "list of texts"),
        ({"rewrite": 3}, "rewrite"),
        ({"counted": "no"}, "true or false"),
    ],
)
def test_what_a_project_cannot_hold_is_refused_by_line(session, place, tmp_path, said, word):
    line = {
        "prompt": "x",
        "responses": ["a", "b"],
        "annotations": [{"annotator": "Ana", "ranks": [1, 2], **said}],
    }
    row = brought_in(session, place("Here"), json_lines(tmp_path / "in.jsonl", [line]))
    assert row.state == "failed"
    assert word in problems(row)[1]
