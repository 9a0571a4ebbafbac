"""The gold page: the doubtful first, effects before deeds, appeals, and keys that make no sense."""

import csv
import io

import pytest

from app.annotation.service.gold import restand
from app.annotation.service.submitting import PAUSED_BECAUSE
from app.db import database_now
from app.errors import Invalid
from app.projects.models import Membership, Standing
from app.quality.rules.gold import key_in_words, key_of_places, places_of_key
from app.tasks import rules
from app.tasks.models import Appeal, GoldKey, TaskKind
from app.tasks.queries import responses_of
from tests.factories import make_annotation, make_member, make_task, make_user


class TestKeys:
    @pytest.mark.parametrize(
        ("prefers", "equal", "words"),
        [
            ([(0, 1)], [], "A > B, C free"),
            ([(0, 1), (1, 2)], [], "A > B > C"),
            ([(2, 0)], [(0, 1)], "C > A = B"),
            ([(0, 1), (0, 2)], [], "A > B, A > C"),
        ],
    )
    def test_a_key_in_words_and_as_places(self, prefers, equal, words):
        said = key_in_words(prefers, equal, size=3, ties_allowed=False)
        assert said == words.removesuffix(", C free")
        places = places_of_key(prefers, equal, size=3)
        again = key_of_places(places)
        ranks = [place or 9 for place in places]
        assert rules.satisfies(ranks, prefers=prefers, equal=equal)
        assert rules.satisfies(ranks, prefers=again[0], equal=again[1])

    def test_a_key_that_any_answer_passes_is_none(self):
        for places in ([0, 0, 0], [1, 0, 0]):
            with pytest.raises(Invalid, match="every answer would pass it"):
                key_of_places(places)

    @pytest.mark.parametrize(
        ("prefers", "equal", "named"),
        [
            ([[0, 1], [1, 0]], [], "A better than B, B better than A"),
            ([[0, 1], [1, 2], [2, 0]], [], "A better than B, B better than C, C better than A"),
            ([[0, 1]], [[0, 1]], "A better than B, A equal to B"),
            ([[0, 1], [2, 0]], [[1, 2]], "A better than B, C better than A, B equal to C"),
            ([[0, 0]], [], "names A twice"),
            ([], [[1, 1]], "names B twice"),
        ],
    )
    def test_a_contradiction_is_named_and_the_old_key_stays(
        self, session, project, ada, api, prefers, equal, named
    ):
        task = make_task(session, project, responses=["a", "b", "c"], prefers=[[0, 2]])
        session.commit()
        ids = [str(each) for each in responses_of(session, task_ids=[task.id])[task.id]]
        body = {
            "prefers": [[ids[i], ids[j]] for i, j in prefers],
            "equal": [[ids[i], ids[j]] for i, j in equal],
        }
        reply = api(ada).put(f"/api/v1/tasks/{task.id}/gold", json=body)
        assert reply.status_code == 422
        assert named in reply.json()["detail"]
        assert session.get(GoldKey, task.id, populate_existing=True).prefers == [[0, 2]]


@pytest.fixture
def crowd(session, project):
    """Five people; the key of one gold task is wrong, and four of them say so."""
    people = [make_user(session, f"Person {place}") for place in range(5)]
    for person in people:
        make_member(session, project, person, "annotator")
    fine = make_task(session, project, prompt="fine", prefers=[[0, 1]])
    wrong = make_task(session, project, prompt="wrong", prefers=[[0, 1]])
    for place, person in enumerate(people):
        make_annotation(session, fine, person, ranks=[1, 2], gold_passed=True)
        ranks = [1, 2] if place == 0 else [2, 1]
        make_annotation(session, wrong, person, ranks=ranks, gold_passed=place == 0)
    restand(session, project=project, user_ids=[person.id for person in people])
    session.commit()
    return people, fine, wrong


def path_of(task):
    return f"/tasks/{task.id}/gold"


def test_the_doubtful_come_first_with_their_pass_rate(session, project, rui, api, crowd):
    _, fine, wrong = crowd
    items = api(rui).get(f"/api/v1/projects/{project.id}/gold").json()["items"]
    assert [item["task_id"] for item in items] == [str(wrong.id), str(fine.id)]
    assert (items[0]["disputed"], items[1]["disputed"]) == (True, False)
    assert (items[0]["seen"], items[0]["passed"]) == (5, 1)
    assert items[0]["pass_rate"]["value"] == 0.2
    assert items[0]["pass_rate"]["low"] == pytest.approx(0.0362, abs=1e-4)  # Wilson 1927
    assert items[0]["pass_rate"]["high"] == pytest.approx(0.6245, abs=1e-4)


def test_it_leaves_as_csv(project, rui, sign_in, crowd):
    reply = sign_in(rui).get(f"/projects/{project.id}/gold.csv")
    rows = list(csv.DictReader(io.StringIO(reply.text.removeprefix("\ufeff"))))
    assert [(row["prompt"], row["answers"], row["disputed"]) for row in rows] == [
        ("wrong", "5", "True"),
        ("fine", "5", "False"),
    ]


