"""The checker finds each fault of a spoilt history, and none in a good one."""

import json
from dataclasses import replace

import pytest

from tests.history.checker import check
from tests.history.events import FAIL, OK, UNKNOWN, Call, Recorder, read_calls
from tests.history.journal import Change, State

TASK, ANA, RUI = "task", "ana", "rui"


class Story:
    """Ana judges, changes her answer and sends it again; Rui comes too late for the one place."""

    def __init__(self):
        self.at = 100.0
        self.seq = 0
        self.task = {"id": TASK, "kind": "ordinary", "wanted": 1, "leased": 0, "counted": 0}
        self.calls: list[Call] = []
        self.journal: list[Change] = []
        self.assignments: dict[str, dict] = {}
        self.annotations: list[dict] = []

    def tick(self):
        self.at += 1.0
        return self.at

    def change(self, kind, before, after, *, due=None):
        self.seq += 1
        at = self.at
        self.journal.append(Change(self.seq, self.tx, at, kind, before, after, due))

    def count(self, leased, counted, wanted=1):
        after = self.task | {"leased": leased, "counted": counted, "wanted": wanted}
        self.change("task", self.task, after)
        self.task = after

    def move(self, name, state, *, user=None, due=None):
        known = self.assignments.get(name)
        before = dict(known) if known else None
        row = before or {
            "id": name,
            "task_id": TASK,
            "user_id": user,
            "is_repeat": False,
            "display_order": [1, 0],
        }
        after = row | {"state": state}
        self.change("assignment", before, after, due=due)
        self.assignments[name] = dict(after)

    def begin(self):
        self.tx = round(self.tick())

    def claim(self, person, name, *, leased=1):
        sent = self.tick()
        self.begin()
        self.count(leased, self.task["counted"])
        self.move(name, "open", user=person)
        answer = {"assignment": name}
        self.calls.append(Call(person, "claim", sent, None, None, {}, OK, self.tick(), 201, answer))

    def expire(self, name):
        self.begin()
        self.move(name, "expired", due=self.at - 1)
        self.count(0, self.task["counted"])

    def judge(self, person, name, *, revision=1, counted=True, places=(0, 1), status=201):
        key, id_ = f"key {name} {revision}", f"judgement {name} {revision}"
        body = {"ranking": [["A"], ["B"]], "rationale": key}
        if revision > 1:
            body["revision"] = revision - 1
        sent = self.tick()
        self.begin()
        if revision == 1:
            self.move(name, "submitted", due=self.at + 1000)
            if counted:
                self.count(*places)
        for old in self.annotations:
            if old["assignment_id"] == name and old["is_current"]:
                self.change("annotation", dict(old), old | {"is_current": False})
                old["is_current"] = False
        row = {
            "id": id_,
            "assignment_id": name,
            "task_id": TASK,
            "user_id": person,
            "revision": revision,
            "is_current": True,
            "counted": counted,
            "is_repeat": False,
            "ranks": [2, 1],  # A is the second response here
            "rationale": key,
            "key": key,
        }
        self.annotations.append(row)
        self.change("annotation", None, dict(row))
        answer = {"id": id_, "revision": revision, "counted": counted}
        call = Call(person, "submit", sent, name, key, body, OK, self.tick(), status, answer)
        self.calls.append(call)
        return call

    def state(self):
        return State([self.task], list(self.assignments.values()), self.annotations, self.journal)

    def kinds(self):
        return {violation.kind for violation in check(self.calls, self.state())}


@pytest.fixture
def story():
    story = Story()
    story.claim(RUI, "hers")
    story.expire("hers")
    story.claim(ANA, "mine")
    story.judge(ANA, "mine")
    story.judge(RUI, "hers", counted=False)
    again = story.judge(ANA, "mine", revision=2)
    story.calls.append(replace(again, sent=story.tick(), status=200, ended=story.tick()))
    return story


def spoil_call(story, number, **values):
    story.calls[number] = replace(story.calls[number], **values)


def test_a_good_history_has_no_fault(story):
    assert story.kinds() == set()


def test_more_people_at_a_task_than_it_wants(story):
    story.begin()
    story.count(1, 1)
    story.move("third", "open", user="sam")
    assert story.kinds() == {"too_many"}


def test_a_moment_too_many_is_found_though_it_is_over(story):
    story.begin()
    story.count(1, 1)
    story.move("third", "open", user="sam")
    story.expire("third")
    assert "too_many" in story.kinds()


def test_counters_that_do_not_say_what_is_there(story):
    story.begin()
    story.count(0, 0)
    assert story.kinds() == {"counters"}


def test_counters_that_are_wrong_in_the_end(story):
    story.task = story.task | {"counted": 0}
    assert story.kinds() == {"counters"}


def test_late_work_that_counts_without_a_place(story):
    late = next(n for n, e in enumerate(story.journal) if e.after["id"] == "judgement hers 1")
    story.journal[late] = replace(
        story.journal[late], after=story.journal[late].after | {"counted": True}
    )
    assert "late_counted" in story.kinds()


def test_late_work_that_does_not_count_though_it_is_wanted():
    story = Story()
    story.claim(RUI, "hers")
    story.expire("hers")
    story.judge(RUI, "hers", counted=False)
    assert story.kinds() == {"late_counted"}


def test_late_work_need_not_count_while_the_overlap_becomes_smaller():
    story = Story()
    story.claim(RUI, "hers")
    story.expire("hers")
    before = {"id": "project", "overlap_max": 1}
    story.change("project", before, before | {"overlap_max": 0})
    story.judge(RUI, "hers", counted=False)
    assert story.kinds() == set()


