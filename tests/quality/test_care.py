"""Acting on a person through API and pages: messages, exclusion, re-queue, and her log."""

from random import Random

import pytest

from app.accounts.models import AuditEvent
from app.accounts.service import audit
from app.annotation.service.submitting import PAUSED_BECAUSE, PAUSED_BY_RULE
from app.datasets import service as datasets
from app.datasets.schemas import Recipe
from app.db import database_now
from app.projects.models import MemberMessage, Membership
from app.work.queries.checks import invariants
from tests.factories import make_annotation, make_task


@pytest.fixture
def hers(project, ana):
    return f"/api/v1/projects/{project.id}/members/{ana.id}"


@pytest.fixture
def page_of(project, ana, sign_in, ada):
    client = sign_in(ada)
    return lambda: client.get(f"/projects/{project.id}/annotators/{ana.id}").text


@pytest.fixture
def judged(session, project, ana):
    made = [make_task(session, project, prompt=f"p{place}", wanted=2) for place in range(3)]
    for task in made:
        make_annotation(session, task, ana, ranks=[1, 2])
    session.commit()
    return made


class TestMessages:
    @pytest.mark.usefixtures("judged")
    def test_she_sees_it_until_she_has_read_it(
        self, project, ana, ada, api, hers, sign_in, page_of
    ):
        reply = api(ada).post(f"{hers}/messages", json={"body": "Mind the <ties>.\nThanks!"})
        assert reply.status_code == 201, reply.text
        assert (reply.json()["sent_by"], reply.json()["read_at"]) == ("Ada", None)
        her = sign_in(ana)
        for path in ("rank", "rank/progress"):
            assert "Mind the &lt;ties&gt;." in her.get(f"/projects/{project.id}/{path}").text
        assert "not read yet" in page_of()
        read = f"/projects/{project.id}/messages/{reply.json()['id']}/read"
        for _ in range(2):
            back = her.post(read, data={"back": f"/projects/{project.id}/rank/progress"})
            assert back.headers["location"] == f"/projects/{project.id}/rank/progress"
        assert "Mind the" not in her.get(f"/projects/{project.id}/rank").text
        (seen,) = api(ada).get(f"{hers}/messages").json()["items"]
        assert seen["read_at"] is not None

    def test_nothing_of_it_is_in_the_json_of_a_task(self, session, project, ana, ada, api, hers):
        make_task(session, project)
        session.commit()
        api(ada).post(f"{hers}/messages", json={"body": "A secret of ours"})
        reply = api(ana).post(f"/api/v1/projects/{project.id}/assignments?html=true")
        assert reply.status_code == 201
        assert "A secret of ours" not in reply.text

    def test_unread_it_can_be_taken_back_and_read_it_cannot(
        self, session, project, ana, ada, api, hers, sign_in
    ):
        client = api(ada)
        first, second = (
            client.post(f"{hers}/messages", json={"body": body}).json()["id"] for body in "ab"
        )
        for _ in range(2):
            assert client.delete(f"{hers}/messages/{first}").status_code == 204
        sign_in(ana).post(f"/projects/{project.id}/messages/{first}/read")
        sign_in(ana).post(f"/projects/{project.id}/messages/{second}/read")
        late = client.delete(f"{hers}/messages/{second}")
        assert late.status_code == 409
        assert "She has read this message already" in late.json()["detail"]
        session.expire_all()
        taken = session.get(MemberMessage, first)
        assert taken.read_at is None
        assert taken.withdrawn_at is not None

    def test_somebody_elses_message_is_not_hers_to_read_or_take_back(
        self, session, project, rui, ada, api, hers, sign_in
    ):
        message = api(ada).post(f"{hers}/messages", json={"body": "For Ana"}).json()["id"]
        sign_in(rui).post(f"/projects/{project.id}/messages/{message}/read")
        other = f"/api/v1/projects/{project.id}/members/{rui.id}/messages/{message}"
        assert api(ada).delete(other).status_code == 404
        assert session.get(MemberMessage, message).read_at is None

    def test_an_empty_one_is_refused_with_a_sentence(self, ada, project, ana, sign_in):
        path = f"/projects/{project.id}/annotators/{ana.id}/messages"
        reply = sign_in(ada).post(path, data={"body": "  "})
        assert reply.status_code == 422
        assert "There is nothing in this message yet" in reply.text


def test_exclusion_leaves_her_judgements_out_and_says_how_many(
    session, project, ana, rui, ada, api, hers, judged
):
    for task in judged:
        make_annotation(session, task, rui, ranks=[2, 1])
    session.commit()
    client = api(ada)
    for _ in range(2):  # twice is once
        done = client.post(f"{hers}/exclusion", json={"reason": "Until we have talked"}).json()
        assert done["exclude_reason"] == "Until we have talked"
    seen = datasets.preview(session, project=project, recipe=Recipe()).counts["judgements"]
    assert (seen["included"], seen["excluded"]) == (3, {"kept_out_annotator": 3})
    preview = client.post(f"/api/v1/projects/{project.id}/snapshots/preview", json={}).json()
    assert preview["counts"]["judgements"]["excluded"] == {"kept_out_annotator": 3}
    assert client.delete(f"{hers}/exclusion").json()["excluded_at"] is None
    seen = datasets.preview(session, project=project, recipe=Recipe()).counts["judgements"]
    assert "kept_out_annotator" not in seen["excluded"]
    actions = session.query(AuditEvent.action).filter_by(project_id=project.id)
    assert [action for (action,) in actions.order_by(AuditEvent.id)] == [
        "project.member.exclude",
        "project.member.include",
    ]


