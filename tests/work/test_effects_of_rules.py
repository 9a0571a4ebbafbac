"""What is told of limits, gold, qualification and leases beyond the number holds for everybody."""

import pytest

from app.accounts.models import Role
from app.annotation.service import requeue
from app.annotation.service.requeue import Which
from app.db import database_now
from app.projects.models import Membership
from app.projects.queries import member
from app.tasks.models import Assignment, AssignmentState
from app.tasks.service.closing import retire
from tests.factories import make_member, make_question, make_task, make_user


@pytest.fixture
def change(api, ada, project):
    """Change settings; what was told of each before."""
    program, path = api(ada), f"/api/v1/projects/{project.id}"

    def change_to(**body):
        effects = program.post(f"{path}/effects", json=body).json()["effects"]
        assert program.patch(path, json=body).status_code == 200
        return {each["setting"]: each["sentence"] for each in effects}

    return change_to


@pytest.fixture
def work(api, project):
    """Claim and hand in until there is nothing; how many tasks she got, at most ten."""

    def work_for(user):
        worker, got = api(user), 0
        while got < 10:
            mine = worker.post(f"/api/v1/projects/{project.id}/assignments")
            if mine.status_code == 204:
                break
            body = {"ranking": [["A"], ["B"]]}
            worker.put(f"/api/v1/assignments/{mine.json()['id']}/annotation", json=body)
            got += 1
        return got

    return work_for


@pytest.mark.parametrize("setting", ["daily_limit", "total_limit"])
def test_whose_limit_is_her_own_keeps_it(change, work, ana, project, session, setting):
    make_member(session, project, nia := make_user(session, "Nia B"), Role.ANNOTATOR)
    setattr(session.get_one(Membership, (project.id, ana.id)), setting, 4)
    for number in range(8):
        make_task(session, project, prompt=f"{number}", wanted=2)
    session.commit()
    told = change(**{setting: 2})[setting]
    assert "1 person has a limit of her own, which stays" in told
    assert (work(nia), work(ana)) == (2, 4)
    assert "1 person has a limit of her own, which stays" in change(**{setting: 3})[setting]
    assert (work(nia), work(ana)) == (1, 0)


def test_only_leases_beyond_the_number_are_told_so(change, project, session):
    """A reviewer asked for four of the first; of the second two of three leases are within two."""
    asked = make_task(session, project, prompt="asked", wanted=4, at_least=4, leased=1)
    held = make_task(session, project, prompt="held", wanted=3, leased=3)
    project.overlap_min = project.overlap_max = 3
    for number, task in enumerate((asked, held, held, held)):
        session.add(
            Assignment(
                project_id=project.id,
                task_id=task.id,
                user_id=make_user(session, f"Person {number}").id,
                display_order=[0, 1],
                leased_until=database_now(session),
            )
        )
    session.commit()
    assert change(overlap={"min": 2, "max": 2})["overlap"] == (
        "1 lease beyond the new number goes on, and its judgement counts."
    )
    assert "beyond" not in change(overlap={"min": 2, "max": 5})["overlap"]
    assert "beyond" not in change(overlap={"min": 4, "max": 4})["overlap"]


def test_no_gold_is_told_as_none(change, ana, project, session):
    project.gold_rate = 0.1
    session.get_one(Membership, (project.id, ana.id)).gold_share = 0.2  # as by that rate
    make_task(session, project, prompt="gold", prefers=[[0, 1]])
    session.commit()
    assert "denser among her first tasks" in change(gold_rate=0.4)["gold_rate"]
    told = change(gold_rate=0)["gold_rate"]
    assert told.startswith("From each person’s next claim on no gold is mixed in any more.")
    assert "1 person whose gold answers are in doubt keeps a larger share" in told


def test_what_somebody_holds_when_she_has_to_qualify_is_told_as_it_goes(
    change, api, ana, project, session
):
    make_task(session, project, wanted=2)
    for number in range(2):
        make_question(session, project, prompt=f"question {number}")
    session.commit()
    worker, path = api(ana), f"/api/v1/projects/{project.id}/assignments"
    held = worker.post(path).json()["id"]
    told = change(qualification={"size": 2})["qualification_size"]
    assert told.endswith("handed in, and goes back with her next claim; her draft stays.")
    assert "qualification" in worker.post(path).json()
    assert session.get_one(Assignment, held).state is AssignmentState.EXPIRED
    late = {"ranking": [["A"], ["B"]]}
    reply = worker.put(f"/api/v1/assignments/{held}/annotation", json=late).json()
    assert reply["counted"] is True


def test_gold_that_the_guidelines_show_is_not_told_as_gold(change, project, session):
    shown = make_task(session, project, prompt="shown", prefers=[[0, 1]])
    kept = make_task(session, project, prompt="kept", prefers=[[0, 1]])
    retire(session, project=project, task_ids=[shown.id])
    session.commit()
    assert "There is 1 gold task," in change(gold_rate=0.2)["gold_rate"]
    retire(session, project=project, task_ids=[kept.id])
    session.commit()
    assert change(gold_rate=0.3)["gold_rate"].startswith("There are no gold tasks yet")


def test_only_judgements_that_count_now_let_somebody_in(change, api, ada, ana, project, session):
    """She corrected one, and it was taken out of the count: the older one does not count for it."""
    make_task(session, project)
    for number in range(2):
        make_question(session, project, prompt=f"question {number}")
    session.commit()
    worker = api(ana)
    mine = worker.post(f"/api/v1/projects/{project.id}/assignments").json()["id"]
    for revision, ranking in ((None, [["A"], ["B"]]), (1, [["B"], ["A"]])):
        body = {"ranking": ranking, "revision": revision}
        worker.put(f"/api/v1/assignments/{mine}/annotation", json=body)
    requeue(
        session,
        project=project,
        membership=member(session, project=project, user_id=ana.id),
        which=Which(last=1),
        by=ada,
        now=database_now(session),
    )
    session.commit()
    assert "of whom a judgement counts" in change(qualification={"size": 2})["qualification_size"]
    session.expire_all()
    assert session.get_one(Membership, (project.id, ana.id)).qualified_at is None


def test_a_draft_that_names_a_criterion_that_goes_is_told_and_refused(
    change, api, ana, project, session
):
    """Also where no response has its value yet: the name alone is refused."""
    project.criteria = [{"key": "tone", "label": "Tone", "min": 1, "max": 5}]
    make_task(session, project)
    session.commit()
    worker = api(ana)
    mine = worker.post(f"/api/v1/projects/{project.id}/assignments").json()["id"]
    said = {"ranking": [["A"], ["B"]], "ratings": {"tone": {}}}
    worker.put(f"/api/v1/assignments/{mine}/draft", json=said | {"revision": 1})
    assert "1 unfinished judgement on a screen does not fit" in change(criteria=[])["criteria"]
    assert worker.put(f"/api/v1/assignments/{mine}/annotation", json=said).status_code == 422
