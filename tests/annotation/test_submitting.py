"""Handing in: once, under a key, late, changed afterwards, with times and flags."""

from datetime import timedelta

import pytest

from app.annotation.models import Annotation
from app.projects.models import Guidelines, Membership
from app.tasks.models import Assignment, AssignmentState, Task
from tests.factories import make_task


@pytest.fixture
def task(session, project):
    task = make_task(session, project, responses=["zero", "one", "two"])
    session.commit()
    return task


def position_of(session, assignment):
    """Canonical position by label, from what the database knows of her screen."""
    row = session.get(Assignment, assignment["id"])
    return dict(zip("ABCDEFGHIJ", row.display_order, strict=False))


def test_the_order_on_the_screen_becomes_ranks_of_responses(session, task, ana, works, stored):
    worker = works(ana)
    mine = worker.claim().json()
    reply = worker.submit(
        mine,
        "B>A=C",
        rationale="B is right",
        flags={"A": ["unsafe", "pii"]},
        rewrite="better",
        times={"wall_ms": 5, "visible_ms": 9_000, "active_ms": 2},
    )
    assert reply.status_code == 201
    (annotation,) = stored(ana)
    assert reply.json() == {"id": str(annotation.id), "revision": 1, "counted": True}
    place = position_of(session, mine)
    expected = [2, 2, 2]
    expected[place["B"]] = 1
    assert annotation.ranks == expected
    assert annotation.flags == {str(place["A"]): ["pii", "unsafe"]}
    assert (annotation.rationale, annotation.rewrite) == ("B is right", "better")
    assert (annotation.guidelines_version, annotation.counted) == (1, True)
    session.refresh(task)
    assert (task.leased, task.counted) == (0, 1)
    assert worker.client.get(f"/api/v1/assignments/{mine['id']}").json()["annotation"] == {
        "ranking": [["B"], ["A", "C"]],
        "ratings": {},
        "rationale": "B is right",
        "flags": {"A": ["pii", "unsafe"]},
        "rewrite": "better",
        "revision": 1,
    }


def test_the_text_of_each_label_is_the_response_it_ranks(session, project, ana, works, stored):
    """Whatever the order on the screen, the best text is the best response."""
    texts, number_of_tasks = ["zero", "one"], 24  # by chance all one way round: once in 8 million
    for number in range(number_of_tasks):
        make_task(session, project, prompt=f"p{number}", responses=texts)
    session.commit()
    worker, orders = works(ana), set()
    for _ in range(number_of_tasks):
        mine = worker.claim().json()
        label = next(each["label"] for each in mine["responses"] if each["text"] == "one")
        orders.add(label)
        worker.submit(mine, f"{label}>{'B' if label == 'A' else 'A'}")
    assert [annotation.ranks for annotation in stored(ana)] == [[2, 1]] * number_of_tasks
    assert orders == {"A", "B"}


class TestIdempotency:
    @pytest.mark.usefixtures("task")
    def test_the_same_again_answers_the_same(self, ana, works, stored):
        worker = works(ana)
        mine = worker.claim().json()
        first = worker.submit(mine, "A>B>C", key="k")
        again = worker.submit(mine, "A>B>C", key="k")
        assert (first.status_code, again.status_code) == (201, 200)
        assert first.json() == again.json()
        assert len(stored(ana)) == 1

    @pytest.mark.usefixtures("task")
    def test_another_body_under_the_key_is_refused(self, ana, works, stored):
        worker = works(ana)
        mine = worker.claim().json()
        worker.submit(mine, "A>B>C", key="k")
        other = worker.submit(mine, "C>B>A", key="k")
        assert other.status_code == 422
        assert "idempotency key" in other.json()["detail"]
        assert len(stored(ana)) == 1

    @pytest.mark.usefixtures("task")
    def test_a_key_belongs_to_one_assignment(self, session, project, ana, works, stored):
        make_task(session, project, prompt="another")
        session.commit()
        worker = works(ana)
        first = worker.claim().json()
        second = worker.claim(after=first["id"]).json()
        ranking = lambda each: ">".join(r["label"] for r in each["responses"])  # noqa: E731
        worker.submit(first, ranking(first), key="k")
        refused = worker.submit(second, ranking(second), key="k")
        assert refused.status_code == 422
        assert len(stored(ana)) == 1
        assert session.get(Assignment, second["id"]).state is AssignmentState.OPEN
        assert worker.submit(second, ranking(second), key="k2").status_code == 201

    def test_two_people_may_use_the_same_key(self, session, project, task, ana, rui, works):
        task.wanted = project.overlap_max = project.overlap_min = 2
        session.commit()
        for user in (ana, rui):
            worker = works(user)
            assert worker.submit(worker.claim().json(), "A>B>C", key="k").status_code == 201

    @pytest.mark.usefixtures("task")
    def test_without_a_key_the_same_body_is_a_replay(self, ana, works, stored):
        worker = works(ana)
        mine = worker.claim().json()
        path = f"/api/v1/assignments/{mine['id']}/annotation"
        body = {"ranking": [["A"], ["B"], ["C"]]}
        assert worker.client.put(path, json=body).status_code == 201
        assert worker.client.put(path, json=body).status_code == 200
        assert worker.client.put(path, json={"ranking": [["C"], ["B"], ["A"]]}).status_code == 409
        assert len(stored(ana)) == 1


