"""Agreement, annotators and review through the API."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.accounts.models import AuditEvent, Role, User
from app.projects.models import Membership, Project
from app.quality.models import Adjudication, QualitySummary
from app.quality.rules import every_two
from app.quality.service import summary
from app.tasks.models import GoldKey, Task
from tests.factories import make_annotation, make_member, make_prompt, make_task, make_user
from tests.people import People

Api = Callable[[User], TestClient]


def judged(
    session: Session, project: Project, users: list[User], votes: list[list[list[int]]], **fields
) -> list[Task]:
    """A task per entry of `votes`, judged by each user in turn; None = not judged by her."""
    tasks = []
    for number, ranks in enumerate(votes):
        task = make_task(session, project, prompt=f"Question {number}", wanted=len(users))
        for user, given in zip(users, ranks, strict=True):
            if given is not None:
                make_annotation(session, task, user, ranks=given, **fields)
        tasks.append(task)
    session.commit()
    return tasks


FIRST, SECOND, TIE = [1, 2], [2, 1], [1, 1]


def agreement(api: Api, user: User, project: Project, by: str | None = None) -> dict:
    query = f"?by={by}" if by else ""
    reply = api(user).get(f"/api/v1/projects/{project.id}/agreement{query}")
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_agreement_of_three_tasks(session: Session, people: People, api: Api):
    judged(
        session,
        people.project,
        [people.ana, people.rui],
        [[FIRST, FIRST], [FIRST, SECOND], [TIE, FIRST]],
    )
    ranking = agreement(api, people.ada, people.project)["fields"]["ranking"]
    assert (ranking["n_tasks"], ranking["n_annotations"], ranking["n_shared_tasks"]) == (3, 6, 3)
    assert ranking["percent_agreement"]["value"] == pytest.approx(1 / 3, abs=1e-6)
    assert ranking["percent_agreement_no_ties"]["value"] == 0.5
    assert ranking["percent_agreement"]["low"] is None
    assert "fewer than 10 tasks" in ranking["percent_agreement"]["reason"]


def test_what_is_not_defined_is_null_with_a_reason(session: Session, people: People, api: Api):
    judged(session, people.project, [people.ana], [[FIRST], [SECOND]])
    fields = agreement(api, people.ada, people.project)["fields"]
    assert fields["ranking"]["krippendorff_alpha"] == {
        "value": None,
        "low": None,
        "high": None,
        "reason": "No task has been judged by two people yet.",
    }


def test_a_new_judgement_shows_at_once_and_nothing_is_computed_twice(
    session: Session, people: People, api: Api
):
    tasks = judged(session, people.project, [people.ana, people.rui], [[FIRST, SECOND]])
    first = agreement(api, people.ada, people.project)
    again = agreement(api, people.ada, people.project)
    assert first == again
    make_annotation(session, tasks[0], people.ada, ranks=FIRST)
    session.commit()
    ranking = agreement(api, people.ada, people.project)["fields"]["ranking"]
    assert ranking["n_annotations"] == 3
    assert ranking["percent_agreement"]["value"] == pytest.approx(1 / 3, abs=1e-6)


def test_a_task_that_becomes_gold_leaves_the_figures(session: Session, people: People, api: Api):
    tasks = judged(
        session, people.project, [people.ana, people.rui], [[FIRST, SECOND], [FIRST, FIRST]]
    )
    assert agreement(api, people.ada, people.project)["fields"]["ranking"]["n_tasks"] == 2
    session.add(GoldKey(task_id=tasks[0].id, prefers=[[0, 1]]))
    tasks[0].kind, tasks[0].wanted = "gold", None
    session.commit()
    ranking = agreement(api, people.ada, people.project)["fields"]["ranking"]
    assert ranking["n_tasks"] == 1
    assert ranking["percent_agreement"]["value"] == 1


def test_a_large_project_shows_what_is_kept_and_asks_for_new_figures(
    session: Session, people: People, api: Api, monkeypatch: pytest.MonkeyPatch
):
    tasks = judged(session, people.project, [people.ana, people.rui], [[FIRST, FIRST]])
    before = agreement(api, people.ada, people.project)
    monkeypatch.setattr(summary, "INLINE", 1)
    make_annotation(session, tasks[0], people.ada, ranks=SECOND)
    session.commit()
    after = agreement(api, people.ada, people.project)
    assert after == {**before, "is_current": False}
    assert agreement(api, people.ada, people.project) == after  # asked once more, queued once


def test_strength_and_criteria_are_fields_of_their_own(session: Session, people: People, api: Api):
    project = people.project
    project.criteria = [{"key": "helpful", "label": "Helpful", "min": 1, "max": 5}]
    task = make_task(session, project, wanted=2)
    for user, helpful in ((people.ana, [5, 1]), (people.rui, [5, 2])):
        make_annotation(session, task, user, ranks=FIRST, strength=2, ratings={"helpful": helpful})
    session.commit()
    fields = agreement(api, people.ada, project)["fields"]
    assert list(fields) == ["ranking", "strength", "criterion:helpful"]
    assert fields["strength"]["percent_agreement"]["value"] == 1
    assert fields["criterion:helpful"]["percent_agreement"]["value"] == 0.5
    project.strength_levels = 0
    session.commit()
    assert "strength" not in agreement(api, people.ada, project)["fields"]


def test_by_annotator_pair_holds_every_two_with_cohens_kappa(
    session: Session, people: People, api: Api
):
    judged(
        session,
        people.project,
        [people.ana, people.rui, people.ada],
        [[FIRST, FIRST, SECOND], [SECOND, SECOND, SECOND], [FIRST, SECOND, None]],
    )
    answer = agreement(api, people.ada, people.project, "annotator_pair")
    found = {frozenset(group["user_ids"]): group["fields"]["ranking"] for group in answer["groups"]}
    ana_rui = found[frozenset({str(people.ana.id), str(people.rui.id)})]
    assert len(found) == 3
    assert ana_rui["n_tasks"] == 3
    assert ana_rui["percent_agreement"]["value"] == pytest.approx(2 / 3, abs=1e-6)
    # po = 2/3; both say first: 2/3 · 1/3, both say second: 1/3 · 2/3
    assert ana_rui["cohen_kappa"]["value"] == pytest.approx((2 / 3 - 4 / 9) / (5 / 9), abs=1e-6)
    ana_ada = found[frozenset({str(people.ana.id), str(people.ada.id)})]
    assert ana_ada["n_tasks"] == 2


def test_a_project_with_one_annotator_has_no_pair_and_says_so(
    session: Session, people: People, api: Api
):
    judged(session, people.project, [people.ana], [[FIRST], [SECOND]])
    answer = agreement(api, people.ada, people.project, "annotator_pair")
    assert answer["groups"] == []
    assert "no two people have judged the same task" in answer["reason"]


def test_by_week_puts_a_task_into_the_week_of_its_latest_judgement(
    session: Session, people: People, api: Api
):
    task = make_task(session, people.project, wanted=2)
    for user, day in ((people.ana, 1), (people.rui, 4)):  # a Sunday and a Wednesday
        make_annotation(
            session, task, user, ranks=FIRST, submitted_at=datetime(2026, 3, day, tzinfo=UTC)
        )
    session.commit()
    groups = agreement(api, people.ada, people.project, "week")["groups"]
    assert [group["key"] for group in groups] == ["2026-W10"]
    assert groups[0]["fields"]["ranking"]["percent_agreement"]["value"] == 1


def test_by_day_has_the_ranking_alone(session: Session, people: People, api: Api):
    task = make_task(session, people.project, wanted=2)
    for user, day in ((people.ana, 3), (people.rui, 4)):
        make_annotation(
            session, task, user, ranks=FIRST, submitted_at=datetime(2026, 3, day, tzinfo=UTC)
        )
    session.commit()
    (group,) = agreement(api, people.ada, people.project, "day")["groups"]
    assert group["key"] == "2026-03-04"
    assert group["fields"].keys() == {"ranking"}
    assert group["fields"]["ranking"]["percent_agreement"]["value"] == 1


def test_by_tag_puts_a_task_under_each_tag_of_its_prompt(
    session: Session, people: People, api: Api
):
    for tags, ranks in ((["cooking", "short"], SECOND), (["cooking"], FIRST), ([], FIRST)):
        prompt = make_prompt(session, people.project, "?", tags=tags)
        task = make_task(session, people.project, prompt=prompt, wanted=2)
        make_annotation(session, task, people.ana, ranks=FIRST)
        make_annotation(session, task, people.rui, ranks=ranks)
    unjudged = make_prompt(session, people.project, "Nobody has seen it.", tags=["rare"])
    make_task(session, people.project, prompt=unjudged)
    session.commit()
    groups = agreement(api, people.ada, people.project, "tag")["groups"]
    found = {group["key"]: group["fields"]["ranking"]["percent_agreement"] for group in groups}
    assert {key: figure["value"] for key, figure in found.items()} == {
        "cooking": 0.5,
        "": 1,
        "short": 0,
    }


def test_by_guidelines_version_compares_inside_a_version(
    session: Session, people: People, api: Api
):
    task = make_task(session, people.project, wanted=3)
    for user, ranks, version in (
        (people.ana, FIRST, 1),
        (people.rui, SECOND, 2),
        (people.ada, SECOND, 2),
    ):
        make_annotation(session, task, user, ranks=ranks).guidelines_version = version
    session.commit()
    groups = agreement(api, people.ada, people.project, "guidelines_version")["groups"]
    found = {group["key"]: group["fields"]["ranking"]["percent_agreement"] for group in groups}
    assert found["2"]["value"] == 1
    assert found["1"]["value"] is None


def test_by_source_names_the_sources_of_the_prompts(session: Session, people: People, api: Api):
    for source in ("forum", "forum", None):
        prompt = make_prompt(session, people.project, "?", source=source)
        task = make_task(session, people.project, prompt=prompt, wanted=1)
        make_annotation(session, task, people.ana, ranks=FIRST)
    session.commit()
    groups = agreement(api, people.ada, people.project, "source")["groups"]
    assert [(group["key"], group["fields"]["ranking"]["n_tasks"]) for group in groups] == [
        ("forum", 2),
        ("", 1),
    ]


def test_a_group_of_four_is_not_shown_and_one_of_five_is(
    session: Session, people: People, api: Api
):
    crowd = []
    for number in range(9):
        user = make_user(session, f"Person {number}")
        user.preferences = {"demographics": {"first language": "en" if number < 5 else "pt"}}
        make_member(session, people.project, user, Role.ANNOTATOR)
        crowd.append(user)
    judged(session, people.project, crowd[:4] + crowd[5:], [[FIRST] * 8])
    answer = agreement(api, people.ada, people.project, "group")
    assert answer["groups"] == []
    assert "recognised" in answer["reason"]
    judged(session, people.project, crowd, [[FIRST] * 9])
    answer = agreement(api, people.ada, people.project, "group")
    assert [group["key"] for group in answer["groups"]] == ["first language: en"]


def test_two_groups_are_held_against_each_other_and_a_group_of_two_is_not(
    session: Session, people: People, api: Api
):
    crowd = []
    for number in range(12):
        user = make_user(session, f"Person {number}")
        language = "en" if number < 5 else "pt" if number < 10 else "fi"
        user.preferences = {"demographics": {"first language": language}}
        make_member(session, people.project, user, Role.ANNOTATOR)
        crowd.append(user)
    # the English speakers say the first, then the second; the others differ by one of five
    votes = [[FIRST] * 9 + [SECOND] + [FIRST] * 2, [SECOND] * 5 + [FIRST] + [SECOND] * 6]
    judged(session, people.project, crowd, votes)
    answer = agreement(api, people.ada, people.project, "group")
    assert [group["key"] for group in answer["groups"]] == [
        "first language: en",
        "first language: pt",
    ]
    assert answer["reason"] == (
        "1 group is not shown: where fewer than 5 people have judged, they could be recognised."
    )
    (between,) = answer["between"]
    assert between["groups"] == ["first language: en", "first language: pt"]
    ranking = between["fields"]["ranking"]
    assert ranking["n_shared_tasks"] == 2
    assert ranking["percent_agreement"]["value"] == 0.8
    assert ranking["kappa_x"]["value"] == pytest.approx(1 - 0.2 / 0.5, abs=1e-6)
    assert "fewer than 10 tasks" in ranking["kappa_x"]["reason"]


def test_a_repeat_is_no_part_of_any_breakdown(session: Session, people: People, api: Api):
    task = make_task(session, people.project, wanted=2)
    for user in (people.ana, people.rui):
        make_annotation(
            session, task, user, ranks=FIRST, submitted_at=datetime(2026, 3, 4, tzinfo=UTC)
        )
    again = make_annotation(
        session,
        task,
        people.ana,
        ranks=FIRST,
        is_repeat=True,
        submitted_at=datetime(2026, 3, 25, tzinfo=UTC),
    )
    again.guidelines_version = 2
    session.commit()
    for by, key in (("week", "2026-W10"), ("guidelines_version", "1"), ("source", "")):
        groups = agreement(api, people.ada, people.project, by)["groups"]
        assert [group["key"] for group in groups] == [key]


def test_a_breakdown_that_leaves_something_out_says_so(
    session: Session, people: People, api: Api, monkeypatch: pytest.MonkeyPatch
):
    crowd = [people.ana, people.rui, people.ada]
    judged(session, people.project, crowd, [[FIRST, FIRST, SECOND], [FIRST, SECOND, None]])
    complete = agreement(api, people.ada, people.project, "annotator_pair")
    assert len(complete["groups"]) == 3
    assert "reason" not in complete
    monkeypatch.setattr(every_two, "MOST_PEOPLE", 2)
    session.delete(session.get_one(QualitySummary, (people.project.id, "annotator_pair")))
    session.commit()
    answer = agreement(api, people.ada, people.project, "annotator_pair")
    assert len(answer["groups"]) == 1
    assert answer["reason"] == "Only the 2 people with most judgements are paired here, of 3."


def test_figures_follow_what_they_depend_on(session: Session, people: People, api: Api):
    # Without one more judgement: another task is gold, ties are not allowed, people tell of
    # themselves.
    project = people.project
    votes = [[FIRST, SECOND], [FIRST, FIRST], [SECOND, FIRST], [SECOND, SECOND]]
    tasks = judged(session, project, [people.ana, people.rui], votes)
    key = GoldKey(task_id=tasks[0].id, prefers=[[0, 1]])
    session.add(key)
    tasks[0].kind, tasks[0].wanted = "gold", None
    session.commit()
    before = agreement(api, people.ada, project)["fields"]["ranking"]
    assert before["percent_agreement"]["value"] == pytest.approx(2 / 3, abs=1e-6)
    session.delete(key)
    session.add(GoldKey(task_id=tasks[1].id, prefers=[[0, 1]]))
    tasks[0].kind, tasks[0].wanted, tasks[1].kind, tasks[1].wanted = "ordinary", 2, "gold", None
    session.commit()
    after = agreement(api, people.ada, project)["fields"]["ranking"]
    assert after["percent_agreement"]["value"] == pytest.approx(1 / 3, abs=1e-6)
    project.allow_ties = False
    session.commit()
    strict = agreement(api, people.ada, project)["fields"]["ranking"]
    assert strict["gwet_ac"]["value"] < after["gwet_ac"]["value"]


def test_groups_follow_what_people_say_of_themselves(session: Session, people: People, api: Api):
    crowd = [make_user(session, f"Person {number}") for number in range(5)]
    for user in crowd:
        make_member(session, people.project, user, Role.ANNOTATOR)
    judged(session, people.project, crowd, [[FIRST] * 5])
    assert agreement(api, people.ada, people.project, "group")["groups"] == []
    for user in crowd:
        user.preferences = {"demographics": {"first language": "en"}}
    session.commit()
    answer = agreement(api, people.ada, people.project, "group")
    assert [group["key"] for group in answer["groups"]] == ["first language: en"]


# People


def test_one_row_per_person_with_reasons_where_nothing_is_known(
    session: Session, people: People, api: Api
):
    judged(
        session,
        people.project,
        [people.ana, people.rui],
        [[FIRST, FIRST]] * 12,
        display_order=[1, 0],
        active_ms=8_000,
    )
    member = session.get(Membership, (people.project.id, people.ana.id))
    member.gold_seen, member.gold_passed = 10, 9
    session.commit()
    reply = api(people.ada).get(f"/api/v1/projects/{people.project.id}/annotators").json()
    rows = {row["name"]: row for row in reply["items"]}
    assert set(rows) == {"Ana", "Rui"}  # Rui reviews, and has judged
    ana = rows["Ana"]
    assert ana["n_annotations"] == 12
    assert ana["gold_accuracy"]["value"] == 0.9
    assert ana["gold_accuracy"]["low"] < 0.9 < ana["gold_accuracy"]["high"]
    assert ana["gold_posterior"]["value"] == pytest.approx(13 / 15.5, abs=1e-6)
    assert ana["standing"] == "good"
    assert ana["peer_agreement"]["value"] == 1
    assert ana["position_bias"]["value"] == 0  # what she preferred always stood on the right
    assert ana["position_bias"]["p_value"] == pytest.approx(2 / 2**12, rel=1e-3)
    assert ana["seconds_per_task"]["value"] == 8
    assert ana["self_consistency"]["value"] is None
    assert rows["Rui"]["gold_accuracy"]["reason"] == "No gold question has been answered."


def test_annotators_come_in_pages(session: Session, people: People, api: Api):
    judged(session, people.project, [people.ana, people.rui], [[FIRST, FIRST]])
    address = f"/api/v1/projects/{people.project.id}/annotators"
    first = api(people.ada).get(address, params={"limit": 1}).json()
    second = api(people.ada).get(address, params={"cursor": first["next_cursor"]}).json()
    assert [row["name"] for row in first["items"] + second["items"]] == ["Ana", "Rui"]
    assert second["next_cursor"] is None


# Review


def test_the_most_disputed_task_comes_first(session: Session, people: People, api: Api):
    tasks = judged(
        session,
        people.project,
        [people.ana, people.rui],
        [[FIRST, FIRST], [FIRST, SECOND], [TIE, TIE]],
    )
    reply = api(people.rui).get(f"/api/v1/projects/{people.project.id}/tasks?order=disagreement")
    items = reply.json()["items"]
    assert items[0]["id"] == str(tasks[1].id)
    assert [item["disagreement"] for item in items] == [1, 0, 0]
    assert items[0]["adjudicated_at"] is None


def test_rui_settles_a_task_by_label_or_by_id(session: Session, people: People, api: Api):
    (task,) = judged(session, people.project, [people.ana, people.rui], [[FIRST, SECOND]])
    address = f"/api/v1/tasks/{task.id}/adjudication"
    rui = api(people.rui)
    by_label = rui.put(address, json={"ranking": [["B"], ["A"]], "reason": "A is wrong."})
    assert by_label.status_code == 200, by_label.text
    assert by_label.json()["ranks"] == [2, 1]
    ids = by_label.json()["response_ids"]
    by_id = rui.put(address, json={"ranking": [ids], "reason": "Both are fine after all."})
    assert by_id.json()["ranks"] == [1, 1]
    listed = rui.get(f"/api/v1/projects/{people.project.id}/tasks").json()["items"]
    assert listed[0]["adjudicated_at"] is not None
    assert session.query(Adjudication).filter_by(task_id=task.id).count() == 2
    actions = session.scalars(select(AuditEvent.action)).all()
    assert actions.count("task.adjudicate") == 2


def test_settling_the_same_way_twice_changes_nothing(session: Session, people: People, api: Api):
    (task,) = judged(session, people.project, [people.ana], [[FIRST]])
    body = {"ranking": [["A"], ["B"]], "reason": "Clear."}
    address = f"/api/v1/tasks/{task.id}/adjudication"
    answers = [api(people.rui).put(address, json=body).json() for _ in range(2)]
    assert answers[0] == answers[1]
    assert session.query(Adjudication).filter_by(task_id=task.id).count() == 1


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"ranking": [["A"]], "reason": "x"}, "leaves out B"),
        ({"ranking": [["A"], ["A", "B"]], "reason": "x"}, "ranked twice"),
        ({"ranking": [["A"], ["C"]], "reason": "x"}, "is not a response"),
        ({"ranking": [], "reason": "x"}, "empty"),
        ({"ranking": [["A"], ["B"]], "reason": "  "}, "Say why"),
    ],
)
def test_a_ranking_that_does_not_work_says_why(
    session: Session, people: People, api: Api, body: dict, sentence: str
):
    (task,) = judged(session, people.project, [people.ana], [[FIRST]])
    reply = api(people.rui).put(f"/api/v1/tasks/{task.id}/adjudication", json=body)
    assert reply.status_code == 422
    assert sentence in reply.json()["detail"]
    assert session.query(Adjudication).filter_by(task_id=task.id).count() == 0


def test_a_name_that_cannot_be_sent_back_is_refused_all_the_same(
    session: Session, people: People, api: Api
):
    (task,) = judged(session, people.project, [people.ana], [[FIRST]])
    reply = api(people.ada).put(
        f"/api/v1/tasks/{task.id}/adjudication",
        content=rb'{"ranking": [["\ud800"]], "reason": "So."}',
        headers={"Content-Type": "application/json"},
    )
    assert reply.status_code == 422
    assert reply.json()["detail"] == "“?” is not a response of this task."


def test_gold_is_not_adjudicated(session: Session, people: People, api: Api):
    gold = make_task(session, people.project, prefers=[[0, 1]])
    session.commit()
    reply = api(people.rui).put(
        f"/api/v1/tasks/{gold.id}/adjudication", json={"ranking": [["A"], ["B"]], "reason": "x"}
    )
    assert reply.status_code == 422
    assert "change the key" in reply.json()["detail"]


# Who may


@pytest.mark.parametrize("what", ["agreement", "annotators"])
def test_figures_are_for_viewers_and_up(session: Session, people: People, api: Api, what: str):
    judged(session, people.project, [people.ana], [[FIRST]])
    address = f"/api/v1/projects/{people.project.id}/{what}"
    for user in (people.ada, people.rui, people.vic):
        assert api(user).get(address).status_code == 200
    assert api(people.ana).get(address).status_code == 403
    assert api(people.sam).get(address).status_code == 404


def test_disputed_tasks_are_for_reviewers(session: Session, people: People, api: Api):
    judged(session, people.project, [people.ana], [[FIRST]])
    address = f"/api/v1/projects/{people.project.id}/tasks"
    found = [api(user).get(address).status_code for user in (people.rui, people.vic, people.sam)]
    assert found == [200, 403, 404]


def test_only_reviewers_settle(session: Session, people: People, api: Api):
    (task,) = judged(session, people.project, [people.ana], [[FIRST]])
    address = f"/api/v1/tasks/{task.id}/adjudication"
    body = {"ranking": [["A"], ["B"]], "reason": "Clear."}
    for user, status in ((people.ana, 403), (people.vic, 403), (people.sam, 404)):
        assert api(user).put(address, json=body).status_code == status
    assert session.query(Adjudication).filter_by(task_id=task.id).count() == 0
