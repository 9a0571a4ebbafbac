"""Her own history, and every judgement for admins."""

import pytest

from app.annotation import service
from app.annotation.schemas import ImportedJudgement
from app.db import database_now
from app.tasks.queries import responses_of
from tests.factories import make_annotation, make_task


def test_her_history_is_her_own_and_in_her_labels(session, project, ana, rui, works):
    for number in range(3):
        make_task(session, project, prompt=f"prompt {number}", wanted=2)
    session.commit()
    worker = works(ana)
    for _ in range(3):
        worker.submit(worker.claim().json(), "A>B", strength=1, rationale="why not")
    other = works(rui)
    other.submit(other.claim().json(), "B>A")

    first = worker.client.get("/api/v1/me/annotations?limit=2").json()
    rest = worker.client.get(f"/api/v1/me/annotations?cursor={first['next_cursor']}").json()
    items = first["items"] + rest["items"]
    assert rest["next_cursor"] is None
    assert len({item["id"] for item in items}) == 3
    assert {item["prompt"] for item in items} == {"prompt 0", "prompt 1", "prompt 2"}
    assert [item["submitted_at"] for item in items] == sorted(
        (item["submitted_at"] for item in items), reverse=True
    )
    for item in items:
        assert item["ranking"] == [["A"], ["B"]]
        assert (item["strength"], item["rationale"], item["revision"]) == (1, "why not", 1)
        assert item["counted"] is True
    elsewhere = works(rui).client.get(f"/api/v1/me/annotations?project={project.id}").json()
    assert len(elsewhere["items"]) == 1


def test_admins_read_every_current_judgement(session, project, ana, ada, works, api):
    task = make_task(session, project, responses=["a", "b", "c"], wanted=1, external_id="line 7")
    session.commit()
    worker = works(ana)
    mine = worker.claim().json()
    worker.submit(mine, "A>B>C")
    texts = [each["text"] for each in mine["responses"]]
    worker.submit(mine, "B>A=C", revision=1, flags={"B": ["untrue"]}, rationale="second thought")
    service.record_imported(
        session,
        project=project,
        judgements=[
            ImportedJudgement(task.id, "w1", [2, 1, 3], ratings={"clear": [1, None, 3]}),
            ImportedJudgement(task.id, "dataset:x", [1, 2, 3]),
        ],
        now=database_now(session),
    )
    session.commit()

    page = api(ada).get(f"/api/v1/projects/{project.id}/annotations").json()

    ids = [str(each) for each in responses_of(session, task_ids=[task.id])[task.id]]
    by_name = {item["annotator"]: item for item in page["items"]}
    assert set(by_name) == {"ana@example.org", "w1", "dataset:x"}
    hers = by_name["ana@example.org"]
    best = "abc".index(texts[1])
    assert (hers["task_id"], hers["external_id"]) == (str(task.id), "line 7")
    assert hers["response_ids"] == ids
    assert hers["ranks"][best] == 1
    assert sorted(hers["ranks"]) == [1, 2, 2]
    assert hers["flags"] == {ids[best]: ["untrue"]}
    assert (hers["revision"], hers["counted"], hers["repeat"]) == (2, True, False)
    assert hers["times"]["wall_ms"] is not None
    assert by_name["w1"]["ratings"] == {"clear": {ids[0]: 1, ids[2]: 3}}
    assert (by_name["w1"]["counted"], by_name["dataset:x"]["counted"]) == (True, False)


def test_they_are_read_page_by_page_without_gaps(session, project, ana, rui, ada, api):
    for number in range(5):
        task = make_task(session, project, prompt=f"p{number}")
        for user in (ana, rui):
            make_annotation(session, task, user, ranks=[1, 2])
    session.commit()
    client, seen, cursor = api(ada), [], ""
    while cursor is not None:
        path = f"/api/v1/projects/{project.id}/annotations?limit=3"
        page = client.get(path + (f"&cursor={cursor}" if cursor else "")).json()
        assert len(page["items"]) <= 3
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert len(seen) == len(set(seen)) == 10


@pytest.mark.parametrize(("who", "status"), [("ana", 403), ("rui", 403), ("sam", 404)])
def test_only_admins_read_all_of_them(people, api, who, status):
    reply = api(getattr(people, who)).get(f"/api/v1/projects/{people.project.id}/annotations")
    assert reply.status_code == status


def test_a_cursor_of_another_project_is_nowhere(session, project, ada, api):
    from app.annotation.models import Annotation

    foreign = session.query(Annotation).filter(Annotation.project_id != project.id).first()
    reply = api(ada).get(f"/api/v1/projects/{project.id}/annotations?cursor={foreign.id}")
    assert reply.status_code == 404
