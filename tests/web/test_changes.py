"""Lines that changed, word by word; headings that can be linked to."""

import time

from app.web.changes import changes
from app.web.outline import contents_of, headings, with_anchors


def kinds(before, after):
    return [row.kind for row in changes(before, after)]


def test_lines_are_paired_and_marked_inside():
    rows = changes("Prefer the longer one.\nSay why.", "Prefer the shorter one.\nSay why.\nNew.")
    assert [row.kind for row in rows] == ["changed", "same", "new"]
    assert rows[0].before == "Prefer the <del>longer</del> one."
    assert rows[0].after == "Prefer the <ins>shorter</ins> one."
    assert rows[0].both == "Prefer the <del>longer</del> <ins>shorter</ins> one."
    assert rows[2].before is None


def test_nothing_is_nothing():
    assert changes("a\nb", "a\nb\n") == ()
    assert kinds("", "a") == ["new"]
    assert kinds("a", "") == ["old"]


def test_what_stays_is_left_out_but_for_its_edges():
    same = "\n".join(f"line {number}" for number in range(20))
    rows = changes(f"{same}\nold words here\n{same}", f"{same}\nnew words here\n{same}")
    assert [row.kind for row in rows] == [
        "skipped", "same", "same", "changed", "same", "same", "skipped",
    ]  # fmt: skip
    assert rows[0].skipped == 18


def test_markup_is_text():
    (row,) = changes("<b>one</b> two", "<b>one</b> <script>")
    assert "<script>" not in row.after
    assert "&lt;script&gt;" in row.after
    assert "<b>" not in row.both


def test_hostile_texts_take_no_time():
    before = "\n".join(f"{'word ' * 20}{number}" for number in range(1_500))
    after = "\n".join(f"{number} {'word ' * 20}" for number in range(1_500))
    started = time.process_time()
    assert changes(before, after)
    assert time.process_time() - started < 20  # it was minutes when every line met every other


def test_headings_have_anchors_of_their_own():
    text = "# Safe & sound\n\n## `Code` *first*\n\n## Safe & sound\n\n###### \n\n> ## Quoted"
    found = headings(text)
    assert [each.anchor for each in found] == [
        "g-safe-sound", "g-code-first", "g-safe-sound-2", "g-", "g-quoted",
    ]  # fmt: skip
    assert found[1].title == "Code first"
    html = with_anchors(text)
    for each in found:
        assert html.count(f'id="{each.anchor}"') == 1
    assert [each.title for each in contents_of(text)] == [
        "Safe & sound", "Code first", "Safe & sound", "Quoted",
    ]  # fmt: skip


def test_no_heading_takes_the_place_of_something_on_the_page():
    assert 'id="content"' not in with_anchors("# content")
    assert with_anchors('# "><script>').count("<script") == 0
