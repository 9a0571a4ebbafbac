"""What an import does to a project: merging, people, gold, repeats, and the life of its row."""

import threading
import time
from uuid import uuid4

import pytest
from sqlalchemy import func, select, text, update

from app.accounts.models import User
from app.annotation.models import Annotation
from app.corpus import service
from app.corpus.models import Import, Prompt, Response
from app.db import JobState, SessionLocal, bulk_insert, transaction
from app.errors import LeaseLost
from app.projects import service as projects
from app.projects.models import Membership, Project
from app.projects.schemas import Overlap, ProjectPatch
from app.tasks.models import GoldKey, Task, TaskKind, TaskLane, TaskResponse
from app.worker.imports import import_file, run_import
from app.worker.overlap import adjust_overlap
from tests.corpus.files import brought_in, counts, figures, json_lines, pair
from tests.people import make_people
from tests.waiting import PATIENCE


def judged(name, ranks, **more):
    return {"annotator": name, "ranks": ranks, **more}


def annotations(session, project):
    return session.scalars(
        select(Annotation)
        .where(Annotation.project_id == project.id)
        .order_by(Annotation.submitted_at)
    ).all()


def responses_in_order(session, task_id):
    return session.scalars(
        select(Response.text)
        .join(TaskResponse, TaskResponse.response_id == Response.id)
        .where(TaskResponse.task_id == task_id)
        .order_by(TaskResponse.position)
    ).all()


def test_lines_with_the_same_responses_in_any_order_are_one_task(session, project, tmp_path):
    line = {"prompt": "Pick", "responses": ["best", "middle", "worst"]}
    turned = {"prompt": "Pick", "responses": ["worst", "best", "middle"]}
    file = json_lines(
        tmp_path / "a.jsonl",
        [
            line | {"annotations": [judged("T1", [1, 2, 3])]},
            turned | {"annotations": [judged("T2", [3, 1, 2])]},
            turned,
        ],
    )
    row = brought_in(session, project, file)
    assert figures(row) == (3, 2, 1, 0)  # the third says nothing new
    kept = counts(session, project)
    assert (kept["prompts"], kept["responses"], kept["tasks"]) == (1, 3, 1)
    for each in annotations(session, project):
        order = responses_in_order(session, each.task_id)
        assert dict(zip(order, each.ranks, strict=True)) == {"best": 1, "middle": 2, "worst": 3}


def test_the_same_words_of_another_model_are_another_response(session, project, tmp_path):
    a = {"prompt": "x", "responses": [{"text": "4", "source": "model:a"}, "5"]}
    b = {"prompt": "x", "responses": [{"text": "4", "source": "model:b"}, "5"]}
    brought_in(session, project, json_lines(tmp_path / "a.jsonl", [a, b]))
    kept = counts(session, project)
    assert (kept["prompts"], kept["responses"], kept["tasks"]) == (1, 3, 2)


def test_a_system_prompt_makes_another_prompt(session, project, tmp_path):
    file = json_lines(tmp_path / "a.jsonl", [pair(), pair(system="Be brief.")])
    brought_in(session, project, file)
    assert counts(session, project)["prompts"] == 2


def test_people_are_one_per_name_and_project_and_sources_are_no_people(session, project, tmp_path):
    lines = [
        pair(f"{n}?", annotations=[judged("Kim", [1, 2]), judged("dataset:old", [2, 1])])
        for n in range(3)
    ]
    brought_in(session, project, json_lines(tmp_path / "a.jsonl", lines))
    other = session.scalars(select(Project).where(Project.id != project.id)).first()
    brought_in(session, other, tmp_path / "a.jsonl")
    kims = session.scalars(select(User).where(User.name == "Kim")).all()
    assert len(kims) == 2
    assert {(kim.email, kim.password_hash) for kim in kims} == {(None, None)}
    mine = annotations(session, project)
    assert (
        sorted((each.source, each.counted) for each in mine if each.source)
        == [("dataset:old", False)] * 3
    )
    assert [each.counted for each in mine if each.user_id] == [True] * 3


