"""Real data sets through the real import, with the counts they must have."""

from collections import Counter

import pytest
from sqlalchemy import func, select

from app.accounts.models import User, UserKind
from app.annotation.models import Annotation
from app.corpus.models import Prompt, Response
from app.projects.models import Membership
from app.tasks.models import Task, TaskResponse
from tests.corpus.files import brought_in, counts, figures, json_lines, problems
from tests.shared_data import shared_data, shared_rows


def test_hh_harmless_comes_in_whole_and_again_adds_nothing(session, project):
    file = shared_data("hh-harmless/pairs.jsonl.gz")
    rows = list(shared_rows("hh-harmless/pairs.jsonl.gz"))

    row = brought_in(session, project, file)

    assert (row.state, row.format) == ("succeeded", "hh-rlhf")
    assert figures(row) == (len(rows), len(rows), 0, 0)
    before = counts(session, project)
    assert before["annotations"] == before["tasks"] == len(rows) == 1622
    judgements = session.scalars(select(Annotation).where(Annotation.project_id == project.id))
    assert {(each.source, each.user_id, each.counted) for each in judgements} == {
        ("dataset:hh-rlhf", None, False)
    }
    again = brought_in(session, project, file)
    assert figures(again) == (len(rows), 0, len(rows), 0)
    assert counts(session, project) == before


def test_the_transcripts_of_hh_harmless_can_be_put_together_again(session, project):
    brought_in(session, project, shared_data("hh-harmless/pairs.jsonl.gz"))
    markers = {"user": "\n\nHuman: ", "assistant": "\n\nAssistant: "}
    texts = session.execute(
        select(Prompt.messages, Response.text)
        .join(Response, Response.prompt_id == Prompt.id)
        .where(Prompt.project_id == project.id)
    )
    ours = {
        "".join(markers[turn["role"]] + turn["content"] for turn in messages)
        + markers["assistant"]
        + text
        for messages, text in texts
    }
    theirs = {
        row[side]
        for row in shared_rows("hh-harmless/pairs.jsonl.gz")
        for side in ("chosen", "rejected")
    }
    assert ours == theirs


def tulu_lines():
    """Pairs with their judgements as lines of `touchstone`."""
    verdicts = {
        "a-is-better": ([1, 2], 2),
        "a-is-slightly-better": ([1, 2], 1),
        "tie": ([1, 1], None),
        "b-is-slightly-better": ([2, 1], 1),
        "b-is-better": ([2, 1], 2),
    }
    judgements: dict[str, list] = {}
    for each in shared_rows("tulu-human-pairs/annotations.jsonl.gz"):
        judgements.setdefault(each["pair_id"], []).append(each)
    for row in shared_rows("tulu-human-pairs/pairs.jsonl.gz"):
        models = list(row["responses"])
        annotations = []
        for each in judgements.get(row["pair_id"], []):
            by_place, strength = verdicts[each["preference"]]
            rank = {each["model_a"]: by_place[0], each["model_b"]: by_place[1]}
            annotations.append(
                {
                    "annotator": each["annotator"],
                    "ranks": [rank[model] for model in models],
                    "strength": strength,
                    "created_at": each["time"],
                }
            )
        yield {
            "id": row["pair_id"],
            "prompt": row["prompt"],
            "responses": [
                {"text": text, "source": f"model:{model}"}
                for model, text in row["responses"].items()
            ],
            "annotations": annotations,
        }


