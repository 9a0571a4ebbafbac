"""An erasure takes out what it says, nothing else, and leaves the project as if she never was."""

import gzip
import json
from collections import Counter
from itertools import pairwise

import pytest
from pydantic import ValidationError
from sqlalchemy import select, text

from app import artifacts
from app.accounts.models import AuditEvent, Role, User, UserKind
from app.accounts.service import event_hash
from app.annotation.models import Annotation, Removal
from app.corpus.models import Import
from app.db import Base, database_now
from app.errors import Conflict, NotFound
from app.privacy import service
from app.privacy.models import Erasure
from app.privacy.schemas import Scope
from app.projects.models import MemberMessage, Membership
from app.quality.models import Adjudication, Part, QualitySummary
from app.quality.queries.summary import fingerprint
from app.quality.service import summary
from app.tasks import service as task_service
from app.tasks.models import Appeal, Assignment, AssignmentState, Task
from app.work.queries.checks import invariants
from app.worker.imports import run_import
from app.worker.imports.upkeep import clear_forgotten
from tests.corpus.files import brought_in, json_lines, pair, request_check
from tests.datasets.frozen import contents_of, freeze
from tests.factories import make_annotation, make_member, make_project, make_task, make_user
from tests.privacy.world import EMAIL, NAME, bring_in, everything, make_world, where_said


def erase(session, user, by, **what):
    done = service.erase(session, user=user, scope=Scope(**what), by=by, now=database_now(session))
    session.commit()
    session.expire_all()
    return done


def broken(session, project):
    return [each for each in invariants(session, project=project) if not each.holds]


def rows_of(session, *, but):
    """Every row of the database outside the tables named, as (table, JSON)."""
    return Counter((name, row) for name, row in everything(session) if name not in but)


# -- who she is -------------------------------------------------------------------------------


def test_no_trace_of_name_or_address_is_left_anywhere(session, world, maria, ada):
    assert len(where_said(session, NAME, EMAIL)) >= 5  # the oracle sees
    erase(session, maria, ada, identity=True)
    assert where_said(session, NAME, EMAIL) == []
    assert broken(session, world.project) == []


def test_reports_of_imports_that_name_her_keep_their_numbers_alone(
    session, world, maria, ada, tmp_path
):
    rows = [pair(), {"prompt": "Hello", "responses": [f"{NAME} says"]}]
    file = json_lines(tmp_path / "named.jsonl", rows)
    row = brought_in(session, world.project, file, skip_bad_lines=True)
    refused = row.report["refused"]
    assert "import" in where_said(session, NAME)
    erase(session, maria, ada, identity=True)
    assert where_said(session, NAME, EMAIL) == []
    kept = session.get_one(Import, row.id)
    assert (kept.rows_rejected, kept.report["brings"]["tasks"]) == (1, 1)
    with pytest.raises(NotFound), artifacts.open_file(refused["report"]):
        pass


def test_files_that_wait_to_be_brought_in_are_thrown_away(session, world, maria, ada, tmp_path):
    """Also one that is being checked at that moment, and none of another project's."""
    file = json_lines(tmp_path / "named.jsonl", [pair(), {"prompt": f"{NAME}?", "responses": [1]}])
    other = make_project(session, "Other", by=ada)
    elsewhere = request_check(session, other, file, by=ada)
    waits = request_check(session, world.project, file, by=ada)
    for check in (elsewhere, waits):
        run_import(check)
    queued = request_check(session, world.project, file, by=ada)
    row = session.get_one(Import, waits, populate_existing=True)
    paths = [row.path, row.report["refused"]["report"], session.get_one(Import, queued).path]
    assert all(artifacts.exists(path) for path in paths)
    done = erase(session, maria, ada, judgements=True, project_id=world.project.id)
    assert done.counts["checks"] == 2
    assert not any(artifacts.exists(path) for path in paths)
    assert session.get(Import, waits) is session.get(Import, queued) is None
    assert artifacts.exists(session.get_one(Import, elsewhere).path)
    run_import(queued)  # its job comes to nothing
    assert not artifacts.exists(paths[-1])


