"""Answers token by token: the same as in bulk, with the probabilities that the model gave."""

import json
import math
import queue
from collections import namedtuple
from types import SimpleNamespace

import pytest
import torch

from app.trainer import play
from app.trainer.aloud import Spelling, Token, Writing, perplexity, read_aloud
from app.trainer.chat import BadConversation
from app.trainer.failures import BadInput
from app.trainer.play import Order, Shelf, Speaker, in_words, listen, weights_of
from app.trainer.rollout import Sampling, generate
from tests.worker.processes import tiny_lm

__all__ = ["tiny_lm"]  # a fixture

ASKED = [{"role": "user", "content": "How many eggs are in box 3?"}]


@pytest.fixture(scope="module")
def speaker(tiny_lm):
    return Speaker(tiny_lm, torch.device("cpu"))


def written(speaker, sampling, seed=7):
    writing = Writing(speaker.lm, speaker.chat, ASKED, sampling, seed=seed)
    tokens = []
    while writing.over is None:
        tokens.append(writing.step())
    return writing, tokens


@pytest.mark.parametrize(
    "sampling",
    [Sampling(20, temperature=0.0), Sampling(20, temperature=1.3), Sampling(20, 0.9, top_p=0.7)],
)
def test_an_answer_is_the_one_that_generate_writes(speaker, sampling):
    writing, _ = written(speaker, sampling)
    (bulk,) = generate(
        speaker.lm,
        [speaker.chat.prompt_ids(ASKED)],
        sampling,
        stop_ids=speaker.chat.stop_ids,
        seeds=[7],
        batch_size=1,
    )
    assert writing.spelling.ids == bulk
    assert writing.text == speaker.chat.decode(bulk)


def test_each_token_has_its_probability_rank_and_rivals(speaker):
    writing, tokens = written(speaker, Sampling(12, temperature=1.5))
    prompt = speaker.chat.prompt_ids(ASKED)
    ids = torch.tensor([prompt + writing.spelling.ids])
    with torch.no_grad():
        whole = speaker.lm(input_ids=ids).logits[0].softmax(-1)  # without a cache, at temperature 1
    for place, token in enumerate(tokens):
        probs = whole[len(prompt) + place - 1]
        mine = probs[writing.spelling.ids[place]]
        assert math.exp(token.logp) == pytest.approx(float(mine), rel=1e-3)
        assert token.rank == 1 + int((probs > mine).sum())
        best = probs.sort(descending=True).values[:5].tolist()
        assert [math.exp(logp) for _, logp in token.top] == pytest.approx(best, rel=1e-3)


def test_the_same_words_read_give_what_writing_them_gave(speaker):
    writing, tokens = written(speaker, Sampling(12, temperature=1.0))
    said = "".join(token.readable for token in tokens)
    read = read_aloud(speaker.lm, speaker.chat, ASKED, said, is_whole=writing.over == "end")
    if [token.text for token in read] == [token.text for token in tokens]:  # one way to spell it
        assert [t.logp for t in read] == pytest.approx([t.logp for t in tokens], abs=1e-3)
    assert "".join(token.readable for token in read) == said


def test_a_reply_that_was_cut_off_is_not_blamed_for_its_end(speaker):
    whole = read_aloud(speaker.lm, speaker.chat, ASKED, "There are 3 eggs")
    cut = read_aloud(speaker.lm, speaker.chat, ASKED, "There are 3 eggs", is_whole=False)
    assert whole[-1].is_end
    assert not any(token.is_end for token in cut)
    assert [t.logp for t in cut] == pytest.approx([t.logp for t in whole[:-1]], abs=1e-4)


def test_the_length_is_that_which_was_asked_for_or_fits(speaker):
    writing, tokens = written(speaker, Sampling(3, temperature=0.0))
    assert (len(tokens) <= 3, writing.over in {"length", "end"}) == (True, True)
    long = [{"role": "user", "content": "egg " * 5000}]
    with pytest.raises(BadConversation, match="as long as all"):
        Writing(speaker.lm, speaker.chat, long, Sampling(3), seed=1)


def test_perplexity_of_a_fair_die_is_its_sides():
    assert perplexity([Token("a", math.log(1 / 6), 1, ())] * 9) == pytest.approx(6)
    assert perplexity([]) is None


def test_half_a_character_waits_for_the_other_half():
    parts = {1: b"a", 2: b"\xc3", 3: b"\xbc", 4: b" b"}

    def decode(ids, **_):
        return b"".join(parts[i] for i in ids).decode("utf-8", "replace")

    spelling = Spelling(SimpleNamespace(decode=decode))
    assert [spelling.add(i) for i in (1, 2, 3, 4)] == ["a", "", "ü", " b"]


# -- the shelf --------------------------------------------------------------------------------

Memory = namedtuple("Memory", "available")  # noqa: PYI024


