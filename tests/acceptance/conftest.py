"""Orders at several points of their way, for the tests of what can go wrong from there on."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

pytest.register_assert_rewrite("matrix", "served")

from matrix import (  # noqa: E402 - so that its assertions show their values
    Begun,
    Program,
    Row,
    leaks,
    order_before_clips,
    order_in_review,
    row_at,
    services,
    told_too_much,
    wrong_books,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fakes.services import Services
    from matrix import Point

    OpenRow = Callable[..., Row]


@pytest.fixture(scope="session")
def program() -> Iterator[Program]:
    """The program, loaded once."""
    with Program.loaded() as program:
        yield program


@pytest.fixture(scope="session")
def begun(program: Program, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Begun]:
    """Installations whose order has come to some point, to be copied."""
    return {
        "before clips": order_before_clips(tmp_path_factory.mktemp("before-clips") / "home", program),
        "in review": order_in_review(tmp_path_factory.mktemp("in-review") / "home", program),
    }


@pytest.fixture
def open_row(program: Program, begun: dict[str, Begun], tmp_path: Path) -> Iterator[OpenRow]:
    """Opens a row of the fault matrix: an order ``pending`` (or further), services of its own, and settings.

    After the test no secret and nothing of the customer's is seen where it does not belong, no service was told more
    than its own, the books agree with the bill, every planned fault has happened, and the services were asked only what
    they take.
    """
    rows: list[Row] = []
    with ExitStack() as stack:

        def open_one(
            at: Point = "pending",
            found: Services | None = None,
            **settings: str,
        ) -> Row:
            met = stack.enter_context(found or services())
            row = row_at(at, tmp_path / "home", program, begun, met, **settings)
            rows.append(row)
            return row

        yield open_one
        for row in rows:
            assert leaks(row) == []
            assert told_too_much(row) == []
            assert wrong_books(row) == []
            assert row.services.faults_left == 0
            assert row.services.violations == []