def test_what_a_check_stores_after_it_was_thrown_away_goes_too(
    session, world, maria, ada, tmp_path
):
    """Its worker has lost the lease, and looks whether there is a row at all."""
    file = json_lines(tmp_path / "named.jsonl", [pair(), {"prompt": f"{NAME}?", "responses": [1]}])
    check = request_check(session, world.project, file, by=ada)
    run_import(check)
    session.expire_all()
    paths = [session.get_one(Import, check).path, f"refused/{check}/1/report"]
    clear_forgotten(check)
    assert all(artifacts.exists(path) for path in paths)
    session.delete(session.get_one(Import, check))
    session.commit()
    clear_forgotten(check)
    assert not any(artifacts.exists(path) for path in paths)


def test_what_a_file_said_beside_her_judgements_is_cleared(session, world, maria, ada):
    hers = select(Annotation).where(Annotation.user_id == maria.id).limit(1)
    session.scalars(hers).one().meta = {"mail": EMAIL}
    session.commit()
    erase(session, maria, ada, identity=True)
    assert where_said(session, EMAIL) == []


def test_her_judgements_stay_under_a_number_and_count(session, world, maria, ada):
    before = session.scalars(select(Annotation.id).where(Annotation.user_id == maria.id)).all()
    session.expire_all()  # a re-queue has written past what this session knows
    counted = {task.id: task.counted for task in session.scalars(select(Task))}
    erase(session, maria, ada, identity=True)
    assert (maria.name, maria.kind, maria.email) == ("Person 1", UserKind.ERASED, None)
    assert (maria.password_hash, maria.preferences) == (None, {})
    after = session.scalars(select(Annotation.id).where(Annotation.user_id == maria.id)).all()
    assert set(after) == set(before)
    assert {task.id: task.counted for task in session.scalars(select(Task))} == counted
    texts = session.scalars(select(Annotation.rationale).where(Annotation.user_id == maria.id))
    assert any(texts)


def test_what_she_held_goes_to_others(session, world, maria, ada):
    erase(session, maria, ada, identity=True)
    states = session.scalars(select(Assignment.state).where(Assignment.user_id == maria.id)).all()
    assert AssignmentState.OPEN not in states
    drafts = select(Assignment.draft).where(
        Assignment.user_id == maria.id, Assignment.draft.is_not(None)
    )
    assert session.scalars(drafts).all() == []
    assert session.get_one(Task, world.tasks[8].id).leased == 0


def test_what_she_held_is_not_wanted_where_another_answer_is_enough(session, world, maria, ada):
    held = world.tasks[8]
    assert (held.leased, held.counted, held.wanted) == (1, 1, 3)
    world.project.overlap_min, world.project.overlap_max = 1, 5
    world.project.overlap_confidence = 0.6
    session.commit()
    erase(session, maria, ada, identity=True)
    assert (held.leased, held.counted, held.wanted) == (0, 1, 1)


def test_each_erased_person_has_her_own_number(session, world, maria, ada, people):
    erase(session, maria, ada, identity=True)
    erase(session, people.sam, ada, identity=True)
    assert [maria.name, people.sam.name] == ["Person 1", "Person 2"]


def test_the_audit_log_keeps_its_chain_and_says_what_was_changed(session, world, maria, ada):
    erase(session, maria, ada, identity=True)
    events = session.scalars(select(AuditEvent).order_by(AuditEvent.id)).all()
    assert all(one.hash == next_.previous_hash for one, next_ in pairwise(events))
    redacted = [event for event in events if event.redacted_at is not None]
    assert {event.id for event in events if event.hash != event_hash(event)} == {
        event.id for event in redacted
    }
    assert {"invite", "project.update", "project.member.exclude"} <= {
        event.action for event in redacted
    }
    last = events[-1]
    assert (last.action, last.user_id, last.target) == ("person.erase", ada.id, str(maria.id))
    update = next(event for event in redacted if event.action == "project.update")
    assert update.details["was"]["description"] == "Ask Person 1 <Person 1>"


def test_a_name_inside_a_word_is_left_alone(session, people, ada):
    rita = make_user(session, "Rit")
    session.add(
        AuditEvent(
            user_id=ada.id,
            action="x",
            target="writ",
            details={"text": "Rit wrote it"},
            previous_hash=b"",
            hash=b"x",
        )
    )
    session.commit()
    erase(session, rita, ada, identity=True)
    event = session.scalars(select(AuditEvent).where(AuditEvent.action == "x")).one()
    assert (event.target, event.details["text"]) == ("writ", f"{rita.name} wrote it")


