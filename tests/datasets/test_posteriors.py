"""Dawid and Skene's model in a snapshot is that of the page of consensus."""

import random

import numpy as np
import pytest
from sqlalchemy import select

from app.accounts.models import Role
from app.corpus.models import Prompt, Response
from app.datasets.queries import judged_prompts
from app.datasets.rules.comparisons import by_posterior
from app.datasets.rules.judged import Admission
from app.datasets.service.posteriors import fitted_posteriors
from app.quality.models import Adjudication, Part
from app.quality.service.summary import recompute
from app.tasks.models import TaskResponse
from tests.datasets.frozen import freeze, rows_of
from tests.factories import (
    make_annotation,
    make_member,
    make_project,
    make_prompt,
    make_task,
    make_user,
)


@pytest.fixture
def crowd(session, project, rui):
    """Four people of unlike care, sides seen and not, gold answered, some tasks settled."""
    rng = random.Random(11)
    people = [make_user(session, f"Person {number}") for number in range(4)]
    for user in people:
        make_member(session, project, user, Role.ANNOTATOR)
    for number in range(40):
        size = 2 if number % 4 else 3
        texts = [f"{number}: {word}" for word in ("one", "two", "three")[:size]]
        task = make_task(session, project, prompt=f"p{number}", responses=texts, wanted=4)
        for skill, user in enumerate(people):
            ranks = list(range(1, size + 1))
            if rng.random() > (0.95, 0.85, 0.7, 0.55)[skill]:
                rng.shuffle(ranks)
            order = rng.sample(range(size), size)
            if skill == 3 and rng.random() < 0.5:  # she likes what stands on the left
                ranks[order[0]] = 0
                ranks = [1 + sum(other < rank for other in ranks) for rank in ranks]
            if rng.random() < 0.05:
                ranks = [1] * size
            make_annotation(session, task, user, ranks=ranks, display_order=order)
        if number < 5:
            settled = list(range(1, size + 1))
            session.add(Adjudication(task_id=task.id, user_id=rui.id, ranks=settled, reason="So."))
    for number in range(6):
        gold = make_task(session, project, prompt=f"gold {number}", prefers=[[0, 1]])
        for user, ranks in zip(people, ([1, 2], [1, 2], [2, 1], [2, 1]), strict=True):
            make_annotation(session, gold, user, ranks=ranks, gold_passed=ranks == [1, 2])
    session.flush()
    return people


def by_id(session, task_id) -> list[int]:
    """Where each response of a task stands in it, in the order of the ids that leave with it."""
    return list(
        session.scalars(
            select(TaskResponse.position)
            .join(Response)
            .where(TaskResponse.task_id == task_id)
            .order_by(Response.content_hash)
        )
    )


def test_the_posterior_and_the_answer_of_every_open_task_are_those_of_the_page(
    session, project, crowd
):
    view = recompute(session, project=project, part=Part.CONSENSUS)
    on_page = {task["task_id"]: task for task in view.figures["uncertain"]}
    fitted = fitted_posteriors(session, project=project, admission=Admission())
    compared = 0
    for prompt in judged_prompts(session, project=project):
        for task in prompt.tasks:
            classes = fitted.of(task)
            if str(task.id) in on_page:
                answer = on_page[str(task.id)]
                surest = np.mean([max(each) for each in classes.values()])
                assert surest == pytest.approx(answer["posterior"], abs=1e-5)
                votes = [each.vote for each in task.judgements]
                ranks = [answer["ranks"][place] for place in by_id(session, task.id)]
                assert list(by_posterior(classes, votes).ranks) == ranks
                compared += 1
    assert compared == 35
    snapshot = freeze(session, project, consensus="dawid_skene", test_share=0)
    expected = {
        round(max(first, second) + tie / 2, 6) for first, tie, second in fitted.classes.tolist()
    }
    rows = rows_of(snapshot, "preference")
    assert len(rows) > 30
    assert {round(row["p"], 6) for row in rows} <= expected


def test_a_person_who_is_left_out_says_nothing_of_anybody(session, project, crowd):
    whole = fitted_posteriors(session, project=project, admission=Admission())
    without = fitted_posteriors(
        session, project=project, admission=Admission(excluded=frozenset({str(crowd[3].id)}))
    )
    assert whole.classes.shape == without.classes.shape
    assert not np.allclose(whole.classes, without.classes)
    everybody = frozenset(str(user.id) for user in crowd)
    nobody = fitted_posteriors(session, project=project, admission=Admission(excluded=everybody))
    assert not nobody.first_row


def test_agreement_of_a_snapshot_is_that_of_the_overview(session, project, ana, rui):
    """With the same judgements, and responses stored in the order of their ids."""
    rng = random.Random(5)
    for number in range(40):
        prompt = make_prompt(session, project, f"p{number}")
        task = make_task(session, project, prompt=prompt, wanted=2)
        for user in (ana, rui):
            ranks = rng.choice([[1, 2], [1, 2], [2, 1], [1, 1]])
            make_annotation(session, task, user, ranks=ranks)
        for position, response in enumerate(
            session.query(Response).where(Response.prompt_id == prompt.id).order_by(Response.source)
        ):
            response.content_hash = bytes([position]) + number.to_bytes(31)
    session.flush()
    overview = recompute(session, project=project).figures["fields"]["ranking"]
    quality = freeze(session, project).quality
    for name in ("percent_agreement", "percent_agreement_no_ties", "krippendorff_alpha"):
        assert quality[name]["value"] == pytest.approx(overview[name]["value"], abs=1e-6)
    assert quality["n_annotations"] == overview["n_annotations"] == 80


def in_an_order(session, by, name, *, seed):
    """Pairs that three people judged, the same whatever the seed: ids and orders differ."""
    rng = random.Random(seed)
    project = make_project(session, name, by=by)
    people = [make_user(session, f"{name} {number}") for number in range(3)]
    skills = dict(zip(rng.sample(people, 3), (0.95, 0.8, 0.6), strict=True))
    for user in people:
        make_member(session, project, user, Role.ANNOTATOR)
    for number in rng.sample(range(54), 54):
        order = rng.sample(range(2), 2)  # content by position
        task = make_task(session, project, prompt=f"p{number}", wanted=4)
        prompt = session.get_one(Prompt, task.prompt_id)
        prompt.content_hash = number.to_bytes(32)
        responses = session.query(Response).where(Response.prompt_id == prompt.id)
        for position, response in enumerate(responses.order_by(Response.source)):
            response.content_hash = bytes([order[position]]) + number.to_bytes(31)
        for user in rng.sample(people, 3):
            said = random.Random(f"{number} {skills[user]}")
            by_content = [1, 2] if said.random() < skills[user] else [2, 1]
            on_screen = said.sample(range(2), 2)  # content, left to right
            make_annotation(
                session,
                task,
                user,
                ranks=[by_content[content] for content in order],
                display_order=[order.index(content) for content in on_screen],
            )
    session.flush()
    return project


def test_not_a_digit_depends_on_ids_or_on_the_order_of_insertion(session, ada):
    """More than fifty judgements each: everybody has a matrix of her own for either side."""
    found = []
    for seed in (1, 2):
        project = in_an_order(session, ada, f"Project {seed}", seed=seed)
        fitted = fitted_posteriors(session, project=project, admission=Admission())
        found.append(
            [
                fitted.of(task)
                for prompt in judged_prompts(session, project=project)
                for task in prompt.tasks
            ]
        )
    assert found[0] == found[1]
    assert len({str(each) for each in found[0]}) > 5