def test_requeued_judgements_are_named_as_such_in_a_snapshot(
    session, project, rui, ada, api, hers, judged
):
    make_annotation(session, judged[0], rui, ranks=[2, 1])
    session.commit()
    assert api(ada).post(f"{hers}/requeue", json={"last": 2}).status_code == 201
    excluded = datasets.preview(session, project=project, recipe=Recipe()).counts["judgements"]
    assert excluded["excluded"]["requeued"] == 2


def test_requeue_through_the_api_and_its_undo(session, ada, api, hers, judged, page_of):
    client = api(ada)
    said = {"judgements": 3, "opened": 3, "closed": 0}
    assert client.get(f"{hers}/requeue").json() == said
    assert client.get(f"{hers}/requeue?since=2999-01-01T00:00:00Z").json()["judgements"] == 0
    done = client.post(f"{hers}/requeue", json={}).json()
    assert said.items() <= done.items()
    nothing = client.post(f"{hers}/requeue", json={})
    assert nothing.status_code == 422
    assert "Ana has no judgements that count" in nothing.json()["detail"]
    page = page_of()
    assert "re-queued 3 judgements (all of hers); 3 tasks opened again" in page
    for _ in range(2):
        undone = client.delete(f"{hers}/requeue/{done['id']}")
        assert undone.json() == {"counted": 3, "surplus": 0}
    assert "undid a re-queue: 3 judgements count again" in page_of()


def test_what_the_page_asks_becomes_a_moment(session, project, ana, ada, sign_in, judged):
    client = sign_in(ada)
    path = f"/projects/{project.id}/annotators/{ana.id}/requeue"
    for query in ("what=today", "what=yesterday", "what=day&day=2020-01-01", "what=last&last=2"):
        assert client.get(f"{path}?{query}&last=2").status_code == 200
    assert "2 judgements" in client.get(f"{path}?what=last&last=2").text
    missing = client.get(f"{path}?what=day&day=")
    assert missing.status_code == 422
    assert "Choose the day from which on" in missing.text


def test_the_log_says_who_did_what_and_offers_the_way_back(
    session, project, ana, ada, api, hers, judged, page_of
):
    client = api(ada)
    client.post(f"{hers}/pause", json={"reason": "Call me"})
    client.post(f"{hers}/messages", json={"body": "Hello"})
    page = page_of()
    log = page.split('id="log"')[1]
    assert "Ada paused her: “Call me”" in log
    assert "/resume" in log
    assert "/withdraw" in log
    client.delete(f"{hers}/pause")
    log = page_of().split('id="log"')[1]
    assert "Ada let her go on" in log
    assert "/resume" not in log  # nothing to take back any more


def test_a_pause_by_the_gold_rule_offers_to_requeue_and_says_when_its_cause_is_gone(
    session, project, ana, judged, page_of
):
    hers = session.get(Membership, (project.id, ana.id))
    hers.paused_at, hers.pause_reason = database_now(session), PAUSED_BECAUSE
    hers.standing = "failed"
    session.commit()
    page = page_of()
    assert "The gold rule paused her" in page
    assert "requeue?what=last&amp;last=50" in page
    audit(
        session,
        user=None,
        action=PAUSED_BY_RULE,
        target=ana.email,
        project_id=project.id,
        user_id=str(ana.id),
        seen=9,
        passed=3,
    )
    session.commit()
    log = page_of().split('id="log"')[1]
    assert log.count("The gold rule paused her: 3 of 9 gold answers were right") == 1
    assert log.count("The gold rule paused her") == 1
    assert "/resume" in log
    hers.standing = "good"
    session.commit()
    assert "The cause of her pause is gone" in page_of()


def test_only_an_admin_sees_it(project, ana, rui, vic, sign_in, judged):
    for user in (rui, vic):
        page = sign_in(user).get(f"/projects/{project.id}/annotators/{ana.id}").text
        assert "What can be done?" not in page


def test_somebody_who_came_with_data_cannot_be_written_to(session, ada, project, ana, sign_in):
    ana.password_hash = None
    session.commit()
    path = f"/projects/{project.id}/annotators/{ana.id}/messages"
    reply = sign_in(ada).post(path, data={"body": "Hello"})
    assert reply.status_code == 422
    assert "does not sign in here" in reply.text


@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_done_is_undone_in_any_order(
    session, project, ana, ada, api, hers, judged, seed
):
    """Pause, exclusion and re-queues, each taken back at some time, leave everything as it was."""
    client, draw, open_requeues = api(ada), Random(seed), []

    def counted():
        session.expire_all()
        return [(task.counted, task.wanted, task.leased) for task in judged]

    before = counted()
    for _ in range(12):
        step = draw.choice(["pause", "exclusion", "requeue"])
        if draw.random() < 0.5:
            body = {"last": draw.choice([1, 2])} if step == "requeue" else {"reason": "So."}
            reply = client.post(f"{hers}/{step}", json=body)
            if step == "requeue" and reply.status_code == 201:
                open_requeues.append(reply.json()["id"])
            nothing_left = step == "requeue" and "no judgements that count" in reply.text
            assert reply.is_success or nothing_left, reply.text
        elif step != "requeue":
            assert client.delete(f"{hers}/{step}").is_success
        elif open_requeues:
            place = draw.randrange(len(open_requeues))
            assert client.delete(f"{hers}/requeue/{open_requeues.pop(place)}").is_success
        assert [each for each in invariants(session, project=project) if not each.holds] == []
    for requeue in draw.sample(open_requeues, len(open_requeues)):
        client.delete(f"{hers}/requeue/{requeue}")
    for step in ("exclusion", "pause"):
        client.delete(f"{hers}/{step}")
    member = session.get(Membership, (project.id, ana.id))
    assert counted() == before
    assert (member.paused_at, member.excluded_at) == (None, None)
