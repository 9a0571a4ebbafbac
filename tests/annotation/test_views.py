"""Her task as written, and compared word by word."""

import re

import pytest

from tests.factories import make_prompt, make_task


@pytest.fixture
def claimed(session, project, ana, works):
    """A function: Ana's assignment on these responses, and how to look at it."""

    def of(*responses, **prompt):
        prompt = make_prompt(session, project, "Which **one**?", **prompt)
        make_task(session, project, prompt=prompt, responses=responses)
        session.commit()
        worker = works(ana)
        mine = worker.claim().json()
        path = f"/api/v1/assignments/{mine['id']}"
        texts = {each["label"]: each["text"] for each in mine["responses"]}
        return texts, lambda view: worker.client.get(f"{path}/{view}")

    return of


def test_the_source_is_what_was_written_and_cannot_run(claimed):
    texts, look = claimed("*a* <script>", "b\u202e $x$", system="Be <brief>.")
    view = look("source").json()
    assert view["prompt"] == ["Be &lt;brief&gt;.", "Which **one**?"]
    first = next(label for label, text in texts.items() if "script" in text)
    assert view["responses"].pop(first) == "*a* &lt;script&gt;"
    (second,) = view["responses"].values()
    assert re.fullmatch(r'b<span class="invisible-mark">RLO</span> \$x\$', second)


def test_a_pair_shows_what_only_each_of_them_says(claimed):
    texts, look = claimed("boil an egg", "fry an egg")
    view = look("difference").json()
    assert (view["against"], view["unit"]) == ("A", "word")
    for label, html in view["responses"].items():
        word = texts[label].split()[0]
        assert html == f"<ins>{word}</ins> an egg"


def test_of_several_each_is_compared_with_the_chosen_one(claimed):
    texts, look = claimed("boil an egg", "fry an egg", "fry two eggs")
    view = look("difference?against=C").json()
    assert view["responses"]["C"] == texts["C"]
    for label in "AB":
        assert "<ins>" in view["responses"][label]
        assert "<del>" in view["responses"][label]
    refused = look("difference?against=D")
    assert refused.status_code == 422
    assert "There is no response D here" in refused.json()["detail"]


@pytest.mark.parametrize("view", ["source", "difference"])
def test_only_whose_task_it_is_may_look(session, project, ana, rui, ada, works, view):
    make_task(session, project, wanted=3)
    session.commit()
    mine = works(ana).claim().json()
    for other in (rui, ada):
        reply = works(other).client.get(f"/api/v1/assignments/{mine['id']}/{view}")
        assert reply.status_code == 404
