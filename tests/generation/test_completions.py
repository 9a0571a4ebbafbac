"""The client of model servers, against a real one that misbehaves on demand."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import IPv4Address

import pytest

from app.completions import (
    KEYS,
    BadReply,
    Interrupted,
    Piece,
    Reply,
    Target,
    Unusable,
    Writer,
    address_of,
    addresses,
    is_refused,
    reply_of,
    retry_after,
)
from app.completions.replies import LONGEST_WAIT
from app.config import settings
from app.errors import AppError, Invalid
from tests.generation.chat_server import KEY, ChatServer, chat_server

HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def running() -> Iterator[ChatServer]:
    with chat_server() as server:
        yield server


@pytest.fixture
def server(running: ChatServer, allow: Callable[[str], None]) -> ChatServer:
    allow(running.at)
    running.asked.clear()
    running.headers.clear()
    running.times.clear()
    return running


@pytest.fixture
def allow(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sets the list of allowed servers; waits between tries take no time."""
    monkeypatch.setattr("app.completions.writer.random.uniform", lambda *_: 0.0)
    return lambda pairs: monkeypatch.setattr(
        addresses, "settings", settings.model_copy(update={"endpoints": pairs})
    )


def ask(server: ChatServer, model: str, **fields: object) -> Reply:
    with Writer(Target(server.url, model), tries=3) as writer:
        return writer.write(HELLO, **fields)  # type: ignore[arg-type]


def test_a_reply_comes_with_what_was_asked_for(server: ChatServer) -> None:
    reply = ask(
        server, "good", system="Be brief", temperature=0.3, top_p=0.9, max_new_tokens=7, seed=5
    )
    assert reply.text == "Hello → 5@0.3"
    (body,) = server.asked
    assert body == {
        "model": "good",
        "messages": [{"role": "system", "content": "Be brief"}, *HELLO],
        "temperature": 0.3,
        "top_p": 0.9,
        "max_tokens": 7,
        "stream": False,
        "seed": 5,
    }
    assert server.headers[0]["host"] == server.at
    assert "authorization" not in server.headers[0]


@pytest.mark.parametrize("model", ["busy", "broken"])
def test_what_passes_is_asked_again(server: ChatServer, model: str) -> None:
    assert ask(server, model).text.startswith("Hello")
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("down", "answered 500, 3 times in a row"),
        ("locked", "refuses the key (401)"),
        ("missing", "no model “missing” (The model does not exist)"),
        ("html", "does not speak JSON"),
        ("elsewhere", "sends elsewhere (307)"),
    ],
)
def test_an_endpoint_that_cannot_be_used_says_why(
    server: ChatServer, model: str, sentence: str
) -> None:
    with pytest.raises(Unusable) as caught:
        ask(server, model)
    assert sentence in caught.value.detail
    assert KEY not in caught.value.detail
    assert len(server.asked) == (3 if model == "down" else 1)


@pytest.mark.parametrize("model", ["shapeless", "endless"])
def test_a_bad_answer_costs_one_prompt(server: ChatServer, model: str) -> None:
    with pytest.raises(BadReply):
        ask(server, model)


def test_a_refusal_is_told(server: ChatServer) -> None:
    reply = ask(server, "refusing")
    assert (reply.text, reply.refused) == ("I will not.", True)


STREAMED = {"temperature": 0.5, "top_p": 1.0, "max_new_tokens": 9, "seed": 1}


def stream(server: ChatServer, model: str) -> list[Piece]:
    with Writer(Target(server.url, model)) as writer:
        return list(writer.stream(HELLO, **STREAMED))


def test_a_reply_is_streamed_with_the_probabilities_of_its_tokens(server: ChatServer) -> None:
    *words, last = stream(server, "streaming")
    assert [piece.text for piece in words] == ["One", " more", " egg"]
    assert (last.text, last.finish) == ("", "length")
    (token,) = words[1].tokens
    assert token == {
        "text": " more", "logp": -1.0, "rank": 2, "top": [["One", -0.5], [" more", -1.0]],
    }  # fmt: skip
    assert words[2].tokens[0]["rank"] is None  # not among the likeliest that the server tells


def test_a_server_that_knows_no_probabilities_is_asked_without(server: ChatServer) -> None:
    pieces = stream(server, "curt")
    assert "".join(piece.text for piece in pieces) == "One more egg"
    assert not any(piece.tokens for piece in pieces)
    assert ["logprobs" in body for body in server.asked] == [True, False]


def test_a_server_that_does_not_stream_answers_in_one_piece(server: ChatServer) -> None:
    (piece,) = stream(server, "good")
    assert piece.text == "Hello → 1@0.5"


@pytest.mark.parametrize(
    ("model", "problem", "sentence"),
    [
        ("breaking", BadReply, "out of memory"),
        ("shapeless", BadReply, "no choices"),
        ("down", BadReply, "refused it (500)"),
        ("missing", Unusable, "no model “missing”"),
        ("elsewhere", Unusable, "sends elsewhere"),
    ],
)
def test_a_stream_that_goes_wrong_says_why(
    server: ChatServer, model: str, problem: type[Exception], sentence: str
) -> None:
    with pytest.raises(problem) as caught:
        stream(server, model)
    assert sentence in (getattr(caught.value, "detail", "") or str(caught.value))


def test_a_stream_ends_when_somebody_hangs_up(server: ChatServer) -> None:
    with Writer(Target(server.url, "endless stream")) as writer:
        pieces = writer.stream(HELLO, **STREAMED)
        next(pieces)
        writer.hang_up()
        with pytest.raises(Interrupted):
            list(pieces)


