"""Recipes as files and in the editor: begun from presets, snapshots and files, and saved again."""

import json
import sys
import tomllib
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.accounts.models import Role
from app.corpus.rules import LONGEST_LABEL
from app.datasets.formats.recipes import read_recipe, recipe_json, recipe_toml
from app.datasets.rules.presets import PRESETS
from app.datasets.schemas import Recipe, RecipeForm
from app.errors import Invalid
from tests.datasets.frozen import freeze
from tests.factories import make_annotation, make_member, make_prompt, make_task, make_user

word = st.text(st.characters(codec="utf-8"), max_size=20)
recipes = st.builds(
    Recipe,
    min_annotations=st.integers(1, 100),
    min_agreement=st.floats(0, 1),
    exclude_annotators=st.lists(word, max_size=3).map(tuple),
    tags=st.lists(word, max_size=3).map(tuple),
    exclude_flags=st.lists(st.sampled_from(["unsafe", "pii"]), max_size=2).map(tuple),
    since=st.none() | st.just("2026-01-31") | st.just("2026-01-31T12:30:00Z"),
    max_pairs_per_prompt=st.none() | st.integers(1, 9),
    configs=st.none() | st.just(("preference", "sft")),
    ties=st.sampled_from(["drop", "keep"]),
    weight_by=st.sampled_from(["task", "prompt"]),
    exclude_failed_gold=st.booleans(),
)


@given(recipes)
def test_a_recipe_survives_its_file_whatever_people_are_called(recipe):
    for text in (recipe_toml(recipe), recipe_json(recipe)):
        assert Recipe.model_validate(read_recipe(text)) == recipe


@given(recipes)
def test_a_recipe_survives_the_editor(recipe):
    given_words = RecipeForm.of(recipe).recipe()
    assert given_words == recipe.model_copy(update={"configs": given_words.configs})
    assert given_words.configs == (recipe.configs or None)


def test_the_file_explains_every_setting():
    text = recipe_toml(Recipe())
    assert set(tomllib.loads(text)) | {"guidelines_version", "since", "until"} >= (
        set(Recipe.model_fields) - {"max_pairs_per_prompt", "configs", "license"}
    )
    for name, field in Recipe.model_fields.items():
        assert field.description
        assert f"# {field.description}" in text
        assert f"\n{name} = " in text or f"\n# {name} =" in text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "There is no recipe in it"),
        ("{oops", "not valid JSON"),
        ("seed == 3", "not valid TOML"),
        ("[" * 100_000, "not valid TOML"),
    ],
)
def test_what_is_no_recipe_is_said(text, words):
    with pytest.raises(Invalid, match=words):
        read_recipe(text)


def test_a_manifest_or_a_request_is_a_recipe_as_well():
    assert read_recipe('{"recipe": {"seed": 3}, "counts": {}}') == {"seed": 3}


def test_every_preset_is_a_recipe():
    presets = [Recipe.model_validate(preset.recipe) for preset in PRESETS]
    assert presets[0] == Recipe()
    assert len({preset.key for preset in PRESETS}) == len(PRESETS)


@pytest.fixture
def judged(session, project, ana, rui):
    prompt = make_prompt(session, project, "Why?", source="shp", tags=["maths"], language="en")
    for number in range(3):
        task = make_task(session, project, prompt=prompt, responses=[f"{number}a", f"{number}b"])
        for user in (ana, rui):
            make_annotation(session, task, user, ranks=[1, 2])
    other = make_task(session, project, prompt="Other", responses=["left", "right"])
    make_annotation(session, other, ana, ranks=[1, 2])
    session.commit()


@pytest.mark.usefixtures("judged")
def test_the_editor_begins_with_a_preset(project, ada, sign_in):
    page = sign_in(ada).get(f"/projects/{project.id}/snapshots/new?preset=dpo").text
    assert 'name="min_agreement" type="number" inputmode="decimal" value="0.75"' in page
    assert 'value="best_worst" checked' in page
    assert "3 comparisons, agreement 1.00, 1 judgement left out" in page
    assert '?preset=dpo" aria-current' in page


@pytest.mark.usefixtures("judged")
def test_the_editor_begins_with_the_recipe_of_a_snapshot(
    session, people, project, ada, ana, sign_in
):
    recipe = {"min_annotations": 2, "exclude_annotators": ["ANA@example.org"], "tags": ["maths"]}
    snapshot = freeze(session, project, since="2026-01-02T10:30:00Z", **recipe)
    browser = sign_in(ada)
    address = f"/projects/{project.id}/snapshots"
    assert f"{address}/new?like={snapshot.id}" in browser.get(f"{address}/{snapshot.id}").text
    page = browser.get(f"{address}/new?like={snapshot.id}").text
    assert f'value="{ana.id}" checked' in page
    assert 'name="tags" value="maths" checked' in page
    assert 'type="datetime-local" step="any" value="2026-01-02T10:30:00"' in page
    assert browser.get(f"{address}/new?like={project.id}").status_code == 404
    assert browser.get(f"{address}/new?like=nonsense").status_code == 404