class TestRevisions:
    def test_a_new_key_with_the_current_revision_appends_one(
        self, session, task, ana, works, stored
    ):
        worker = works(ana)
        mine = worker.claim().json()
        worker.submit(mine, "A>B>C", times={"wall_ms": 0})
        changed = worker.submit(mine, "C>B>A", revision=1)
        assert changed.status_code == 201
        assert changed.json()["revision"] == 2
        old, new = stored(ana)
        assert (old.is_current, new.is_current) == (False, True)
        assert old.ranks != new.ranks
        assert (new.counted, new.wall_ms) == (True, old.wall_ms)
        session.refresh(task)
        assert (task.leased, task.counted) == (0, 1)

    @pytest.mark.parametrize("revision", [None, 2, 7])
    @pytest.mark.usefixtures("task")
    def test_a_stale_one_is_refused_and_says_which_is_current(self, ana, works, stored, revision):
        worker = works(ana)
        mine = worker.claim().json()
        worker.submit(mine, "A>B>C")
        refused = worker.submit(mine, "C>B>A", **({"revision": revision} if revision else {}))
        assert refused.status_code == 409
        assert "revision 1" in refused.json()["detail"]
        assert len(stored(ana)) == 1

    def test_only_the_last_ten_can_be_changed(self, session, project, ana, works):
        for number in range(11):
            make_task(session, project, prompt=f"p{number}")
        session.commit()
        worker, done = works(ana), []
        for _ in range(11):
            done.append(worker.claim().json())
            worker.submit(done[-1], "A>B")
        refused = worker.submit(done[0], "B>A", revision=1)
        assert refused.status_code == 409
        assert "last 10 answers" in refused.json()["detail"]
        assert worker.submit(done[1], "B>A", revision=1).status_code == 201

    @pytest.mark.usefixtures("task")
    def test_a_replay_of_an_old_revision_is_still_a_replay(self, ana, works, stored):
        worker = works(ana)
        mine = worker.claim().json()
        first = worker.submit(mine, "A>B>C", key="k1").json()
        worker.submit(mine, "C>B>A", key="k2", revision=1)
        again = worker.submit(mine, "A>B>C", key="k1")
        assert (again.status_code, again.json()) == (200, first)
        assert len(stored(ana)) == 2


class TestLateWork:
    @pytest.mark.usefixtures("task")
    def test_it_counts_where_it_is_still_wanted(self, ana, works, clock):
        worker = works(ana)
        mine = worker.claim().json()
        clock.advance(hours=3)
        reply = worker.submit(mine, "A>B>C")
        assert (reply.status_code, reply.json()["counted"]) == (201, True)

    def test_it_is_kept_where_it_is_not(self, session, task, ana, rui, works, stored, clock):
        worker, other = works(ana), works(rui)
        mine = worker.claim().json()
        clock.advance(hours=3)
        theirs = other.claim().json()
        reply = worker.submit(mine, "A>B>C")
        assert (reply.status_code, reply.json()["counted"]) == (201, False)
        assert other.submit(theirs, "A>B>C").json()["counted"] is True
        assert [annotation.counted for annotation in stored(ana)] == [False]
        session.refresh(task)
        assert (task.leased, task.counted, task.wanted) == (0, 1, 1)

    @pytest.mark.usefixtures("task")
    def test_a_skipped_task_can_be_done_after_all(self, session, ana, works):
        worker = works(ana)
        mine = worker.claim().json()
        worker.post(mine, "skip", reason="unclear")
        assert worker.submit(mine, "A>B>C").json()["counted"] is True
        assert session.get(Assignment, mine["id"]).skip_reason is None