def test_tulu_pairs_come_in_with_sixteen_people_and_how_sure_they_were(session, project, tmp_path):
    lines = list(tulu_lines())
    row = brought_in(session, project, json_lines(tmp_path / "tulu.jsonl", lines))

    assert (row.state, row.error, row.errors) == ("succeeded", None, [])
    members = session.scalars(
        select(Membership.imported_name).where(
            Membership.project_id == project.id, Membership.imported_name.is_not(None)
        )
    ).all()
    assert set(members) == {f"T{number:02}" for number in range(1, 17)}
    kinds = session.scalars(
        select(User.kind)
        .join(Membership, Membership.user_id == User.id)
        .where(Membership.project_id == project.id, Membership.imported_name.is_not(None))
    )
    assert set(kinds) == {UserKind.IMPORTED}
    given = [each for line in lines for each in line["annotations"]]
    kept = session.scalars(select(Annotation).where(Annotation.project_id == project.id)).all()
    assert len(kept) == len(given) == 875
    wanted = Counter(each["strength"] for each in given)
    assert Counter(each.strength for each in kept) == wanted
    assert set(wanted) == {None, 1, 2}
    people = {(line["id"], each["annotator"]) for line in lines for each in line["annotations"]}
    repeats = sum(each.is_repeat for each in kept)
    assert repeats == len(given) - len(people) > 0
    assert sum(each.counted for each in kept) == len(people)


def sources_in_order(session, project):
    """The sources of each task's responses in canonical order."""
    placed: dict = {}
    rows = session.execute(
        select(TaskResponse.task_id, Response.source)
        .join(Response, Response.id == TaskResponse.response_id)
        .join(Task, Task.id == TaskResponse.task_id)
        .where(Task.project_id == project.id)
        .order_by(TaskResponse.task_id, TaskResponse.position)
    )
    for task_id, source in rows:
        placed.setdefault(task_id, []).append(source)
    return placed


def test_tulu_judgements_prefer_the_models_they_preferred(session, project, tmp_path):
    brought_in(session, project, json_lines(tmp_path / "tulu.jsonl", tulu_lines()))
    order = sources_in_order(session, project)
    kept = session.execute(
        select(Annotation.task_id, Annotation.ranks).where(Annotation.project_id == project.id)
    )
    ours = Counter(
        tuple(sorted(zip(ranks, order[task_id], strict=True))) for task_id, ranks in kept
    )
    theirs = Counter(
        tuple(
            sorted(
                (rank, response["source"])
                for rank, response in zip(each["ranks"], line["responses"], strict=True)
            )
        )
        for line in tulu_lines()
        for each in line["annotations"]
    )
    assert ours == theirs


def pandalm_lines():
    ranks = {0: [1, 1], 1: [1, 2], 2: [2, 1]}
    for row in shared_rows("pandalm-3annotators/pairs.jsonl.gz"):
        yield {
            "id": row["id"],
            "prompt": "\n\n".join(filter(None, [row["instruction"], row["input"]])),
            "responses": [
                {"text": row[f"response_{number}"], "source": f"model:{row[f'model_{number}']}"}
                for number in (1, 2)
            ],
            "annotations": [
                {"annotator": name, "ranks": ranks[label]} for name, label in row["labels"].items()
            ],
            "application": row["application"],
        }


def is_bad(line):
    return True in [response["text"] for response in line["responses"]]


def test_pandalm_has_six_answers_that_are_no_texts_and_the_report_names_them(
    session, project, tmp_path
):
    """Somebody's `True` became a JSON boolean on the way: all or nothing means nothing."""
    lines = list(pandalm_lines())
    bad = [n for n, line in enumerate(lines, 1) if is_bad(line)]
    file = json_lines(tmp_path / "pandalm.jsonl", lines, packed=True)

    row = brought_in(session, project, file)

    assert row.state == "failed"
    assert "6 lines were refused, so nothing was imported" in row.error
    assert figures(row) == (len(lines), 0, 0, 6)
    assert list(problems(row)) == bad
    assert set(problems(row).values()) == {
        "Response 1 needs a “text” that is a text, not true or false.",
        "Response 2 needs a “text” that is a text, not true or false.",
    }
    assert counts(session, project) == dict.fromkeys(counts(session, project), 0)