@pytest.mark.usefixtures("judged")
def test_a_recipe_is_pasted_uploaded_and_saved(project, ada, sign_in):
    browser = sign_in(ada)
    address = f"/projects/{project.id}/snapshots/recipe"
    pasted = browser.post(address, data={"text": 'ties = "keep"\nmin_annotations = 2\n'})
    assert pasted.status_code == 200
    assert 'value="keep" checked' in pasted.text
    file = ("recipe.json", json.dumps({"exclude_annotators": ["Nobody"], "seed": 9}))
    sent = browser.post(address, files={"file": file})
    assert 'value="Nobody" checked' in sent.text
    assert "Nobody in this project is called" in sent.text
    wrong = browser.post(address, data={"text": '{"min_votes": 3, "seed": "x"}'})
    assert wrong.status_code == 422
    assert "there is no such setting" in wrong.text
    assert "<strong>seed</strong>: it must be a whole number" in wrong.text
    assert "{&#34;min_votes&#34;: 3" in wrong.text
    saved = browser.post(f"{address}/toml", data={"ties": "keep", "tags": ["a", "b"]})
    assert saved.headers["content-disposition"].endswith('Kitchen-help-recipe.toml"')
    assert Recipe.model_validate(read_recipe(saved.text)) == Recipe(ties="keep", tags=("a", "b"))
    as_json = browser.post(f"{address}/json", data={"seed": "4"})
    assert as_json.json()["seed"] == 4
    assert browser.post(f"{address}/toml", data={"seed": "-1"}).status_code == 422
    assert browser.post(f"{address}/yaml", data={}).status_code == 404


@pytest.mark.usefixtures("judged")
def test_counts_come_as_a_part_of_the_page_with_examples_and_warnings(
    session, project, ada, sign_in
):
    late = make_user(session, "Late")
    make_member(session, project, late, Role.ANNOTATOR)
    make_task(session, project, prompt="Open")
    session.commit()
    address = f"/projects/{project.id}/snapshots/counts"
    part = sign_in(ada).get(address, params={"glance": "yes", "test_share": "0"}).text
    assert part.count("<article") == 2  # the first comparison of each prompt
    assert "1 task is still open." in part
    assert "Raise the share for testing" in part
    assert "4 of 4 written" in part
    assert "&#34;chosen_id&#34;" in part
    wrong = sign_in(ada).get(address, params={"min_agreement": "7"}).text
    assert 'data-field="min_agreement" data-message="it must be at most 1"' in wrong


@pytest.mark.usefixtures("judged")
def test_a_glance_at_a_large_project_is_an_estimate_and_says_so(
    session, project, ada, sign_in, monkeypatch
):
    for number in range(30):
        task = make_task(session, project, prompt=f"More {number}", responses=["x", "y"])
        user = make_user(session, f"Person {number}")
        make_annotation(session, task, user, ranks=[1, 2])
    session.commit()
    monkeypatch.setattr(sys.modules["app.datasets.service.preview"], "_GLANCE_PROMPTS", 16)
    address = f"/projects/{project.id}/snapshots/counts"
    browser = sign_in(ada)
    part = browser.get(address, params={"glance": "yes"}).text
    assert "Estimated from 16 of 32 prompts" in part
    assert "data-estimated" in part
    assert "about " in part
    whole = browser.get(address).text
    assert "data-estimated" not in whole
    assert "34 comparisons, " in whole


@pytest.mark.usefixtures("judged")
def test_a_program_reads_warnings_and_examples_of_a_recipe(project, ada, api):
    reply = api(ada).post(
        f"/api/v1/projects/{project.id}/snapshots/preview",
        json={"recipe": {"test_share": 0, "sources": ["shp"]}},
    )
    seen = reply.json()
    assert seen["counts"]["comparisons"]["included"] == 3
    assert seen["counts"]["prompts_excluded"] == {"other_source": 1}
    assert seen["examples"][0]["prompt"] == [{"role": "user", "content": "Why?"}]
    assert "Raise the share for testing" in seen["warnings"][0]


@pytest.mark.usefixtures("judged")
def test_a_snapshot_says_which_one_holds_the_same_rows(session, project, ada, api, sign_in):
    first = freeze(session, project)
    second = freeze(session, project, format="parquet")
    other = freeze(session, project, min_annotations=2)
    for number, each in enumerate((first, second, other)):  # the clock of a test stands still
        each.created_at += timedelta(seconds=number)
    session.commit()
    program = api(ada)
    said = {
        each.id: program.get(f"/api/v1/snapshots/{each.id}").json()["same_rows_as"]
        for each in (first, second, other)
    }
    assert said[first.id] is None
    assert said[second.id] == {"id": str(first.id), "name": first.name}
    assert said[other.id] is None
    listed = program.get(f"/api/v1/projects/{project.id}/snapshots").json()["items"]
    assert {item["id"]: item["same_rows_as"] for item in listed} == {
        str(each): twin for each, twin in said.items()
    }
    page = sign_in(ada).get(f"/projects/{project.id}/snapshots/{second.id}").text
    assert "It holds exactly the same rows as" in page
    assert first.identity != second.identity  # the recipe is part of it


def test_a_recipe_names_any_label_that_an_import_lets_in():
    longest = "x" * LONGEST_LABEL
    assert Recipe(sources=(longest,), tags=(longest,)).sources == (longest,)
    with pytest.raises(ValidationError):
        Recipe(sources=(longest + "x",))