class TestNext:
    def test_the_answer_can_carry_the_following_task(self, session, project, ana, works):
        for number in range(3):
            make_task(session, project, prompt=f"p{number}")
        session.commit()
        worker = works(ana)
        first = worker.claim().json()
        ahead = worker.claim(after=first["id"]).json()
        reply = worker.submit(first, "A>B", query="?next=true").json()
        assert reply["next"] == ahead
        behind = worker.submit(ahead, "A>B", query="?next=true").json()
        assert behind["next"]["id"] not in {first["id"], ahead["id"]}
        last = worker.submit(behind["next"], "A>B", query="?next=true").json()
        assert last["next"] is None

    def test_or_the_one_behind_the_prefetched(self, session, project, ana, works):
        for number in range(3):
            make_task(session, project, prompt=f"p{number}")
        session.commit()
        worker = works(ana)
        first = worker.claim().json()
        ahead = worker.claim(after=first["id"]).json()
        query = f"?next=true&after={ahead['id']}&html=true"
        behind = worker.submit(first, "A>B", query=query).json()["next"]
        assert behind["id"] not in {first["id"], ahead["id"]}
        assert 'data-assignment="' + behind["id"] in behind["html"]
        assert worker.claim().json() == ahead


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"ranking": [["A"], ["B"]]}, "Response C is missing"),
        ({"ranking": [["A", "B", "C", "D"]]}, "no response D"),
        ({"ranking": "ABC"}, "ranking"),
        ({"strength": 1}, "belongs to a pair"),
        ({"ratings": {"clear": {"A": 1}}}, "no criterion"),
        ({"flags": {"Z": ["unsafe"]}}, "no response Z"),
        ({"flags": {"A": ["Very Bad!"]}}, "flags"),
        ({"gold": True}, "gold"),
        ({"rationale": "a\0b"}, "NUL"),
        ({"rationale": "x" * 10_001}, "10000 characters"),
        ({"times": {"visible_ms": -1}}, "visible_ms"),
    ],
)
@pytest.mark.usefixtures("task")
def test_what_does_not_fit_is_refused_and_nothing_is_stored(
    session, ana, works, stored, change, sentence
):
    worker = works(ana)
    mine = worker.claim().json()
    body = {"ranking": [["A"], ["B"], ["C"]]} | change
    reply = worker.client.put(f"/api/v1/assignments/{mine['id']}/annotation", json=body)
    assert reply.status_code == 422
    assert sentence in reply.json()["detail"]
    assert stored(ana) == []
    assert session.get(Assignment, mine["id"]).state is AssignmentState.OPEN


@pytest.mark.usefixtures("task")
def test_blanks_are_no_text(ana, works, stored):
    worker = works(ana)
    mine = worker.claim().json()
    worker.submit(mine, "A>B>C", rationale=" ", rewrite=" \n")
    (annotation,) = stored(ana)
    assert (annotation.rationale, annotation.rewrite) == (None, None)


@pytest.mark.usefixtures("task")
def test_times_are_kept_within_the_time_that_passed(session, ana, works, stored, clock):
    worker = works(ana)
    mine = worker.claim().json()
    clock.advance(seconds=60)
    worker.submit(mine, "A>B>C", times={"visible_ms": 999_000, "active_ms": 12_000})
    (annotation,) = stored(ana)
    assert (annotation.wall_ms, annotation.visible_ms, annotation.active_ms) == (
        60_000,
        60_000,
        12_000,
    )


