"""What the page says that a file may look like is true."""

import html
import json
import re

import pytest

from app.cli import main
from app.corpus.formats import FORMATS
from tests.corpus.reading import reads

EXAMPLE = re.compile(
    r'<span class="mono">([\w-]+)</span>: .*?<pre class="log"[^>]*>(.*?)</pre>', re.DOTALL
)


@pytest.fixture
def examples(sign_in, ada, project):
    page = sign_in(ada).get(f"/projects/{project.id}/data").text
    return {name: html.unescape(text) for name, text in EXAMPLE.findall(page)}


def test_every_format_has_an_example_that_can_be_imported(examples):
    assert set(examples) == set(FORMATS)
    for name, text in examples.items():
        decoder, at = json.JSONDecoder(), 0
        row, at = decoder.raw_decode(text, at)
        (read,) = reads(json.dumps(row))
        assert (read.format, read.problem) == (name, None)


def test_the_command_names_every_format(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["touchstone", "import", "--help"])
    with pytest.raises(SystemExit):
        main()
    said = " ".join(capsys.readouterr().out.split())
    assert all(f"{name}," in said or f"{name};" in said for name in FORMATS)
