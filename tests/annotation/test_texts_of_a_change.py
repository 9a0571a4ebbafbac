"""What a browser could not keep of a changed answer is as it was handed in."""

import pytest

from tests.factories import make_task


@pytest.fixture
def changed(session, project, ana, works, stored):
    """An answer with both texts, changed as a tab sends it that takes it over from a dead one."""
    make_task(session, project)
    session.commit()
    worker = works(ana)
    mine = worker.claim().json()
    worker.submit(mine, "A>B", rationale="A is right", rewrite="better")

    def change(**said):
        assert worker.submit(mine, "B>A", from_draft=True, revision=1, **said).status_code == 201
        newest = max(stored(ana), key=lambda each: each.revision)
        assert newest.is_current
        return newest.rationale, newest.rewrite

    return change


def test_texts_that_are_left_out_stay(changed):
    assert changed() == ("A is right", "better")


def test_a_text_that_was_cleared_goes(changed):
    assert changed(rewrite="") == ("A is right", None)


def test_a_text_that_is_sent_is_the_new_one(changed):
    assert changed(rationale="No, B is") == ("No, B is", "better")
