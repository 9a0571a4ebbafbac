"""What people's judgements say of an evaluation, read from the database."""

import pytest
from sqlalchemy import select, update

from app.accounts.models import UserKind
from app.annotation.models import Annotation
from app.evaluation import queries, service
from app.evaluation.models import EvaluationPrompt
from app.evaluation.rules.standing import Names, headline, ties_in_words, verdict_in_words
from app.tasks.models import Task
from tests.evaluation.factories import judge, make_evaluation, make_writers
from tests.factories import make_annotation, make_user


@pytest.fixture
def writers(session, project):
    return make_writers(session, project)


def test_who_wins_does_not_depend_on_where_a_response_stands(session, project, ana, rui, writers):
    evaluation = make_evaluation(session, project, *writers, prompts=8)
    judge(session, evaluation, ana, [1, 1, 1, 0, 0.5, 1])
    found = queries.standing_of(session, evaluation=evaluation)
    assert (found.tally.wins, found.tally.ties, found.tally.losses) == (4, 1, 1)
    assert found.win_rate.value == 0.75
    assert (found.judged, found.complete, found.prompts, found.judges) == (6, 6, 8, 1)


def test_only_what_counts_is_counted(session, project, ana, rui, writers):
    """Not a repeat, a superseded revision, a source's word, or another evaluation's task."""
    evaluation = make_evaluation(session, project, *writers, prompts=4)
    noise = make_evaluation(session, project, *writers, prompts=3)
    judge(session, evaluation, ana, [1, 1])
    judge(session, noise, ana, [0, 0, 0])
    judge(session, evaluation, rui, [0], is_repeat=True)
    task_id = session.scalars(
        select(EvaluationPrompt.task_id).where(
            EvaluationPrompt.evaluation_id == evaluation.id, EvaluationPrompt.place == 2
        )
    ).one()
    old = make_annotation(session, session.get_one(Task, task_id), ana, ranks=[1, 2])
    old.is_current = False
    source = Annotation(
        project_id=project.id,
        task_id=task_id,
        source="dataset:x",
        guidelines_version=1,
        counted=False,
        ranks=[2, 1],
    )
    session.add(source)
    session.flush()
    found = queries.standing_of(session, evaluation=evaluation)
    assert (found.judgements, found.win_rate.value) == (2, 1.0)


def test_a_changed_mind_changes_the_result(session, project, ana, writers):
    evaluation = make_evaluation(session, project, *writers, prompts=1)
    judge(session, evaluation, ana, [1])
    session.execute(update(Annotation).values(ranks=[2, 1]))
    assert queries.verdict(session, evaluation=evaluation).win_rate == 0.0


def test_several_judgements_of_a_prompt_are_one_score(session, project, ana, rui, writers):
    asked = {"judgements": 2}
    evaluation = make_evaluation(session, project, *writers, prompts=2, config=asked)
    judge(session, evaluation, ana, [1, 1])
    judge(session, evaluation, rui, [0])
    found = queries.standing_of(session, evaluation=evaluation)
    assert found.win_rate.value == 0.75
    assert (found.judged, found.complete) == (2, 1)  # the second waits for its other judge
    assert found.tally_of_judgements.number == 3


def test_the_verdict_for_whoever_acts_on_it(session, project, ana, writers):
    evaluation = make_evaluation(session, project, *writers, prompts=40, equal=10)
    before = queries.verdict(session, evaluation=evaluation)
    assert (before.low, before.decided, before.prefers, before.prompts) == (None, False, None, 10)
    judge(session, evaluation, ana, [0] * 30)
    found = queries.verdict(session, evaluation=evaluation)
    assert found.decided
    assert found.prefers == "b"
    assert found.prompts == 40
    assert found.high <= 0.5
    assert found.low <= found.win_rate < found.high