def test_nobody_signs_in_as_her_any_more(session, world, maria, ada, sign_in, api):
    browser, program = sign_in(maria), api(maria)
    assert browser.get("/projects").status_code == 200
    erase(session, maria, ada, identity=True)
    assert browser.get("/projects").status_code in {303, 401}
    assert program.get("/api/v1/projects").status_code == 401
    tried = browser.post("/sign-in", data={"email": EMAIL, "password": "a long enough passphrase"})
    assert tried.status_code == 401


def test_the_last_admin_and_oneself_are_refused(session, people, ada):
    for what in ("identity", "judgements", "texts"):
        with pytest.raises(Conflict, match="yourself"):
            erase(session, ada, ada, **{what: True})
    with pytest.raises(Conflict, match="last admin"):
        erase(session, ada, None, identity=True)
    make_user(session, "Second", role=Role.ADMIN)
    erase(session, ada, None, identity=True)
    with pytest.raises(Conflict, match="erased already"):
        erase(session, ada, None, identity=True)


@pytest.mark.parametrize("what", [{}, {"identity": True, "project_id": "0" * 32}])
def test_what_makes_no_sense_is_refused(what):
    with pytest.raises(ValidationError):
        Scope(**what)


def test_a_recipe_that_names_her_means_her_still(session, world, maria, ada):
    kept = freeze(session, world.project, exclude_annotators=[EMAIL.upper(), "Olive"])
    erase(session, maria, ada, identity=True)
    named = session.get_one(type(kept), kept.id).recipe["exclude_annotators"]
    assert named == ["Olive", str(maria.id)]
    for file in kept.files:  # what is frozen has never named her
        content = b"".join(artifacts.chunks(f"{kept.path}/{file['path']}"))
        if file["path"].endswith(".gz"):
            content = gzip.decompress(content)
        assert NAME.encode() not in content
        assert EMAIL.encode() not in content.lower()


# -- what she judged --------------------------------------------------------------------------

HER_TABLES = {
    "annotation", "assignment", "appeal", "requeue", "member_message", "qualification_attempt",
    "re_ask_pair", "task", "membership", "removal", "erasure", "audit_event", "snapshot",
    "quality_summary", "procrastinate_jobs", "procrastinate_events",
}  # fmt: skip


SHARED = ("annotation", "assignment", "appeal", "member_message", "membership")


def of_others(session, table, person):
    rows = f"SELECT to_jsonb(t)::text FROM {table} t WHERE user_id <> :her ORDER BY 1"  # noqa: S608
    return session.scalars(text(rows), {"her": person.id}).all()


def test_her_judgements_go_and_nothing_else(session, world, maria, ada):
    before = rows_of(session, but=HER_TABLES)
    others = {name: of_others(session, name, maria) for name in SHARED}
    done = erase(session, maria, ada, judgements=True)
    assert done.counts["judgements"] == 8  # six ordinary ones, a repeat, one of gold
    assert rows_of(session, but=HER_TABLES) == before
    for name, rows in others.items():
        assert of_others(session, name, maria) == rows, name
    for model in (Annotation, Assignment, Appeal, MemberMessage):
        assert session.scalars(select(model).where(model.user_id == maria.id)).all() == []
    assert broken(session, world.project) == []
    assert session.scalars(select(Adjudication).where(Adjudication.user_id == maria.id)).one()


def test_her_places_are_free_again(session, world, maria, ada):
    erase(session, maria, ada, judgements=True)
    tasks = session.scalars(select(Task).where(Task.id.in_([t.id for t in world.tasks]))).all()
    assert {task.wanted for task in tasks} == {3}
    assert all(task.leased == 0 for task in tasks)
    membership = session.get_one(Membership, (world.project.id, maria.id))
    assert (membership.gold_seen, membership.gold_passed, membership.claimed) == (0, 0, 0)
    assert membership.paused_at is not None


def test_a_closed_task_asks_for_nobody_in_her_place(session, world, maria, ada):
    task_service.close_tasks(session, task_ids=[task.id for task in world.tasks])
    assert service.reach(session, user=maria, project=None).opened == 0
    erase(session, maria, ada, judgements=True)
    tasks = session.scalars(select(Task).where(Task.id.in_([t.id for t in world.tasks]))).all()
    assert all(task.leased + task.counted == task.wanted for task in tasks)
    assert broken(session, world.project) == []