def test_pandalm_three_people_judge_every_pair(session, project, tmp_path):
    lines = list(pandalm_lines())
    file = json_lines(tmp_path / "pandalm.jsonl", lines, packed=True)

    row = brought_in(session, project, file, skip_bad_lines=True)

    assert (row.state, *figures(row)) == ("succeeded", len(lines), len(lines) - 6, 0, 6)
    kept = counts(session, project)
    assert kept["tasks"] == len(lines) - 6
    assert kept["annotations"] == 3 * kept["tasks"]
    by_task = session.execute(
        select(Task.wanted, Task.leased, Task.counted).where(Task.project_id == project.id)
    )
    assert {tuple(numbers) for numbers in by_task} == {(3, 0, 3)}  # raised from one
    metas = session.scalars(select(Task.meta).where(Task.project_id == project.id))
    assert {tuple(meta) for meta in metas} == {("application",)}


def test_pandalm_agrees_as_its_authors_say(session, project, tmp_path):
    """Cohen's kappa between two of the people, over what was stored, in the published range."""
    brought_in(
        session, project, json_lines(tmp_path / "p.jsonl", pandalm_lines()), skip_bad_lines=True
    )
    kept = session.execute(
        select(Annotation.task_id, Membership.imported_name, Annotation.ranks)
        .join(Membership, Membership.user_id == Annotation.user_id)
        .where(Annotation.project_id == project.id)
    ).all()
    verdicts: dict = {}
    for task_id, name, ranks in kept:
        verdicts.setdefault(task_id, {})[name] = ranks[0] - ranks[1]
    pairs = [(each["annotator1"], each["annotator2"]) for each in verdicts.values()]
    observed = sum(a == b for a, b in pairs) / len(pairs)
    first, second = (Counter(side) for side in zip(*pairs, strict=True))
    chance = sum(first[verdict] * second[verdict] for verdict in (-1, 0, 1)) / len(pairs) ** 2
    assert (observed - chance) / (1 - chance) == pytest.approx(0.85, abs=0.04)


def oasst_lines():
    roles = {"prompter": "user", "assistant": "assistant"}
    for row in shared_rows("oasst-trees/rankings.jsonl.gz"):
        yield {
            "id": row["parent_id"],
            "prompt": [
                {"role": roles[turn["role"]], "content": turn["text"]}
                for turn in row["conversation"]
            ],
            "responses": [
                {"text": reply["text"], "message_id": reply["message_id"]}
                for reply in row["replies"]
            ],
            "annotations": [
                {"annotator": "dataset:oasst", "ranks": [reply["rank"] for reply in row["replies"]]}
            ],
        }


def test_oasst_rankings_of_several_replies_keep_their_order(session, project, tmp_path):
    lines = list(oasst_lines())
    row = brought_in(session, project, json_lines(tmp_path / "oasst.jsonl", lines))

    assert figures(row) == (len(lines), len(lines), 0, 0), row.errors
    assert len(lines) == 149
    ours = set()
    for task_id, ranks in session.execute(
        select(Annotation.task_id, Annotation.ranks).where(Annotation.project_id == project.id)
    ):
        replies = session.scalars(
            select(Response.meta["message_id"].astext)
            .join(TaskResponse, TaskResponse.response_id == Response.id)
            .where(TaskResponse.task_id == task_id)
            .order_by(TaskResponse.position)
        ).all()
        ours.add(tuple(reply for _, reply in sorted(zip(ranks, replies, strict=True))))
    theirs = {
        tuple(
            reply["message_id"] for reply in sorted(row["replies"], key=lambda reply: reply["rank"])
        )
        for row in shared_rows("oasst-trees/rankings.jsonl.gz")
    }
    assert ours == theirs
    assert max(len(order) for order in ours) >= 4


def test_which_response_was_preferred_does_not_show_in_the_order_they_are_kept(session, project):
    """In the file the preferred one comes first; a position that tells it would betray it."""
    brought_in(session, project, shared_data("hh-harmless/pairs.jsonl.gz"))
    first = session.scalars(
        select(func.count()).where(Annotation.project_id == project.id, Annotation.ranks == [1, 2])
    ).one()
    assert 0.45 * 1622 < first < 0.55 * 1622
