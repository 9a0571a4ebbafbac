"""Licence, languages and sources: in the card, in the manifest, on the page."""

import pytest
import yaml

from app import artifacts
from app.datasets.rules.origins import licence_fields, named, shares
from app.datasets.schemas import Recipe, RecipeForm
from tests.datasets.frozen import freeze, manifest_of
from tests.factories import make_annotation, make_prompt, make_task


def card_of(snapshot):
    text = b"".join(artifacts.chunks(f"{snapshot.path}/README.md")).decode()
    return yaml.safe_load(text.split("---\n")[1]), text


@pytest.fixture
def judged(session, project, ana):
    """Prompts in three languages of two sources, one of which says nothing of itself."""
    kinds = [("en", "shop"), ("en", "forum | new"), ("en", "shop"), ("pt-BR", "shop"), (None, None)]
    kinds.append(("Klingon", "shop"))
    for number, (language, source) in enumerate(kinds):
        prompt = make_prompt(session, project, f"Question {number}")
        prompt.language, prompt.source = language, source
        make_annotation(session, make_task(session, project, prompt=prompt), ana, ranks=[1, 2])
    unused = make_prompt(session, project, "Nobody judged this")
    unused.language = "xx"
    make_task(session, project, prompt=unused)


def test_the_card_names_licence_languages_and_sources(session, project, judged):
    snapshot = freeze(session, project, license="CC-BY-4.0", configs=["preference"])
    fields, text = card_of(snapshot)
    assert fields["license"] == "cc-by-4.0"
    assert fields["language"] == ["en", "pt-BR"]  # tags alone
    assert "Licence of the data: `CC-BY-4.0`." in text
    assert "| en | 3 | 50.0 % |" in text
    assert "| Klingon | 1 | 16.7 % |" in text
    assert "| not said | 1 | 16.7 % |" in text
    assert "| shop | 4 | 66.7 % |" in text
    assert "| forum \\| new | 1 | 16.7 % |" in text
    manifest = manifest_of(snapshot)
    assert manifest["recipe"]["license"] == "CC-BY-4.0"
    assert manifest["counts"]["origins"]["sources"]["named"] == {"shop": 4, "forum | new": 1}


def test_without_a_licence_the_card_says_so(session, project, judged):
    fields, text = card_of(freeze(session, project))
    assert "license" not in fields
    assert "No licence is stated" in text


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        (None, {}),
        ("cc-by-sa-4.0", {"license": "cc-by-sa-4.0"}),
        ("ODbL-1.0", {"license": "odbl"}),
        ("Ours alone", {"license": "other", "license_name": "Ours alone"}),
    ],
)
def test_a_licence_is_named_as_the_hub_knows_it(given, fields):
    assert licence_fields(given) == fields


def test_a_licence_is_one_line():
    assert Recipe(license=" a\n---\nb ").license == "a --- b"
    assert Recipe(license="  ").license is None
    assert RecipeForm.of(Recipe(license="MIT")).recipe().license == "MIT"


def test_of_many_sources_the_commonest_are_named():
    counted = {f"s{number:02}": 100 - number for number in range(40)} | {None: 5}
    found = named(counted)
    assert list(found["named"])[:2] == ["s00", "s01"]
    assert len(found["named"]) == 30
    assert found["others"] == sum(100 - number for number in range(30, 40))
    kept = found | {"named": dict(sorted(found["named"].items(), reverse=True))}  # by JSONB
    rows = shares(kept, most=2)
    assert [name for name, _, _ in rows] == ["s00", "s01", "others", "not said"]
    assert sum(share for _, _, share in rows) == pytest.approx(100)


def test_the_page_shows_them_and_the_next_recipe_begins_with_the_licence(
    session, project, judged, sign_in, ada
):
    snapshot = freeze(session, project, license="Ours <alone>")
    browser = sign_in(ada)
    page = browser.get(f"/projects/{project.id}/snapshots/{snapshot.id}").text
    assert "Licence of the data: <strong>Ours &lt;alone&gt;</strong>." in page
    assert "Klingon" in page
    assert "forum | new" in page
    editor = f"/projects/{project.id}/snapshots/new"
    assert 'name="license" value="Ours &lt;alone&gt;"' in browser.get(editor).text
    assert 'name="license" value=""' in browser.get(f"{editor}?license=&preview=yes").text