def test_in_sentences(session, project, ana, writers):
    evaluation = make_evaluation(session, project, *writers, prompts=60, equal=2)

    def said():
        found = queries.standing_of(session, evaluation=evaluation)
        names = {"a": "DPO 2", "b": "SFT 1"}
        head = headline(found, Names(**names))
        return head, verdict_in_words(found, **names), ties_in_words(found)

    assert said()[:2] == ("Nobody has judged yet.", "")
    judge(session, evaluation, ana, [1, 0, 1, 1])
    assert said()[0] == "People prefer DPO 2 over SFT 1 in 74 % of 6 prompts."
    assert said()[1].startswith("That is not enough yet")
    assert "56 prompts are left" in said()[1]
    judge(session, evaluation, ana, [1] * 45 + [0.5], first=4)
    head, verdict, ties = said()
    assert head.startswith("People prefer DPO 2 over SFT 1 in 95 % (")
    assert head.endswith("of 52 prompts.")
    assert verdict == ("That is enough to say that DPO 2 is better, however often one has looked.")
    assert ties.startswith("2 prompts have the same answer from both")


def test_what_may_be_chance_and_what_no_people_said_is_told_as_such(session, project, writers):
    evaluation = make_evaluation(session, project, *writers, prompts=20)
    crowd = make_user(session, "Simulated: careful", kind=UserKind.SIMULATED)
    judge(session, evaluation, crowd, [1, 0] * 9 + [1, 1])
    found = queries.standing_of(session, evaluation=evaluation)
    said = headline(found, queries.names_of(session, evaluation=evaluation))
    assert said.startswith("The simulated annotators prefer ")
    assert said.endswith("of 20 prompts, which may be chance.")


def test_by_tag_and_at_the_same_length(session, project, ana, writers):
    tags = [["code"], ["code", "short"], []]
    evaluation = make_evaluation(session, project, *writers, prompts=30, tags=tags)
    judge(session, evaluation, ana, [1, 0, 1] * 10)
    found = queries.standing_of(session, evaluation=evaluation)
    assert [(tag, n, rate.value) for tag, n, rate in found.tags] == [
        ("code", 20, 0.5),
        ("short", 10, 0.0),
    ]
    assert found.length.longer_share == pytest.approx(16 / 30)


def test_closing_by_hand_and_asking_on(session, project, ada, ana, writers):
    evaluation = make_evaluation(session, project, *writers, prompts=5)
    judge(session, evaluation, ana, [1])
    session.execute(update(Task).where(Task.counted == 0).values(leased=0))
    service.close_evaluation(session, evaluation=evaluation, by=ada)
    session.expire_all()
    wanting = select(Task.id).where(
        Task.id.in_(queries.tasks_of(session, evaluation=evaluation)),
        Task.leased + Task.counted < Task.wanted,
    )
    assert session.scalars(wanting).all() == []
    assert evaluation.close_reason == "Stopped by Ada."
    service.reopen_evaluation(session, evaluation=evaluation, by=ada)
    assert len(session.scalars(wanting).all()) == 4
    assert not evaluation.config["stop"]


def test_closed_tasks_stay_closed_when_the_project_asks_for_more(
    session, project, ada, ana, writers
):
    from app.annotation.service import apply_overlap

    evaluation = make_evaluation(session, project, *writers, prompts=3)
    service.close_evaluation(session, evaluation=evaluation, by=ada)
    project.overlap_min = project.overlap_max = 3
    session.flush()
    assert apply_overlap(session, project=project) is None
    session.expire_all()
    tasks = session.scalars(
        select(Task).where(Task.id.in_(queries.tasks_of(session, evaluation=evaluation)))
    ).all()
    assert {task.wanted for task in tasks} == {0}


def test_all_judged_closes_it_though_it_is_not_decided(session, project, ana, writers):
    evaluation = make_evaluation(session, project, *writers, prompts=4)
    judge(session, evaluation, ana, [1, 0, 1])
    assert not service.settle(session, evaluation=evaluation)
    judge(session, evaluation, ana, [0], first=3)
    assert service.settle(session, evaluation=evaluation)
    assert evaluation.close_reason == "All that was asked for is judged."
    assert not service.settle(session, evaluation=evaluation)  # a second time changes nothing


def test_without_the_stop_rule_it_goes_on_though_it_is_decided(session, project, ana, writers):
    evaluation = make_evaluation(session, project, *writers, prompts=40, config={"stop": False})
    judge(session, evaluation, ana, [1] * 39)
    assert queries.verdict(session, evaluation=evaluation).decided
    assert not service.settle(session, evaluation=evaluation)
    judge(session, evaluation, make_user(session, "Eva"), [1], first=39)
    assert service.settle(session, evaluation=evaluation)