def test_in_one_project_only(session, world, people, maria, ada):
    other = make_project(session, "Elsewhere", by=ada)
    make_member(session, other, maria, Role.ANNOTATOR)
    task = make_task(session, other)
    kept = make_annotation(session, task, maria, ranks=[1, 2])
    session.commit()
    erase(session, maria, ada, judgements=True, project_id=world.project.id)
    left = session.scalars(select(Annotation.id).where(Annotation.user_id == maria.id)).all()
    assert left == [kept.id]
    assert session.get_one(Membership, (other.id, maria.id)).paused_at is None
    assert maria.name == NAME


@pytest.mark.parametrize(
    "recipe",
    [{"consensus": "dawid_skene"}, {"margin": "strength"}],
)
def test_a_snapshot_is_byte_for_byte_that_of_a_project_where_she_never_was(
    session, world, people, maria, ada, recipe
):
    erase(session, maria, ada, judgements=True)
    twin = make_world(session, people, name="Twin")
    twin.project.name = "Kitchen twin"
    _without_her_decisions(session, world)
    session.commit()
    corrected, never = (
        freeze(session, world.project, **recipe),
        freeze(session, twin.project, **recipe),
    )
    assert corrected.counts == never.counts
    assert contents_of(corrected) == contents_of(never)


def _without_her_decisions(session, world):
    """Her adjudication stays on purpose; the twin has none."""
    for row in session.scalars(select(Adjudication)):
        session.delete(row)


def test_figures_are_those_of_a_project_where_she_never_was(session, world, people, maria, ada):
    with_her = summary.recompute(session, project=world.project).figures["fields"]
    erase(session, maria, ada, judgements=True)
    twin = make_world(session, people, name="Twin")
    session.commit()
    now, never = (
        summary.current(session, project=project).figures
        for project in (world.project, twin.project)
    )
    assert now["fields"] == never["fields"] != with_her
    assert len(now["annotators"]) == len(never["annotators"])
    assert str(maria.id) not in json.dumps(now)


def test_kept_figures_do_not_outlive_her(session, world, maria, ada):
    for part in (Part.OVERVIEW, Part.CONSENSUS, Part.LEADERBOARD):
        summary.recompute(session, project=world.project, part=part)
    before = fingerprint(session, project=world.project, part=Part.OVERVIEW)[1]
    erase(session, maria, ada, judgements=True)
    kept = select(QualitySummary).where(QualitySummary.project_id == world.project.id)
    assert session.scalars(kept).all() == []
    assert fingerprint(session, project=world.project, part=Part.OVERVIEW)[1] != before


def test_adaptive_overlap_asks_on_where_it_is_unsure_without_her(session, people, maria, ada):
    project = make_project(
        session, "Adaptive", by=ada, overlap_min=2, overlap_max=4, overlap_confidence=0.9
    )
    for user in (people.ana, people.rui, maria):
        make_member(session, project, user, Role.ANNOTATOR)
    agreed, split = (make_task(session, project, wanted=2) for _ in range(2))
    for task, ranks in ((agreed, [1, 2]), (split, [2, 1])):
        make_annotation(session, task, people.ana, ranks=[1, 2])
        make_annotation(session, task, people.rui, ranks=ranks)
        make_annotation(session, task, maria, ranks=[1, 2])
    session.commit()
    assert service.reach(session, user=maria, project=project).opened == 1
    erase(session, maria, ada, judgements=True, project_id=project.id)
    assert (session.get_one(Task, split.id).wanted, session.get_one(Task, split.id).counted) == (
        3,
        2,
    )
    assert broken(session, project) == []
    assert session.get_one(Task, agreed.id).counted == 2


def test_more_than_the_project_asks_for_now_gives_its_place_up(session, people, maria, ada):
    project = make_project(session, "Shrunk", by=ada, overlap_min=3, overlap_max=3)
    for user in (people.ana, people.rui, maria):
        make_member(session, project, user, Role.ANNOTATOR)
    task = make_task(session, project, wanted=3)
    for user in (people.ana, people.rui, maria):
        make_annotation(session, task, user, ranks=[1, 2])
    project.overlap_min = project.overlap_max = 2
    session.commit()
    erase(session, maria, ada, judgements=True)
    task = session.get_one(Task, task.id)
    assert (task.counted, task.wanted) == (2, 2)