def test_more_people_than_wanted_raise_the_wanted_number_and_sources_do_not(
    session, project, tmp_path
):
    line = pair(annotations=[judged(name, [1, 2]) for name in ("A", "B", "C", "model:judge")])
    brought_in(session, project, json_lines(tmp_path / "a.jsonl", [line, pair("other?")]))
    tasks = session.scalars(
        select(Task).where(Task.project_id == project.id).order_by(Task.counted.desc())
    ).all()
    assert [(task.wanted, task.counted) for task in tasks] == [(3, 3), (1, 0)]


def test_a_second_judgement_of_the_same_person_is_a_repeat(session, project, tmp_path):
    first = judged("T1", [1, 2], created_at="2026-01-01T10:00:00Z")
    second = judged("T1", [2, 1], created_at="2026-01-02T10:00:00Z")
    file = json_lines(tmp_path / "a.jsonl", [pair(annotations=[first, second])])
    brought_in(session, project, file)
    kept = annotations(session, project)
    assert [(each.is_repeat, each.counted) for each in kept] == [(False, True), (True, False)]
    assert figures(brought_in(session, project, file)) == (1, 0, 1, 0)
    assert len(annotations(session, project)) == 2


def test_first_and_second_mean_what_they_mean_in_the_file(session, project, tmp_path):
    """Agreement comes out as somebody would compute it from the file."""
    texts = ["delta", "alpha", "charlie", "bravo"]
    line = {"prompt": "Pick", "responses": texts, "annotations": [judged("T1", [4, 1, 3, 2])]}
    turned = {"prompt": "Pick", "responses": texts[::-1]}
    turned["annotations"] = [judged("T2", [1, 2, 3, 4])]
    brought_in(session, project, json_lines(tmp_path / "a.jsonl", [line, turned]))
    task = session.scalars(select(Task).where(Task.project_id == project.id)).one()
    assert responses_in_order(session, task.id) == texts
    ranks = {tuple(each.ranks) for each in annotations(session, project)}
    assert ranks == {(4, 1, 3, 2), (4, 3, 2, 1)}


def test_where_the_better_one_comes_first_its_place_does_not_tell(session, project, tmp_path):
    lines = [{"prompt": f"Q{n}", "chosen": f"yes {n}", "rejected": f"no {n}"} for n in range(24)]
    brought_in(session, project, json_lines(tmp_path / "a.jsonl", lines))
    places = {tuple(each.ranks) for each in annotations(session, project)}
    assert places == {(1, 2), (2, 1)}


def test_a_gold_key_makes_a_gold_task_in_the_order_of_its_responses(session, project, tmp_path):
    line = {"prompt": "Pick", "responses": ["bad", "good", "ugly"]}
    line["gold"] = {"prefers": [[1, 0], [1, 2]], "explanation": "It is good."}
    brought_in(session, project, json_lines(tmp_path / "a.jsonl", [line]))
    task = session.scalars(select(Task).where(Task.project_id == project.id)).one()
    key = session.get_one(GoldKey, task.id)
    order = responses_in_order(session, task.id)
    assert (task.kind, task.wanted, key.explanation) == (TaskKind.GOLD, None, "It is good.")
    assert {(order[i], order[j]) for i, j in key.prefers} == {("good", "bad"), ("good", "ugly")}


