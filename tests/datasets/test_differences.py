"""What two versions of a prompt's rows differ in, and the merging of whole files."""

import gzip
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.datasets.formats.blocks import parsed
from app.datasets.formats.files import data_files
from app.datasets.formats.folder import Folder
from app.datasets.formats.merging import Merged, OutOfOrder, groups, groups_in_memory
from app.datasets.formats.prompt_ids import id_of_messages
from app.datasets.rules.differences import Change, Kind, Placed, changes, differences
from app.datasets.rules.identity import Split
from app.datasets.rules.rows import ConfigName
from app.datasets.schemas import FileFormat

TRAIN, TEST = Split.TRAIN, Split.TEST


def preference(chosen="a", rejected="b", **figures):
    row = {"prompt_id": "p", "chosen_id": chosen, "rejected_id": rejected, "p": 1.0}
    return row | {"agreement": 1.0, "margin": 0.0, "weight": 1.0, "n_annotators": 3} | figures


def changed(config, old, new, *, sides=(TRAIN, TRAIN)):
    return changes(config, Placed(sides[0], old), Placed(sides[1], new))


def test_a_preference_is_reversed_moved_or_weighed_otherwise():
    config = ConfigName.PREFERENCE
    assert changed(config, preference(), preference()) == ()
    assert changed(config, preference("a", "b"), preference("b", "a")) == (Change.REVERSED,)
    assert changed(config, preference(), preference(), sides=(TRAIN, TEST)) == (Change.MOVED,)
    new = preference(p=0.75, margin=0.5, n_annotators=4)
    assert changed(config, preference(), new) == (Change.P, Change.MARGIN, Change.N_ANNOTATORS)


def test_a_ranking_is_reversed_where_any_two_change_places():
    def ranking(*ranks):
        return {"response_ids": ["a", "b", "c"], "ranks": list(ranks)}

    config = ConfigName.RANKING
    assert changed(config, ranking(1, 2, 3), ranking(2, 1, 3)) == (Change.REVERSED,)
    assert changed(config, ranking(1, 2, 3), ranking(1, 2, 2)) == (Change.RANKS,)


def test_other_configs_say_what_is_new_in_them():
    def said(text):
        return [{"role": "assistant", "content": text}]

    label = [{"completion": said("x"), "label": each} for each in (True, False)]
    assert changed(ConfigName.UNPAIRED, *label) == (Change.REVERSED,)
    ratings = [{"response": said("x"), "ratings": {"help": each}} for each in (1.0, 2.0)]
    assert changed(ConfigName.RATINGS, *ratings) == (Change.RATINGS,)
    texts = [{"messages": said(each)} for each in ("x", "y")]
    assert changed(ConfigName.SFT, *texts) == (Change.TEXT,)


def test_rows_of_a_prompt_are_matched_by_what_they_are_about():
    old = [Placed(TRAIN, preference("a", "b")), Placed(TRAIN, preference("a", "c"))]
    new = [Placed(TRAIN, preference("b", "a")), Placed(TRAIN, preference("c", "d"))]
    found = list(differences(ConfigName.PREFERENCE, old, new))
    assert Counter(each.kind for each in found if each) == {
        Kind.CHANGED: 1,
        Kind.WENT: 1,
        Kind.CAME: 1,
    }


def prompt(number):
    return [{"role": "user", "content": f"{number}"}]


def folder_of(path, rows):
    """A folder with these rows: {prompt number: {split: [texts]}} of `sft`."""
    path.mkdir(parents=True)
    order = sorted(rows, key=lambda number: id_of_messages(prompt(number)))
    with data_files(path, file_format=FileFormat.JSONL, criteria=()) as files:
        for number in order:
            for split, texts in rows[number].items():
                for text in sorted(texts):
                    answer = {"role": "assistant", "content": text}
                    files.add(ConfigName.SFT, split, {"messages": [*prompt(number), answer]})
        written = files.close()
    head = {
        "files": [
            {"config": "sft", "split": each.split, "path": each.path, "rows": each.rows, "bytes": 1}
            for each in written
        ]
    }
    return Folder(str(path), lambda name: (path / name).open("rb"), head, 0)


versions = st.dictionaries(
    st.integers(0, 12),
    st.dictionaries(st.sampled_from(Split), st.sets(st.sampled_from("xyz"), min_size=1)),
)


@settings(max_examples=40)
@given(old=versions, new=versions)
def test_merging_finds_what_looking_at_everything_finds(tmp_path_factory, old, new):
    path = tmp_path_factory.mktemp("merge")
    before, after = folder_of(path / "a", old), folder_of(path / "b", new)

    def flat(rows):
        return Counter(
            (number, split, text)
            for number, by_split in rows.items()
            for split, texts in by_split.items()
            for text in texts
        )

    for way in (groups, groups_in_memory):
        merged = Merged()
        found = list(way(before, after, ConfigName.SFT, merged))
        assert [group.prompt_id for group in found] == sorted(group.prompt_id for group in found)
        sides = [Counter(), Counter()]
        for group in found:
            for side, rows in enumerate((group.before, group.after)):
                for split, line in rows:
                    first, last = (turn["content"] for turn in parsed(line)["messages"])
                    sides[side][int(first), split, last] += 1
        assert sides == [flat(old) - flat(new), flat(new) - flat(old)]
        assert merged.same == (flat(old) & flat(new)).total()
        assert (merged.before, merged.after) == (flat(old).total(), flat(new).total())


def test_rows_in_no_order_are_noticed(tmp_path):
    folder = folder_of(tmp_path / "a", {number: {TRAIN: {"x"}} for number in range(9)})
    path = tmp_path / "b/sft/train.jsonl.gz"
    path.parent.mkdir(parents=True)
    content = gzip.decompress((tmp_path / "a/sft/train.jsonl.gz").read_bytes()).splitlines()
    path.write_bytes(gzip.compress(b"\n".join(reversed(content)) + b"\n"))
    shuffled = Folder("b", lambda name: (tmp_path / "b" / name).open("rb"), folder.head, 0)
    with pytest.raises(OutOfOrder):
        list(groups(folder, shuffled, ConfigName.SFT, Merged()))
    merged = Merged()
    assert list(groups_in_memory(folder, shuffled, ConfigName.SFT, merged)) == []
    assert merged.same == 9