def test_first_it_says_what_would_change_and_changes_nothing(session, project, rui, sign_in, crowd):
    people, _, wrong = crowd
    client = sign_in(rui)
    page = client.post(path_of(wrong), data={"action": "withdraw", "reason": "Both."}).text
    assert "5 people&#39;s scores change" in page or "5 people's scores change" in page
    assert "1 of 2 → 1 of 1 gold right" in page
    session.expire_all()
    assert session.get(GoldKey, wrong.id).suspended_at is None
    assert session.get(Membership, (project.id, people[1].id)).gold_seen == 2
    done = client.post(
        path_of(wrong), data={"action": "withdraw", "reason": "Both.", "is_confirmed": "true"}
    )
    assert done.status_code == 303
    session.expire_all()
    assert session.get(Membership, (project.id, people[1].id)).gold_seen == 1


def test_the_api_says_whose_scores_changed(session, project, rui, api, crowd):
    people, _, wrong = crowd
    hers = session.get(Membership, (project.id, people[1].id))
    hers.paused_at, hers.pause_reason = database_now(session), PAUSED_BECAUSE
    session.commit()
    path = f"/api/v1/tasks/{wrong.id}/gold/suspension"
    changes = api(rui).post(path, json={"reason": "Both."}).json()["changes"]
    assert [change["name"] for change in changes] == [person.name for person in people]
    assert changes[1]["before"] | {"seen": 1} == changes[1]["after"] | {"passed": 1}
    assert changes[1]["paused_by_gold"] is True
    assert api(rui).post(path, json={"reason": "Again."}).json()["changes"] == []
    back = api(rui).delete(path).json()["changes"]
    assert [change["after"] for change in back] == [change["before"] for change in changes]


def test_two_reviewers_at_once_lose_nothing(session, project, rui, ada, sign_in, crowd):
    _, _, wrong = crowd
    page = sign_in(rui).get(path_of(wrong)).text
    edition = page.split('name="edition" value="')[1].split('"')[0]
    done = {"action": "correct", "places": ["2", "1"], "edition": edition, "is_confirmed": "true"}
    assert sign_in(ada).post(path_of(wrong), data=done).status_code == 303
    late = {"action": "withdraw", "reason": "My reason", "edition": edition, "is_confirmed": "true"}
    reply = sign_in(rui).post(path_of(wrong), data=late)
    assert reply.status_code == 409
    assert "Somebody has changed this key since you opened the page" in reply.text
    assert "My reason" in reply.text  # what she wrote is still there
    session.expire_all()
    key = session.get(GoldKey, wrong.id)
    assert (key.prefers, key.suspended_at) == ([[1, 0]], None)


def test_a_corrected_key_scores_everybody_anew(session, project, rui, sign_in, crowd):
    people, _, wrong = crowd
    body = {
        "action": "correct",
        "places": ["2", "1"],
        "explanation": "B says why.",
        "is_confirmed": "true",
    }
    assert sign_in(rui).post(path_of(wrong), data=body).status_code == 303
    session.expire_all()
    seen = [session.get(Membership, (project.id, person.id)).gold_passed for person in people]
    assert seen == [1, 2, 2, 2, 2]
    assert session.get(GoldKey, wrong.id).explanation == "B says why."


def test_a_key_that_says_nothing_is_refused_and_the_old_one_stays(session, rui, sign_in, crowd):
    _, _, wrong = crowd
    body = {"action": "correct", "places": ["0", "0"], "is_confirmed": "true"}
    reply = sign_in(rui).post(path_of(wrong), data=body)
    assert reply.status_code == 422
    assert "This key says nothing, so every answer would pass it" in reply.text
    assert "The key is as it was." in reply.text


def test_an_imported_explanation_of_any_length_is_shown(session, rui, sign_in, crowd):
    _, _, wrong = crowd
    session.get(GoldKey, wrong.id).explanation = "word " * 5_000
    session.commit()
    reply = sign_in(rui).get(path_of(wrong))
    assert reply.status_code == 200
    assert "word word word" in reply.text


@pytest.mark.parametrize("explanation", ["a\0b", "x" * 20_000])
def test_an_explanation_that_cannot_be_kept_is_refused_in_words(
    session, rui, sign_in, crowd, explanation
):
    _, _, wrong = crowd
    body = {"action": "correct", "places": ["1", "2"], "explanation": explanation}
    reply = sign_in(rui).post(path_of(wrong), data=body | {"is_confirmed": "true"})
    assert reply.status_code == 422
    assert "explanation: " in reply.text


def test_only_an_admin_makes_it_ordinary(session, rui, ada, sign_in, crowd):
    _, _, wrong = crowd
    body = {"action": "unset", "is_confirmed": "true"}
    assert sign_in(rui).post(path_of(wrong), data=body).status_code == 403
    assert sign_in(ada).post(path_of(wrong), data=body).status_code == 303
    session.refresh(wrong)
    assert (wrong.kind, wrong.counted) == (TaskKind.ORDINARY, 5)
    again = sign_in(ada).post(path_of(wrong), data={"action": "withdraw", "reason": "x"})
    assert again.status_code == 409
    assert "ordinary task by now" in again.text
    assert sign_in(rui).get(path_of(wrong)).headers["location"] == f"/tasks/{wrong.id}/review"