def str_of(folder, device):
    return f"{folder} on {device}"


@pytest.fixture
def roomy(monkeypatch):
    """A machine with room for two models of 1,000 bytes beside the spare."""
    shelf = Shelf("cpu")

    def free():
        return Memory(play.SPARE + 2700 - 1000 * len(shelf.loaded))

    monkeypatch.setattr(play.psutil, "virtual_memory", free)
    monkeypatch.setattr(play, "weights_of", lambda _folder: 1000)
    return shelf


def test_the_model_that_was_used_least_lately_makes_room(roomy):
    for name in ("a", "b", "a", "c"):
        roomy.take(name, "", str_of)
    assert list(roomy.loaded) == ["a", "c"]


def test_a_model_of_the_order_at_hand_makes_no_room(roomy):
    roomy.pinned = {"a", "b", "c"}
    for name in ("a", "b"):
        roomy.take(name, "", str_of)
    with pytest.raises(BadInput, match="no room for this model"):
        roomy.take("c", "", str_of)
    assert list(roomy.loaded) == ["a", "b"]


def test_the_size_of_a_model_is_that_of_its_weights(speaker, tiny_lm):
    expected = 4 * sum(weights.numel() for weights in set(speaker.lm.parameters()))
    assert weights_of(tiny_lm) == expected
    assert (in_words(3_400_000), in_words(2_500_000_000)) == ("3 MB", "2.5 GB")


# -- orders -----------------------------------------------------------------------------------


def order(tmp_path, shelf, **parts):
    body = {"write": [], "read": []} | parts
    (tmp_path / "order.json").write_text(json.dumps(body))
    Order(tmp_path, shelf).carry_out()
    return [json.loads(line) for line in (tmp_path / "said.jsonl").read_text().splitlines()]


def writing_of(key, folder, **more):
    item = {"key": key, "id": "m", "folder": folder, "messages": ASKED, "place": 0}
    how = {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 40, "seed": 1}
    return item | how | more


def test_two_answers_grow_side_by_side_with_noise_of_their_own(tmp_path, tiny_lm, monkeypatch):
    monkeypatch.setattr(play, "TELL_EVERY", 0.0)
    items = [writing_of("a", tiny_lm), writing_of("b", tiny_lm, place=1)]
    said = order(tmp_path, Shelf("cpu"), write=items)
    assert [(line["key"], line["event"]) for line in said[:3]] == [
        ("a", "loading"),  # once: the other finds it on the shelf
        ("a", "tokens"),
        ("b", "tokens"),
    ]
    ends = {line["key"]: line for line in said if line["event"] == "end"}
    for key, end in ends.items():
        pieces = [line for line in said if line["key"] == key and line["event"] == "tokens"]
        told = "".join(line["text"] for line in pieces).strip()
        left = end["text"].removeprefix(told)  # half a character, whose other half never came
        assert end["text"].startswith(told)
        assert not left.strip("\N{REPLACEMENT CHARACTER}")
    assert ends["a"]["text"] != ends["b"]["text"]
    assert said[-1] == {"key": "", "event": "done", "loaded": ["m"]}


def test_a_stop_comes_before_the_next_token(tmp_path, tiny_lm):
    (tmp_path / "stop-a").touch()
    said = order(tmp_path, Shelf("cpu"), write=[writing_of("a", tiny_lm)])
    (end,) = [line for line in said if line["event"] == "end"]
    assert (end["why"], end["text"]) == ("stopped", "")
    assert not [line for line in said if line["event"] == "tokens"]


def test_what_fails_is_told_and_the_rest_goes_on(tmp_path, tiny_lm):
    items = [
        writing_of("gone", str(tmp_path / "nowhere"), id="x"),
        writing_of("long", tiny_lm, messages=[{"role": "user", "content": "egg " * 5000}]),
        writing_of("good", tiny_lm),
    ]
    reading = {
        "key": "judge", "id": "y", "folder": tiny_lm, "kind": "score", "messages": ASKED,
        "text": "Three", "is_whole": True,
    }  # fmt: skip
    said = order(tmp_path, Shelf("cpu"), write=items, read=[reading])
    errors = {line["key"]: line["error"] for line in said if line["event"] == "error"}
    assert errors.keys() == {"gone", "long", "judge"}
    assert "does not exist" in errors["gone"]
    assert "cannot take this" in errors["long"]
    assert "not a reward model" in errors["judge"]
    assert [line["key"] for line in said if line["event"] == "end"] == ["good"]


def test_orders_come_line_by_line_and_end_with_the_pipe(tmp_path):
    file = tmp_path / "inbox"
    file.write_text("/a\n/b c\n")
    orders = queue.Queue()
    listen(file, orders)
    assert [orders.get_nowait() for _ in range(3)] == ["/a", "/b c", None]
