"""Model text is hostile: it is shown, never run."""

import re

import pytest

from app.web import markdown
from app.web.text import language_tag, plain, turns

HOSTILE = [
    "<script>window.x=1</script>",
    "<img src=x onerror=alert(1)>",
    "[x](javascript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](vbscript:x)",
    "![x](https://tracker.example/pixel.png)",
    "![x](javascript:alert(1))",
    r"$\text{<img src=x onerror=alert(1)>}$",
    r"$\href{javascript:alert(1)}{x}$",
    r"$$\style{background:url(//e)}{x}$$",
    "```<img src=x onerror=alert(1)>\ncode\n```",
    "```html\n<script>alert(1)</script>\n```",
    "|a|\n|:-:|\n|<svg onload=alert(1)>|",
    '[x](https://a.example "\u200b onmouseover=alert(1) y")',
    '<a href="&#106;avascript:alert(1)">x</a>',
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "<svg><animate onbegin=alert(1) attributeName=x dur=1s>",
    '<https://a.example/"onclick=alert(1)>',
    "<iframe src=//evil.example></iframe>",
    "<form action=//evil.example><input name=p></form>",
    "<style>*{display:none}</style>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
]
TAG = re.compile(r"<\s*/?\s*([a-zA-Z][\w-]*)([^>]*)>")


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_that_runs_or_loads_survives(text):
    html = str(markdown(text))
    for name, attributes in TAG.findall(html):
        assert name.lower() not in {
            "script", "img", "iframe", "svg", "style", "form", "input", "object", "animate", "link",
        }  # fmt: skip
        names = re.findall(r"([\w-]+)\s*=", re.sub(r'"[^"]*"', '""', attributes))
        assert not [name for name in names if name.lower().startswith("on") or name == "style"]
        for target in re.findall(r'href="([^"]*)"', attributes):
            assert target.startswith(("http://", "https://", "mailto:"))


def test_links_give_no_hint_of_where_they_were_clicked():
    assert 'rel="noopener noreferrer nofollow"' in markdown("[docs](https://a.example)")


def test_formulas_become_mathml_and_prices_stay_prices():
    assert "<msup>" in markdown(r"So $x^2$ grows.")
    assert "<mfrac>" in markdown(r"Take \(\frac{1}{2}\).")
    assert 'display="block"' in markdown(r"\[ a + b \]")
    assert "<math" not in markdown("It costs $5 and $6.")
    in_line = markdown("So $$x^2$$ grows.")
    assert 'display="block"' in in_line
    assert "$" not in in_line
    shell = "Use $$ to get the pid and kill $$ to end it."
    assert shell in markdown(shell)


@pytest.mark.parametrize("text", ["[1]: https://a.example", "&nbsp;", "```\n```", "-"])
def test_what_would_show_nothing_is_shown_as_it_was_written(text):
    assert markdown(text) == f"<p>{plain(text)}</p>"


def test_an_image_is_named_and_not_loaded():
    drawn = markdown("![a <b>cat</b> & *dog*](https://a.example/c.png?a=1&b=2)")
    assert "[image: a &lt;b&gt;cat&lt;/b&gt; &amp; *dog*]</a>" in drawn
    assert 'href="https://a.example/c.png?a=1&amp;b=2"' in drawn
    assert "<p>[image: without a description]</p>" in markdown("![](data:image/png;base64,aaaa)")
    badge = markdown("[![build](https://a.example/b.svg)](https://b.example)")
    assert badge.count("<a ") == 1
    assert ">[image: build]</a>" in badge
    assert "<img" not in drawn + badge


def test_code_is_highlighted_by_classes_only():
    html = str(markdown("```python\ndef f():\n    return 1\n```"))
    assert 'class="k"' in html
    assert "style=" not in html


def test_a_very_long_code_block_is_shown_plain_and_fast():
    import time

    started = time.process_time()
    markdown("```python\n" + "(" * 200_000 + "\n```")
    assert time.process_time() - started < 2


def test_signs_that_hide_or_turn_text_are_made_visible():
    html = markdown("safe\u202etxt.exe and zero\u200bwidth")
    assert "\u202e" not in html
    assert 'invisible-mark">RLO<' in html
    assert 'invisible-mark">ZWSP<' in html


def test_template_syntax_stays_text():
    assert "{{7*7}}" in markdown("{{7*7}} {0.__class__}")


def test_what_may_be_wider_than_its_place_is_reached_by_keys():
    table = markdown("| a | b |\n|---|---|\n| 1 | 2 |")
    assert '<table dir="auto" tabindex="0">' in table
    assert '<pre dir="auto" tabindex="0">' in markdown("```python\nx = 1\n```")


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("a\u061cb", "ALM"), ("a\u200fb", "RLM"), ("a\u2028b", "LSEP"), ("a\u2029b", "PSEP"),
        ("a\u200db", "ZWJ"), ("end\u200c", "ZWNJ"), ("a\u3164b", "HF"), ("a\x07b", "U+0007"),
        ("hi\U000e0068\U000e0069!", "hidden: hi"), ("x\ufe0f", "VS"),
        ("\u2764\ufe0f\ufe01\U000e0121", "VS×3"), ("`code\u202e`", "RLO"),
    ],
)  # fmt: skip
def test_every_kind_of_hidden_sign_has_its_mark(text, mark):
    assert f'<span class="invisible-mark">{mark}</span>' in markdown(text)
    assert f'<span class="invisible-mark">{mark}</span>' in plain(text)


@pytest.mark.parametrize(
    "text",
    [
        "می\u200cخواهم", "क्\u200dष", "\U0001f468\u200d\U0001f469\u200d\U0001f467",
        "\u2764\ufe0f", "1\ufe0f\u20e3",
        "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    ],
)  # fmt: skip
def test_what_scripts_and_emoji_need_stays_as_it_is(text):
    assert text in markdown(text)


def test_brackets_of_formulas_in_code_stay_brackets():
    code = "re.compile(r'\\(a\\) \\[b\\]')"
    assert "<math" not in markdown(f"```\n{code}\n```\nand `{code}`")
    assert markdown(f"`{code}`").count("\\(a\\) \\[b\\]") == 1
    assert "<math" not in markdown("\\[ never closed")


def test_a_formula_of_several_lines_is_no_markdown():
    assert "<h1>" not in markdown("\\[\na\n=\nb\n\\]")
    assert "<mtr>" in markdown("\\[\n\\begin{aligned} a &= b \\\\ c &= d \\end{aligned}\n\\]")
    assert markdown("so \\[ x \\] it is").count("<p>") == 1


def test_lists_quotes_tables_and_code_run_the_way_of_their_own_text():
    html = markdown("- אבג\n- דהו\n\n> abc\n\n1. x\n\n| א |\n|---|\n| ב |")
    for tag in ("ul", "blockquote", "ol", "table"):
        assert f'<{tag} dir="auto"' in html


def test_a_response_of_several_turns_is_a_conversation():
    assert turns("one") == [("assistant", "one")]
    assert turns("one\n\nHuman: two?\n\nAssistant: three\n\nfour") == [
        ("assistant", "one"),
        ("user", "two?"),
        ("assistant", "three\n\nfour"),
    ]


@pytest.mark.parametrize(
    ("name", "tag"),
    [("he", "he"), ("zh_Hant", "zh-Hant"), ("German", ""), ("x", ""), (None, ""), ("e n", "")],
)
def test_only_a_language_tag_becomes_one(name, tag):
    assert language_tag(name) == tag