def test_an_appeal_about_a_pause_is_an_admins_to_answer(
    session, project, ana, rui, ada, api, sign_in
):
    hers = session.get(Membership, (project.id, ana.id))
    hers.paused_at, hers.standing = database_now(session), Standing.FAILED
    session.commit()
    her = sign_in(ana)
    said = her.post(f"/projects/{project.id}/rank/appeal", data={"body": "I see my mistake."})
    assert said.status_code == 303
    again = her.post(f"/projects/{project.id}/rank/appeal", data={"body": "Please."})
    assert again.status_code == 409
    assert "nobody has answered yet" in again.text
    (appeal,) = api(rui).get(f"/api/v1/projects/{project.id}/appeals").json()["items"]
    assert (appeal["name"], appeal["task_id"], appeal["outcome"]) == ("Ana", None, None)
    assert "1 open appeal" in sign_in(rui).get(f"/projects/{project.id}/annotators").text
    path = f"/api/v1/projects/{project.id}/appeals/{appeal['id']}"
    lifted = {"outcome": "lifted", "answer": "Welcome back."}
    assert api(rui).put(path, json=lifted).status_code == 403
    assert api(ada).put(path, json=lifted).json()["outcome"] == "lifted"
    assert api(ada).put(path, json=lifted).status_code == 200  # twice is once
    stands = api(ada).put(path, json={"outcome": "stands"})
    assert stands.status_code == 409
    session.expire_all()
    assert session.get(Membership, (project.id, ana.id)).paused_at is None
    assert "Welcome back." in her.get(f"/projects/{project.id}/rank").text


def test_an_appeal_answered_again_lifts_no_newer_pause(session, project, ana, ada, api, sign_in):
    pause = f"/api/v1/projects/{project.id}/members/{ana.id}/pause"
    api(ada).post(pause, json={"reason": "Too fast."})
    sign_in(ana).post(f"/projects/{project.id}/rank/appeal", data={"body": "I see."})
    (appeal,) = api(ada).get(f"/api/v1/projects/{project.id}/appeals").json()["items"]
    path = f"/api/v1/projects/{project.id}/appeals/{appeal['id']}"
    assert api(ada).put(path, json={"outcome": "lifted"}).status_code == 200
    api(ada).post(pause, json={"reason": "Too fast again."})
    assert api(ada).put(path, json={"outcome": "lifted"}).status_code == 200
    session.expire_all()
    assert session.get(Membership, (project.id, ana.id)).pause_reason == "Too fast again."


def test_a_pause_that_was_lifted_meanwhile_does_not_stand(session, project, ana, ada, api, sign_in):
    pause = f"/api/v1/projects/{project.id}/members/{ana.id}/pause"
    api(ada).post(pause, json={"reason": "Too fast."})
    sign_in(ana).post(f"/projects/{project.id}/rank/appeal", data={"body": "I see."})
    (appeal,) = api(ada).get(f"/api/v1/projects/{project.id}/appeals").json()["items"]
    api(ada).delete(pause)
    path = f"/api/v1/projects/{project.id}/appeals/{appeal['id']}"
    stands = api(ada).put(path, json={"outcome": "stands", "answer": "Sorry."})
    assert stands.status_code == 409
    assert "not paused any more" in stands.json()["detail"]
    assert api(ada).put(path, json={"outcome": "lifted", "answer": "Go on."}).status_code == 200
    assert "Go on." in sign_in(ana).get(f"/projects/{project.id}/rank").text


def test_a_question_is_not_lifted_but_its_key_withdrawn(session, project, ana, rui, api, crowd):
    _, fine, _ = crowd
    fine.kind = TaskKind.QUALIFICATION
    appeal = Appeal(project_id=project.id, user_id=ana.id, task_id=fine.id, body="Both.")
    session.add(appeal)
    session.commit()
    path = f"/api/v1/projects/{project.id}/appeals/{appeal.id}"
    assert api(rui).put(path, json={"outcome": "lifted"}).status_code == 422
    suspend = f"/api/v1/tasks/{fine.id}/gold/suspension"
    assert api(rui).post(suspend, json={"reason": "Both are right."}).status_code == 200
    session.refresh(appeal)
    assert appeal.outcome == "withdrawn"


def test_work_has_no_expected_answer_to_appeal_against(session, project, ana, sign_in):
    """Gold and ordinary work refuse in the same words: the refusal tells nothing."""
    said = set()
    for task in (make_task(session, project), make_task(session, project, prefers=[[0, 1]])):
        judged = make_annotation(session, task, ana, ranks=[1, 2])
        session.commit()
        path = f"/assignments/{judged.assignment_id}/appeal"
        reply = sign_in(ana).post(path, data={"body": "It is wrong."})
        said.add((reply.status_code, reply.text.split("<h1")[1]))
    assert len(said) == 1
    assert next(iter(said))[0] == 422