def test_a_gold_key_can_make_a_question_of_the_qualification(session, project, tmp_path):
    key = {"prefers": [[0, 1]], "explanation": "So.", "qualification": True}
    line = {"prompt": "Pick", "responses": ["good", "bad"]}
    brought_in(session, project, json_lines(tmp_path / "a.jsonl", [line]))
    lines = [line | {"gold": key}, line | {"prompt": "New", "gold": key}, line | {"prompt": "3"}]
    brought_in(session, project, json_lines(tmp_path / "b.jsonl", lines))
    kinds = select(Task.kind, func.count()).where(Task.project_id == project.id)
    found = dict(session.execute(kinds.group_by(Task.kind)).all())
    assert found == {TaskKind.QUALIFICATION: 2, TaskKind.ORDINARY: 1}
    explained = select(GoldKey.explanation).join(Task, Task.id == GoldKey.task_id)
    of_ours = explained.where(Task.project_id == project.id)
    assert session.scalars(of_ours).all() == ["So.", "So."]


def test_what_is_new_in_a_second_file_is_added_to_what_is_there(session, project, tmp_path):
    brought_in(session, project, json_lines(tmp_path / "a.jsonl", [pair(), {"prompt": "alone"}]))
    more = [pair(annotations=[judged("T1", [1, 2])]), pair(), pair("new?")]
    row = brought_in(session, project, json_lines(tmp_path / "b.jsonl", more))
    assert figures(row) == (3, 2, 1, 0)
    assert counts(session, project)["tasks"] == 2


def test_prompts_alone_open_no_tasks(session, project, tmp_path):
    row = brought_in(session, project, json_lines(tmp_path / "a.jsonl", [{"prompt": "Hi"}] * 2))
    assert (row.format, figures(row)) == ("prompts", (2, 1, 1, 0))
    assert counts(session, project) == {
        "prompts": 1,
        "responses": 0,
        "tasks": 0,
        "annotations": 0,
    }


def test_more_rows_than_a_batch_holds_come_in_exactly_once(session, project, tmp_path, monkeypatch):
    monkeypatch.setattr("app.worker.imports.bringing.BATCH", 7)
    lines = [pair(f"{n}?", annotations=[judged(f"T{n % 3}", [1, 2])]) for n in range(50)]
    row = brought_in(session, project, json_lines(tmp_path / "a.jsonl", lines * 2))
    assert figures(row) == (100, 50, 50, 0)
    assert counts(session, project) == {
        "prompts": 50,
        "responses": 100,
        "tasks": 50,
        "annotations": 50,
    }