class TestDrafts:
    @pytest.mark.usefixtures("task")
    def test_the_newest_stays_and_comes_back(self, ana, works):
        worker = works(ana)
        mine = worker.claim().json()
        assert worker.draft(mine, revision=2, ranking=[["B"]], rationale="so far").json() == {
            "revision": 2,
            "saved": True,
        }
        for stale in (1, 2):
            assert worker.draft(mine, revision=stale, rationale="old").json() == {
                "revision": 2,
                "saved": False,
            }
        assert worker.claim().json()["draft"] == {
            "ranking": [["B"]],
            "rationale": "so far",
            "revision": 2,
        }

    @pytest.mark.usefixtures("task")
    def test_one_that_arrives_after_the_submission_is_dropped(self, session, ana, works):
        worker = works(ana)
        mine = worker.claim().json()
        worker.draft(mine, revision=1, rationale="half")
        worker.submit(mine, "A>B>C")
        assert worker.draft(mine, revision=9, rationale="late").json()["saved"] is False
        assert session.get(Assignment, mine["id"]).draft is None

    @pytest.mark.usefixtures("task")
    def test_its_texts_complete_a_judgement_that_lost_them(self, ana, works, stored):
        worker = works(ana)
        mine = worker.claim().json()
        worker.draft(mine, revision=1, ranking=[["A"]], rationale="B is right", rewrite="better")
        assert worker.submit(mine, "B>A=C", from_draft=True).status_code == 201
        (annotation,) = stored(ana)
        assert (annotation.rationale, annotation.rewrite) == ("B is right", "better")
        assert len(set(annotation.ranks)) == 2  # the rest is what she sent

    @pytest.mark.usefixtures("task")
    def test_a_text_that_was_cleared_does_not_come_back_from_it(self, ana, works, stored):
        worker = works(ana)
        mine = worker.claim().json()
        worker.draft(mine, revision=1, rationale="no longer meant", rewrite="better")
        assert worker.submit(mine, "B>A=C", from_draft=True, rationale="").status_code == 201
        (annotation,) = stored(ana)
        assert (annotation.rationale, annotation.rewrite) == (None, "better")

    @pytest.mark.usefixtures("task")
    def test_it_survives_a_lease_that_ran_out(self, ana, rui, works, clock):
        worker, other = works(ana), works(rui)
        mine = worker.claim().json()
        worker.draft(mine, revision=1, rationale="half")
        clock.advance(hours=1)
        theirs = other.claim().json()
        other.post(theirs, "release")
        assert worker.claim().json()["draft"] == {"rationale": "half", "revision": 1}


def test_imported_people_and_others_are_not_disturbed(session, task, ana, works):
    """`noise` judged other tasks of another project; nothing of that moves."""
    before = session.query(Annotation).filter(Annotation.project_id != task.project_id).count()
    worker = works(ana)
    worker.submit(worker.claim().json(), "A>B>C")
    others = session.query(Annotation).filter(Annotation.project_id != task.project_id)
    assert others.count() == before > 0
    assert {
        (each.leased, each.counted)
        for each in session.query(Task).filter(Task.project_id != task.project_id)
    } == {(0, 1), (0, 0)}


@pytest.mark.usefixtures("task")
@pytest.mark.parametrize(("read", "named"), [(1, 1), (2, 2), (0, 2)])
def test_guidelines_named_are_those_she_has_read(session, project, ana, works, stored, read, named):
    """Version 2 came out while she worked; a program that acknowledges nothing has the newest."""
    worker = works(ana)
    mine = worker.claim().json()
    session.add(Guidelines(project_id=project.id, version=2, text="New."))
    project.guidelines_version = 2
    session.get_one(Membership, (project.id, ana.id)).guidelines_read = read
    session.commit()
    assert worker.claim().json()["guidelines_version"] == 2
    worker.submit(mine, "A>B>C")
    assert stored(ana)[0].guidelines_version == named


@pytest.mark.usefixtures("task")
def test_a_stale_answer_is_told_the_stored_one(ana, works):
    worker = works(ana)
    mine = worker.claim().json()
    worker.submit(mine, "C>A>B", rationale="first")
    refused = worker.submit(mine, "A>B>C", rationale="second")
    assert refused.status_code == 409
    current = refused.json()["errors"][0]["current"]
    assert (current["ranking"], current["rationale"]) == ([["C"], ["A"], ["B"]], "first")
    assert worker.submit(mine, "A>B>C", revision=current["revision"]).status_code == 201


@pytest.mark.usefixtures("task")
def test_a_minute_is_not_lost_to_rounding(session, ana, works, stored, clock):
    worker = works(ana)
    mine = worker.claim().json()
    clock.now += timedelta(milliseconds=61_234)
    worker.submit(mine, "A>B>C")
    assert stored(ana)[0].wall_ms == 61_234
