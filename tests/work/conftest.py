"""Nothing that one test computed is shown to the next."""

from collections.abc import Iterator

import pytest

from app.work.service import board


@pytest.fixture(autouse=True)
def fresh_board() -> Iterator[None]:
    board.forget()
    yield
    board.forget()