def test_late_work_that_is_not_kept(story):
    story.journal = [e for e in story.journal if e.after["id"] != "judgement hers 1"]
    assert "late_lost" in story.kinds()


def test_a_lease_that_ends_before_its_time(story):
    number = next(n for n, e in enumerate(story.journal) if e.due and e.due < e.at)
    story.journal[number] = replace(story.journal[number], due=story.at + 100)
    assert story.kinds() == {"taken_away"}


def test_a_lease_that_its_holder_gives_back_may_end_before_its_time(story):
    number = next(n for n, e in enumerate(story.journal) if e.due and e.due < e.at)
    story.journal[number] = replace(story.journal[number], due=story.at + 100)
    story.calls.append(Call(RUI, "release", 0.0, "hers", outcome=UNKNOWN))
    assert story.kinds() == set()


def test_a_submitted_assignment_that_is_open_again(story):
    story.begin()
    story.move("mine", "open")
    story.assignments["mine"]["state"] = "submitted"
    assert "transition" in story.kinds()


def test_a_task_that_one_person_has_twice(story):
    other = story.assignments["hers"]
    other["user_id"] = ANA
    for row in story.annotations:
        row["user_id"] = ANA
    for number in range(len(story.calls)):
        spoil_call(story, number, person=ANA)
    assert story.kinds() == {"twice"}


def test_two_judgements_in_force(story):
    story.annotations[0]["is_current"] = True
    assert "revisions" in story.kinds()


def test_a_judgement_without_a_finished_assignment(story):
    story.assignments["hers"]["state"] = "skipped"
    assert "state" in story.kinds()


def test_an_acknowledged_judgement_that_is_lost(story):
    del story.annotations[-1]
    assert "lost" in story.kinds()


def test_a_revision_that_is_lost_while_the_judgement_stays(story):
    gone = story.annotations.pop()
    story.annotations[0]["is_current"] = True
    assert gone["revision"] == 2
    assert "lost" in story.kinds()


@pytest.mark.parametrize(("field", "value"), [("ranks", [1, 2]), ("rationale", "another")])
def test_a_judgement_that_is_not_what_was_sent(story, field, value):
    story.annotations[1][field] = value
    assert story.kinds() == {"altered"}


def test_a_judgement_that_nobody_sent(story):
    story.calls = [call for call in story.calls if call.person != RUI or call.op != "submit"]
    assert story.kinds() == {"invented", "taken_away"}


def test_a_judgement_that_was_refused_and_kept(story):
    number = next(n for n, c in enumerate(story.calls) if c.key == "key hers 1")
    spoil_call(story, number, outcome=FAIL, status=409, answer={})
    assert story.kinds() == {"refused_but_kept"}


def test_a_judgement_without_an_answer_may_be_kept_or_not(story):
    number = next(n for n, c in enumerate(story.calls) if c.key == "key hers 1")
    spoil_call(story, number, outcome=UNKNOWN, status=0, answer=None)
    never = replace(story.calls[number], key="another", assignment="mine")
    story.calls.append(never)
    assert story.kinds() == set()


def test_an_answer_that_is_about_another_judgement(story):
    spoil_call(story, -1, key="key mine 1")
    assert {"answered_another", "replies"} <= story.kinds()


def test_answers_that_differ_under_one_key(story):
    spoil_call(story, -1, answer=story.calls[-1].answer | {"counted": False})
    assert story.kinds() == {"replies"}


def test_a_revision_on_top_of_one_that_was_replaced(story):
    for number in (-1, -2):
        spoil_call(story, number, body=story.calls[number].body | {"revision": 0})
    assert story.kinds() == {"stale"}


def test_two_tabs_that_both_replace_the_same_revision(story):
    other = replace(story.calls[-1], key="other tab")
    story.calls.append(other)
    assert "stale" in story.kinds()


def test_somebody_elses_assignment(story):
    story.calls.append(
        Call(
            RUI,
            "claim",
            story.tick(),
            None,
            None,
            {},
            OK,
            story.tick(),
            200,
            {"assignment": "mine"},
        )
    )
    assert story.kinds() == {"not_hers"}


def test_a_skip_that_is_forgotten(story):
    story.claim("sam", "third", leased=0)
    story.journal = story.journal[:-2]
    story.task["leased"] = 0
    story.assignments["third"]["state"] = "expired"
    story.calls.append(Call("sam", "skip", 0.0, "third", None, {}, OK, 1.0, 204, {}))
    assert story.kinds() == {"skip_lost"}


def test_somebody_who_is_paused_and_gets_a_task(story):
    opened = next(e.at for e in story.journal if e.after["id"] == "mine")
    pause = Call(ANA, "pause", opened - 2, outcome=OK, ended=opened - 1)
    story.calls.append(pause)
    assert story.kinds() == {"paused"}
    story.calls.append(Call(ANA, "resume", opened - 0.5, outcome=OK, ended=opened + 5))
    assert story.kinds() == set()


def test_events_become_calls_and_one_without_an_end_is_unknown(tmp_path):
    recorder = Recorder(tmp_path / "one.jsonl")
    done = recorder.invoke(person=ANA, op="submit", assignment="mine", key="k", body={"a": 1})
    recorder.invoke(person=RUI, op="claim", body={})
    recorder.end(done, OK, status=201, answer={"id": "x"})
    recorder.close()
    told, untold = read_calls(tmp_path)
    assert (told.person, told.key, told.outcome, told.status) == (ANA, "k", OK, 201)
    assert told.sent <= told.ended
    assert (untold.person, untold.outcome, untold.ended) == (RUI, UNKNOWN, float("inf"))
    lines = (tmp_path / "one.jsonl").read_text().splitlines()
    assert [json.loads(line)["type"] for line in lines] == ["invoke", "invoke", OK]