def test_nobody_listens(allow: Callable[[str], None]) -> None:
    allow("127.0.0.1:9")
    with (
        pytest.raises(Unusable) as caught,
        Writer(Target("http://127.0.0.1:9/v1", "m"), tries=2) as writer,
    ):
        writer.write(HELLO)
    assert "is the server started?" in caught.value.detail


def test_the_key_comes_from_the_environment_alone(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = Target(server.url, "locked", "LAB")
    with pytest.raises(Unusable, match="TOUCHSTONE_ENDPOINT_KEY_LAB is not set"):
        Writer(target)
    monkeypatch.setenv(KEYS + "LAB", KEY)
    with Writer(target) as writer:
        assert writer.write(HELLO).text
    assert KEY not in repr(target)


def test_who_waits_for_another_try_can_be_called_back(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopping = threading.Event()
    stopping.set()
    with (
        Writer(Target(server.url, "down"), stopping=stopping) as writer,
        pytest.raises(Interrupted),
    ):
        writer.write(HELLO)
    assert server.asked == []


def test_hanging_up_ends_the_wait_for_an_answer(server: ChatServer) -> None:
    server.gate, server.after = threading.Event(), 0
    with Writer(Target(server.url, "good")) as writer, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(writer.write, HELLO)
        while not server.now:
            assert not waiting.done()
        writer.hang_up()
        with pytest.raises(Interrupted):
            waiting.result(20)
    server.gate.set()
    server.gate = None


# -- whom it speaks to ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://127.0.0.1:5432/v1", "not on the list"),
        ("http://gpu-1:8001/v1", "not on the list"),  # another port
        ("https://gpu-1/v1", "not on the list"),  # 443
        ("ftp://gpu-1:8000", "begins with http"),
        ("file:///etc/passwd", "begins with http"),
        ("http://me:secret@gpu-1:8000/v1", "no user, password"),
        ("http://gpu-1:8000/v1?x=1", "no user, password"),
        ("http://gpu-1:99999/v1", "no web address"),
        ("http://[gpu-1:8000/v1", "no web address"),
    ],
)
def test_only_what_the_settings_allow(
    allow: Callable[[str], None], url: str, sentence: str
) -> None:
    allow("gpu-1:8000, [::1]:8000")
    assert address_of("http://GPU-1:8000/v1/").path == "/v1"
    assert address_of("http://[::1]:8000/v1").host == "::1"
    with pytest.raises(Invalid, match=sentence):
        address_of(url)


@pytest.mark.parametrize(
    ("host", "number", "refused"),
    [
        ("api.example.org", "93.184.216.34", False),
        ("gpu-1", "10.0.0.5", False),
        ("api.example.org", "127.0.0.1", True),  # a name turned round to this machine
        ("api.example.org", "::1", True),
        ("localhost", "127.0.0.1", False),
        ("127.0.0.1", "127.0.0.1", False),
        ("::1", "::1", False),
        ("gpu-1", "169.254.169.254", True),
        ("169.254.169.254", "169.254.169.254", True),
        ("gpu-1", "::ffff:169.254.169.254", True),
        ("gpu-1", "fe80::1%eth0", True),
        ("gpu-1", str(IPv4Address(0)), True),
        ("gpu-1", "224.0.0.1", True),
    ],
)
def test_where_an_allowed_name_may_lead(host: str, number: str, *, refused: bool) -> None:
    assert is_refused(host, number) is refused


def test_the_connection_goes_to_the_number_that_was_looked_at(
    server: ChatServer, allow: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that leads elsewhere a moment later leads nowhere."""
    answers = [[(2, 1, 6, "", ("127.0.0.1", server.port))], OSError()]
    allow(f"localhost:{server.port}")
    asked = []

    def look_up(host: str, port: int, **_: object) -> object:
        asked.append(host)
        return answers.pop(0)

    monkeypatch.setattr(addresses.socket, "getaddrinfo", look_up)
    target = Target(f"http://localhost:{server.port}/v1", "good")
    with Writer(target) as writer:
        assert writer.address.ip == "127.0.0.1"
    assert asked == ["localhost"]


def test_a_key_does_not_travel_readable(
    allow: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    allow("api.example.org:80")
    monkeypatch.setenv(KEYS + "LAB", KEY)
    found = [(2, 1, 6, "", ("93.184.216.34", 80))]
    monkeypatch.setattr(addresses.socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(AppError, match="readable"):
        Writer(Target("http://api.example.org/v1", "m", "LAB"))


# -- small things -----------------------------------------------------------------------------


def test_how_long_a_server_asks_to_wait() -> None:
    assert retry_after(None) == 0
    assert retry_after("2.5") == 2.5
    assert retry_after("3600") == LONGEST_WAIT
    assert retry_after("-4") == retry_after("nan") == retry_after("soon") == 0
    at = datetime.now(UTC) + timedelta(seconds=30)
    assert 25 < retry_after(format_datetime(at)) <= 30
    assert retry_after(format_datetime(at - timedelta(hours=1))) == 0


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {},
        {"choices": []},
        {"choices": [{}]},
        {"choices": [{"message": "text"}]},
        {"choices": [{"message": {"content": 5}}]},
    ],
)
def test_any_other_shape_is_a_bad_reply(answer: object) -> None:
    with pytest.raises(BadReply):
        reply_of(answer)


def test_content_in_parts_is_put_together() -> None:
    parts = [{"type": "text", "text": "Two "}, {"type": "text", "text": "eggs"}]
    assert reply_of({"choices": [{"message": {"content": parts}}]}).text == "Two eggs"
