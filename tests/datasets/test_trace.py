"""From a row back to the judgements behind it: as they were frozen, and what has changed since."""

import pytest

from app.corpus.models import Import, Prompt
from app.db import database_now
from app.projects.queries import member
from app.projects.service import exclude_member
from app.quality.models import Adjudication
from tests.datasets.frozen import freeze, manifest_of
from tests.datasets.true import revise, true_task
from tests.factories import make_annotation, make_task


@pytest.fixture
def judged(session, project, ana, rui, ada):
    """A ranking of three by Ana, Rui and Ada, brought by an import."""
    task, prompt_id = true_task(
        session, project, "How long?", ["Eight minutes.", "**Ten.**", "<b>No.</b>"], wanted=3
    )
    brought = Import(project_id=project.id, filename="eggs.jsonl", format="touchstone", path="x")
    session.add(brought)
    session.flush()
    session.get_one(Prompt, task.prompt_id).import_id = brought.id
    gold = make_task(session, project, prompt="Gold", prefers=[[0, 1]])
    make_annotation(session, gold, ana, ranks=[1, 2], gold_passed=True)
    made = [
        make_annotation(session, task, ana, ranks=[1, 2, 3], rationale="It is <i>right</i>."),
        make_annotation(session, task, rui, ranks=[1, 3, 2], rewrite="Eight, then cool them."),
        make_annotation(session, task, ada, ranks=[1, 2, 2], is_repeat=True),
    ]
    session.commit()
    return task, prompt_id, made


@pytest.fixture
def snapshot(session, project, judged):
    return freeze(session, project, test_share=0)


def trace(program, snapshot, prompt_id):
    reply = program.get(f"/api/v1/snapshots/{snapshot.id}/rows/{prompt_id}")
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_every_row_leads_to_its_judgements(snapshot, judged, api, ada, ana, rui):
    task, prompt_id, made = judged
    seen = trace(api(ada), snapshot, prompt_id)
    assert [row["config"] for row in seen["rows"]] == [
        "preference", "preference", "hh-rlhf", "hh-rlhf", "ranking", "ranking",
        "unpaired", "unpaired", "unpaired", "sft", "prompts",
    ]  # fmt: skip
    (found,) = seen["tasks"]
    assert found["id"] == str(task.id)
    named = {each["id"]: each for each in found["judgements"]}
    behind = manifest_of(snapshot)["lineage"]["annotations"][prompt_id]
    assert set(named) == {its for its, _, _ in behind} == {str(each.id) for each in made[:2]}
    hers = named[str(made[0].id)]
    assert (hers["name"], hers["annotator"]) == (
        "Ana",
        {its: who for its, who, _ in behind}[str(made[0].id)],
    )
    assert hers["rationale"] == "It is <i>right</i>."
    assert hers["gold_then"] == {"right": 1, "answered": 1}
    assert named[str(made[1].id)]["rewrite"] == "Eight, then cool them."
    assert named[str(made[1].id)]["gold_then"] is None
    # Ranks go with the ids of the responses, as in the rows of `ranking`.
    texts = {each["id"]: each["text"] for each in found["responses"]}
    assert found["response_ids"] == sorted(texts)
    order = dict(zip(found["response_ids"], hers["ranks"], strict=True))
    assert {texts[its]: rank for its, rank in order.items()} == {
        "Eight minutes.": 1, "**Ten.**": 2, "<b>No.</b>": 3,
    }  # fmt: skip
    assert (seen["prompt"]["filename"], seen["frozen"], seen["since"]) == ("eggs.jsonl", 2, {})
    (left_out,) = found["left_out"]
    assert left_out["reason"].startswith("that are silent repeats")


def test_what_has_changed_since_is_said_and_what_was_frozen_stays(
    session, project, snapshot, judged, api, ada, vic
):
    _, prompt_id, made = judged
    revise(session, made[0], ranks=[3, 2, 1])
    session.delete(made[1])
    moment = snapshot.finished_at.replace(year=snapshot.finished_at.year + 1)
    later = make_annotation(session, judged[0], vic, ranks=[3, 2, 1], submitted_at=moment)
    session.commit()
    seen = trace(api(ada), snapshot, prompt_id)
    assert seen["since"] == {"erased": 1, "revised": 1}
    assert [each["id"] for each in seen["erased"]] == [str(made[1].id)]
    (found,) = seen["tasks"]
    (kept,) = found["judgements"]
    assert (kept["since"], kept["ranks"] != kept["now"]) == ("revised", True)
    reasons = {each["id"]: each["reason"] for each in found["left_out"]}
    assert reasons[str(later.id)] == "handed in after this snapshot was frozen"
    assert len(seen["rows"]) == 11


def test_somebody_kept_out_since_and_an_adjudication_are_shown(
    session, project, snapshot, judged, sign_in, ada, ana, rui
):
    task, prompt_id, _ = judged
    session.add(
        Adjudication(task_id=task.id, user_id=rui.id, ranks=[1, 2, 3], reason="See section 2.")
    )
    membership = member(session, project=project, user_id=ana.id)
    exclude_member(
        session, membership=membership, reason="Careless", by=ada, now=database_now(session)
    )
    membership.excluded_at = membership.excluded_at.replace(year=membership.excluded_at.year + 1)
    session.commit()
    page = sign_in(ada).get(f"/projects/{project.id}/snapshots/{snapshot.id}/rows/{prompt_id}").text
    assert "made by somebody whom an admin keeps out of snapshots since" in page
    assert "Adjudicated" in page
    assert "See section 2." in page
    assert "not asked for by the recipe" in page


def test_only_admins_see_names_and_texts_stay_texts(
    project, snapshot, judged, api, sign_in, ada, vic, rui
):
    _, prompt_id, _ = judged
    address = f"/projects/{project.id}/snapshots/{snapshot.id}/rows/{prompt_id}"
    page = sign_in(vic).get(address).text
    assert "annotator-" in page
    assert ">Ana<" not in page
    assert "/review" not in page.split("<main")[1]
    assert "It is &lt;i&gt;right&lt;/i&gt;." in page
    assert "<b>No.</b>" not in page
    assert ">Ana<" in sign_in(ada).get(address).text
    assert "Review the task" in sign_in(rui).get(address).text
    judgements = trace(api(vic), snapshot, prompt_id)["tasks"][0]["judgements"]
    assert {each["name"] for each in judgements} == {None}


def test_a_prompt_that_is_gone_is_still_shown_from_the_files(
    session, project, snapshot, judged, sign_in, ada
):
    task, prompt_id, _ = judged
    session.delete(session.get_one(Prompt, task.prompt_id))
    session.commit()
    page = sign_in(ada).get(f"/projects/{project.id}/snapshots/{snapshot.id}/rows/{prompt_id}").text
    assert "The prompt is no longer in this project" in page
    assert "Eight minutes." in page
    assert "2 were erased since" in page


@pytest.mark.parametrize("prompt_id", ["0" * 64, "x", "0" * 63, "A" * 64])
def test_an_unknown_prompt_is_not_there(project, snapshot, api, sign_in, ada, prompt_id):
    reply = api(ada).get(f"/api/v1/snapshots/{snapshot.id}/rows/{prompt_id}")
    assert reply.status_code == 404
    address = f"/projects/{project.id}/snapshots/{snapshot.id}/rows/{prompt_id}"
    assert sign_in(ada).get(address).status_code == 404
