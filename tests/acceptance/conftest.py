"""Orders at several points of their way, for the tests of what can go wrong from there on."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from typing import TYPE_CHECKING, Literal

import pytest

pytest.register_assert_rewrite("matrix")

from matrix import (  # noqa: E402 - so that its assertions show their values
    TINY,
    Program,
    Row,
    leaks,
    new_order,
    order_before_clips,
    order_in_review,
    services,
    told_too_much,
    wrong_books,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fakes.services import Services

    OpenRow = Callable[..., Row]


@pytest.fixture(scope="session")
def program() -> Iterator[Program]:
    """The program, loaded once."""
    with Program.loaded() as program:
        yield program


@pytest.fixture(scope="session")
def begun(program: Program, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Installations whose order has come to some point, to be copied."""
    return {
        "before clips": order_before_clips(tmp_path_factory.mktemp("before-clips") / "home", program),
        "in review": order_in_review(tmp_path_factory.mktemp("in-review") / "home", program),
    }


@pytest.fixture
def open_row(program: Program, begun: dict[str, Path], tmp_path: Path) -> Iterator[OpenRow]:
    """Opens a row of the fault matrix: an order ``pending`` (or further), services of its own, and settings.

    After the test no secret and nothing of the customer's is seen where it does not belong, no service was told more
    than its own, the books agree with the bill, every planned fault has happened, and the services were asked only what
    they take.
    """
    rows: list[Row] = []
    with ExitStack() as stack:

        def open_one(
            at: Literal["pending", "before clips", "in review"] = "pending",
            found: Services | None = None,
            **settings: str,
        ) -> Row:
            met = stack.enter_context(found or services())
            home = tmp_path / "home"
            if at == "pending":
                row = new_order(home, program, met, **settings)
            else:
                shutil.copytree(begun[at], home, symlinks=True)
                row = Row(home, met, TINY | settings, program=program)
            rows.append(row)
            return row

        yield open_one
        for row in rows:
            assert leaks(row) == []
            assert told_too_much(row) == []
            assert wrong_books(row) == []
            assert row.services.faults_left == 0
            assert row.services.violations == []