HOSTILE = [
    "a\\b\"c'd{e}f,g",
    "\\x41 \\N null NULL",
    "tab\tand\r\nline ends\u2028\u2029",
    "\x01\x1f control",
    "\u202eright to left\u202c \u2066x\u2069 \U0001f469\u200d\U0001f467 e\u0301",
    "=SUM(A1)",
    "$$; DROP TABLE prompt; --",
    "%s %(x)s :name",
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_any_text_comes_back_as_it_was(session, project, tmp_path, hostile):
    line = {
        "prompt": [{"role": "user", "content": hostile}],
        "system": hostile,
        "responses": [{"text": hostile, "source": hostile, "extra": {hostile: [hostile]}}, "b"],
        "id": hostile,
        "annotations": [judged("T1", [1, 2], rationale=hostile)],
        "further": hostile,
    }
    row = brought_in(session, project, json_lines(tmp_path / "a.jsonl", [line]))
    assert row.state == "succeeded", row.error
    prompt = session.scalars(select(Prompt).where(Prompt.project_id == project.id)).one()
    assert (prompt.messages[0]["content"], prompt.system, prompt.external_id) == (hostile,) * 3
    response = session.scalars(
        select(Response).where(Response.prompt_id == prompt.id, Response.source.is_not(None))
    ).one()
    assert (response.text, response.source) == (hostile, hostile)
    assert response.meta == {"extra": {hostile: [hostile]}}
    assert annotations(session, project)[0].rationale == hostile
    task = session.scalars(select(Task).where(Task.project_id == project.id)).one()
    assert task.meta == {"further": hostile}


def test_bulk_insert_brings_every_type_over_as_it_is(session, project):
    tags = ["plain", 'quo"te', "back\\slash", "com,ma", "{brace}", "null", "", "ä"]
    rows = [
        {
            "id": make_id,
            "project_id": project.id,
            "content_hash": bytes(range(256)) + make_id.bytes,
            "messages": [{"role": "user", "content": "x"}],
            "system": None,
            "tags": each,
        }
        for make_id, each in ((project.id, tags), (session.scalar(select(User.id).limit(1)), []))
    ]
    session.execute(bulk_insert(Prompt, rows))
    kept = {row.id: row for row in session.scalars(select(Prompt).where(Prompt.system.is_(None)))}
    for row in rows:
        assert kept[row["id"]].tags == row["tags"]
        assert kept[row["id"]].content_hash == row["content_hash"]
        assert kept[row["id"]].meta == {}


def test_bulk_insert_keeps_what_only_python_takes_for_the_same(session, project):
    metas = [{"a": 1}, {"a": True}, {"a": 1.0}]
    rows = [
        {
            "id": uuid4(),
            "project_id": project.id,
            "content_hash": repr(meta).encode(),
            "messages": [],
            "source": None,
            "meta": meta,
        }
        for meta in metas
    ]
    session.execute(bulk_insert(Prompt, rows))
    for row in rows:
        kept = session.get_one(Prompt, row["id"])
        assert (kept.source, repr(kept.meta)) == (None, repr(row["meta"]))


# -- the life of the row, with real connections ------------------------------------------------


@pytest.fixture
def site(concurrency_engine, tmp_path):
    """A project in a database with real connections, and its id."""
    with SessionLocal.begin() as session:
        return make_people(session).project.id


def waiting_import(project_id, file) -> Import:
    with transaction() as session:
        project = session.get_one(Project, project_id)
        ada = session.scalars(select(User).where(User.name == "Ada")).one()
        upload = file.with_suffix(".copy")
        upload.write_bytes(file.read_bytes())
        row = service.request_import(
            session,
            project=project,
            by=ada,
            upload=upload,
            filename=file.name,
            format="auto",
            skip_bad_lines=False,
        )
        session.flush()
        session.expunge(row)
        return row


def reread(row) -> Import:
    with transaction() as session:
        fresh = session.get_one(Import, row.id)
        session.expunge(fresh)
        return fresh


def tasks_in(project_id) -> int:
    with transaction() as session:
        return session.scalars(
            select(func.count()).select_from(Task).where(Task.project_id == project_id)
        ).one()


@pytest.mark.concurrency
def test_progress_shows_while_nothing_of_the_file_can_be_seen_yet(site, tmp_path, monkeypatch):
    monkeypatch.setattr("app.worker.imports.bringing.PROGRESS_EVERY", 0.0)
    monkeypatch.setattr("app.worker.imports.bringing.BATCH", 10)
    row = waiting_import(site, json_lines(tmp_path / "a.jsonl", [pair(f"{n}?") for n in range(50)]))
    seen = []

    def look() -> bool:
        now = reread(row)
        seen.append((now.state, now.rows_read, tasks_in(site)))
        return False

    run_import(row.id, is_stopping=look)

    assert {state for state, _, _ in seen} == {JobState.RUNNING}
    assert [read for _, read, _ in seen] == sorted(read for _, read, _ in seen)
    assert max(read for _, read, _ in seen) > 40
    assert {tasks for _, _, tasks in seen} == {0}
    assert tasks_in(site) == 50


@pytest.mark.concurrency
def test_a_worker_told_to_stop_leaves_nothing_behind_and_the_next_one_does_it_all(
    site, tmp_path, monkeypatch
):
    monkeypatch.setattr("app.worker.imports.bringing.PROGRESS_EVERY", 0.0)
    monkeypatch.setattr("app.worker.imports.bringing.BATCH", 10)
    row = waiting_import(site, json_lines(tmp_path / "a.jsonl", [pair(f"{n}?") for n in range(50)]))

    run_import(row.id, is_stopping=lambda: True)

    assert (reread(row).state, tasks_in(site)) == (JobState.QUEUED, 0)
    with transaction() as session:
        jobs = session.execute(text("SELECT task_name FROM procrastinate_jobs")).scalars().all()
    assert jobs == ["import", "import"]  # the one that ended here, and the one to follow
    run_import(row.id)
    done = reread(row)
    assert (done.state, done.attempt, figures(done)) == (JobState.SUCCEEDED, 2, (50, 50, 0, 0))


@pytest.mark.concurrency
def test_an_attempt_that_lost_its_lease_writes_nothing(site, tmp_path, monkeypatch):
    """Its worker was thought dead, another one starts, and then the first one wakes up."""
    monkeypatch.setattr("app.worker.imports.bringing.PROGRESS_EVERY", 0.0)
    monkeypatch.setattr("app.worker.imports.bringing.BATCH", 10)
    row = waiting_import(site, json_lines(tmp_path / "a.jsonl", [pair(f"{n}?") for n in range(50)]))

    def another_starts() -> bool:
        with transaction() as session:
            session.execute(update(Import).where(Import.id == row.id).values(attempt=9))
        return False

    run_import(row.id, is_stopping=another_starts)

    kept = reread(row)
    assert (kept.state, kept.attempt, tasks_in(site)) == (JobState.RUNNING, 9, 0)
    with transaction() as session, pytest.raises(LeaseLost):
        service.finish_import(session, import_id=row.id, attempt=1)


@pytest.mark.concurrency
def test_a_cancelled_import_stops_and_leaves_nothing(site, tmp_path, monkeypatch):
    monkeypatch.setattr("app.worker.imports.bringing.PROGRESS_EVERY", 0.0)
    monkeypatch.setattr("app.worker.imports.bringing.BATCH", 10)
    row = waiting_import(site, json_lines(tmp_path / "a.jsonl", [pair(f"{n}?") for n in range(50)]))

    def ada_cancels() -> bool:
        with transaction() as session:
            fresh = session.get_one(Import, row.id)
            if fresh.state is JobState.RUNNING:
                ada = session.scalars(select(User).where(User.name == "Ada")).one()
                service.cancel_import(session, row=fresh, by=ada)
        return False

    run_import(row.id, is_stopping=ada_cancels)

    assert (reread(row).state, tasks_in(site)) == (JobState.CANCELLED, 0)


@pytest.mark.concurrency
def test_a_worker_that_dies_in_the_middle_leaves_nothing_and_the_job_can_run_again(
    site, tmp_path, monkeypatch
):
    monkeypatch.setattr("app.worker.imports.bringing.PROGRESS_EVERY", 0.0)
    monkeypatch.setattr("app.worker.imports.bringing.BATCH", 10)
    row = waiting_import(site, json_lines(tmp_path / "a.jsonl", [pair(f"{n}?") for n in range(50)]))

    class Killed(BaseException):
        pass

    def dies() -> bool:
        if reread(row).rows_read > 20:
            raise Killed
        return False

    with pytest.raises(Killed):
        run_import(row.id, is_stopping=dies)
    assert (reread(row).state, tasks_in(site)) == (JobState.RUNNING, 0)
    run_import(row.id)
    assert (reread(row).state, tasks_in(site)) == (JobState.SUCCEEDED, 50)


@pytest.mark.concurrency
def test_the_same_file_by_several_at_once_comes_in_once(site, tmp_path):
    lines = [pair(f"{n}?", annotations=[judged("T1", [1, 2])]) for n in range(300)]
    files = [json_lines(tmp_path / f"{n}.jsonl", lines[:: 1 if n % 2 else -1]) for n in range(4)]
    done = []

    def bring_in(file):
        done.append(import_file(project_id=site, file=file))

    threads = [threading.Thread(target=bring_in, args=(file,)) for file in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(row.rows_imported for row in done) == [0, 0, 0, 300]
    assert {row.state for row in done} == {JobState.SUCCEEDED}
    assert tasks_in(site) == 300
    with transaction() as session:
        names = session.scalars(
            select(Membership.imported_name).where(Membership.imported_name.is_not(None))
        ).all()
    assert names == ["T1"]


@pytest.mark.concurrency
def test_settings_can_be_changed_while_an_import_runs(site, tmp_path, monkeypatch):
    """A long transaction refers to the project all the time; an admin must not wait for it."""
    monkeypatch.setattr("app.worker.imports.bringing.PROGRESS_EVERY", 0.0)
    monkeypatch.setattr("app.worker.imports.bringing.BATCH", 10)
    row = waiting_import(site, json_lines(tmp_path / "a.jsonl", [pair(f"{n}?") for n in range(50)]))
    took = []

    def ada_changes_the_name() -> bool:
        started = time.monotonic()
        with transaction() as session:
            session.execute(text("SET LOCAL lock_timeout = '2s'"))
            ada = session.scalars(select(User).where(User.name == "Ada")).one()
            patch = ProjectPatch(description=f"at {len(took)}")
            project = session.get_one(Project, site)
            projects.update_settings(
                session, project=project, patch=patch, by=ada, now=project.created_at
            )
        took.append(time.monotonic() - started)
        return False

    run_import(row.id, is_stopping=ada_changes_the_name)

    assert took
    assert reread(row).state is JobState.SUCCEEDED


@pytest.mark.concurrency
def test_an_overlap_changed_while_an_import_runs_reaches_its_tasks(site, tmp_path, monkeypatch):
    """The job of the change has come and gone before the import's tasks can be seen."""
    monkeypatch.setattr("app.worker.imports.bringing.PROGRESS_EVERY", 0.0)
    monkeypatch.setattr("app.worker.imports.bringing.BATCH", 10)
    row = waiting_import(site, json_lines(tmp_path / "a.jsonl", [pair(f"{n}?") for n in range(30)]))
    jobs = "SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'overlap'"

    def ada_asks_for_three() -> bool:
        with transaction() as session:
            project = session.get_one(Project, site)
            projects.update_settings(
                session,
                project=project,
                patch=ProjectPatch(overlap=Overlap(min=3)),
                by=session.scalars(select(User).where(User.name == "Ada")).one(),
                now=project.created_at,
            )
        adjust_overlap(project_id=str(site))
        with transaction() as session:
            session.execute(text("DELETE FROM procrastinate_jobs WHERE task_name = 'overlap'"))
        return False

    run_import(row.id, is_stopping=ada_asks_for_three)

    with transaction() as session:
        assert session.scalar(text(jobs)) == 1
    adjust_overlap(project_id=str(site))
    with transaction() as session:
        wanted = session.scalars(select(Task.wanted).where(Task.project_id == site)).all()
    assert wanted == [3] * 30


def test_a_line_says_what_its_judges_must_know(session, project, tmp_path):
    lines = [
        pair("plain"),
        pair("german", language="de-AT"),
        pair("german law", language="DE", expertise=["Tax", "law"]),
    ]
    brought_in(session, project, json_lines(tmp_path / "a.jsonl", lines))
    lanes = dict(
        session.execute(
            select(Prompt.messages[0]["content"].astext, Task.lane)
            .join(Task, Task.prompt_id == Prompt.id)
            .where(Task.project_id == project.id)
        ).all()
    )
    assert lanes == {"plain": "", "german": '["de"]', "german law": '["de", "law", "tax"]'}
    kept = session.scalars(select(TaskLane).where(TaskLane.project_id == project.id))
    assert {(each.key, each.language, tuple(each.expertise)) for each in kept} == {
        ('["de"]', "de", ()),
        ('["de", "law", "tax"]', "de", ("law", "tax")),
    }
    prompt = session.scalars(select(Prompt).where(Prompt.language == "DE")).one()
    assert prompt.expertise == ["law", "tax"]