# -- what she wrote ---------------------------------------------------------------------------


def test_her_texts_go_and_her_ranks_stay(session, world, maria, ada):
    erase(session, maria, ada, texts=True)
    hers = session.scalars(select(Annotation).where(Annotation.user_id == maria.id)).all()
    assert len(hers) == 8
    assert not any(row.rationale or row.rewrite for row in hers)
    assert (
        where_said(session, "I know eggs", "Nine minutes, 2", "do not eat", "half a", "I decide")
        == []
    )
    assert broken(session, world.project) == []


def test_everything_at_once(session, world, maria, ada):
    done = erase(session, maria, ada, identity=True, judgements=True, texts=True)
    assert where_said(session, NAME, EMAIL, "I know eggs", "Let me go on", "Hi, Ana") == []
    assert (done.counts["judgements"], done.counts["texts"]) == (8, 6)
    assert broken(session, world.project) == []
    assert session.scalars(select(Erasure)).one().id == done.id
    assert {row.only_texts for row in session.scalars(select(Removal))} == {True, False}


def test_somebody_who_came_with_data_can_be_erased(session, world, ada):
    olive = session.scalars(select(User).where(User.name == "Olive")).one()
    erase(session, olive, ada, identity=True, judgements=True)
    assert where_said(session, "Olive") == []
    assert broken(session, world.project) == []


@pytest.mark.parametrize(
    "what", [{"identity": True}, {"identity": True, "texts": True}, {"judgements": True},
             {"identity": True, "judgements": True}]
)  # fmt: skip
def test_the_same_file_again_adds_nothing_and_brings_nobody_back(session, world, people, ada, what):
    olive = session.scalars(select(User).where(User.name == "Olive")).one()
    erase(session, olive, ada, **what)
    before = rows_of(session, but={"import", "task_lane"})
    bring_in(session, world.project, people)
    assert rows_of(session, but={"import", "task_lane"}) == before
    assert broken(session, world.project) == []


# -- every column that leads to a person is decided ------------------------------------------

# What becomes of a row when the person in this column is erased. `by`: it stays, under her number.
DECIDED = {
    "annotation.user_id": "judgements",
    "assignment.user_id": "judgements",
    "qualification_attempt.user_id": "judgements",
    "appeal.user_id": "judgements",
    "requeue.user_id": "judgements",
    "re_ask_pair.user_id": "judgements",
    "membership.user_id": "figures go with judgements, words with the identity",
    "member_message.user_id": "identity, judgements",
    "guidelines_draft.user_id": "identity",
    "login_session.user_id": "identity",
    "api_token.user_id": "identity",
    "audit_event.user_id": "by; words go with the identity",
    "adjudication.user_id": "by; the reason goes with texts",
    "send_back.user_id": "by; the reason goes with texts",
    "member_message.sent_by": "by; the words go with texts",
    "erasure.user_id": "stays: it says that there was an erasure",
    "removal.user_id": "stays: it says that there was an erasure",
    "one_time_link.created_by": "by",
    "project.created_by": "by",
    "guidelines.created_by": "by",
    "import.created_by": "by",
    "gold_key.created_by": "by",
    "appeal.settled_by": "by",
    "re_ask.created_by": "by",
    "requeue.by": "by",
    "removal.by": "by",
    "erasure.by": "by",
    "adjudication.withdrawn_by": "by",
    "send_back.undone_by": "by",
    "snapshot.created_by": "by",
    "run.created_by": "by",
    "generation.created_by": "by",
    "endpoint.created_by": "by",
    "run_check.created_by": "by",
    "clean_up.created_by": "by",
    "play_conversation.created_by": "by",
    "play_turn.created_by": "by",
    "play_turn.sent_by": "by",
    "play_answer.asked_by": "by",
    "evaluation.created_by": "by",
    "promotion.by": "by",
    "round.created_by": "by",
    "round_event.user_id": "by",
}


def test_whatever_leads_to_a_person_is_decided():
    """A new column has to say what an erasure does to it."""
    leading = {
        f"{table.name}.{column.name}"
        for table in Base.metadata.tables.values()
        for column in table.c
        for key in column.foreign_keys
        if key.target_fullname == "user.id"
    }
    assert leading == set(DECIDED)
