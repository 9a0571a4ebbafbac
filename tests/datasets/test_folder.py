"""What a manifest says of a folder, and of one prompt without reading all of it."""

import json

import pytest

from app.datasets.formats.folder import judgements, judgements_of, lineage, local_folder
from app.datasets.formats.manifest import lineage_file, write_manifest
from app.errors import Invalid, NotFound

IDS = [f"{number * 7919:064x}" for number in range(1, 400)]


def write(folder, ids):
    body = {
        "recipe": {},
        "counts": {},
        "quality": {},
        "files": [{"path": "README.md", "bytes": 1}],
        "refused": [{"prompt_id": IDS[0], "note": '\n  "annotations": {\n'}],
    }
    about = {
        "created_at": "2026-01-01T00:00:00Z",
        "guidelines": [{"version": 1, "text": f'"{IDS[3]}":[["x","y",1]],\n' * 50}],
        "annotation_fields": ["id", "annotator", "guidelines_version"],
    }
    with lineage_file(folder / ".lineage") as behind:
        for number, prompt_id in enumerate(ids):
            origins = [
                (f"{number}-{vote}", f"annotator-{vote} é", 1) for vote in range(number % 5 + 1)
            ]
            behind.add(prompt_id, origins)
        write_manifest(folder / "manifest.json", body=body, about=about, lineage=behind)


@pytest.mark.parametrize("number", [0, 1, 2, 399])
def test_the_judgements_of_each_prompt_are_found(tmp_path, number):
    write(tmp_path, IDS[:number])
    whole = json.loads((tmp_path / "manifest.json").read_text())
    behind = whole["lineage"].pop("annotations")
    folder = local_folder(tmp_path)
    assert folder.head == whole
    assert {its: judgements(folder, entries) for its, entries in lineage(folder)} == {
        its: [dict(zip(folder.fields, values, strict=True)) for values in entries]
        for its, entries in behind.items()
    }
    for prompt_id in IDS[:number:13] + IDS[:number][-1:]:
        found = judgements_of(folder, prompt_id)
        assert [[each[field] for field in folder.fields] for each in found] == behind[prompt_id]
    for missing in ("0" * 64, f"{7919 * 3 + 1:064x}", "f" * 64):
        assert judgements_of(folder, missing) == []


def test_what_is_no_snapshot_is_refused_with_a_sentence(tmp_path):
    with pytest.raises(NotFound, match="name the folder of a snapshot"):
        local_folder(tmp_path)
    for content in ("", "[]", "{}", '{"files": [', "no json"):
        (tmp_path / "manifest.json").write_text(content)
        with pytest.raises(Invalid, match="manifest"):
            local_folder(tmp_path)


def test_a_manifest_leads_to_no_file_outside_its_folder(tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    write(inside, IDS[:1])
    (tmp_path / "secret").write_text("x")
    with pytest.raises(Invalid, match="outside"):
        local_folder(inside).open("../secret")
