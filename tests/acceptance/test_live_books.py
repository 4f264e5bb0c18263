"""Books that do not agree with what the services billed are found, wherever in an order's way they went wrong.

Every row of the fault matrix is looked through for them when it is over (``matrix.wrong_books``).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from matrix import ORDER, wrong_books

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matrix import Row

    OpenRow = Callable[..., Row]


def change(path: Path, call: str, **fields: object) -> None:
    """The ends of ``call`` are written down otherwise than they were; of ``fields`` those that a line has."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        if line["call"] == call and ("micros" in line or "cost_micros" in line):
            line.update({name: value for name, value in fields.items() if name in line})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize("micros", [0, 189_999, 190_001])
def test_a_clip_that_is_booked_otherwise_than_it_was_billed_is_found(open_row: OpenRow, micros: int) -> None:
    row = open_row("in review")
    paths = [row.home / "streams" / ORDER / "receipts.jsonl", *row.home.glob("logs/ledger/*.jsonl")]
    before = {path: path.read_bytes() for path in paths}

    for path in paths:
        change(path, "clips/03", cost_micros=micros, micros=micros)

    (wrong,) = wrong_books(row)
    assert " were billed, and the books know of " in wrong
    for path, content in before.items():
        path.write_bytes(content)
    assert wrong_books(row) == []


def test_a_ledger_that_says_otherwise_than_the_receipts_is_found(open_row: OpenRow) -> None:
    row = open_row("in review")
    (ledger,) = row.home.glob("logs/ledger/*.jsonl")
    before = ledger.read_bytes()

    change(ledger, "clips/03", micros=0)

    assert any(each.startswith(f"{ORDER}: the ledger has ") for each in wrong_books(row))
    ledger.write_bytes(before)


def test_a_lost_answer_may_have_been_billed_or_not(open_row: OpenRow) -> None:
    row = open_row("in review")
    receipts, (ledger,) = row.home / "streams" / ORDER / "receipts.jsonl", row.home.glob("logs/ledger/*.jsonl")
    before = {path: path.read_bytes() for path in (receipts, ledger)}

    change(receipts, "clips/03", phase="unknown", exact=False)

    for billed in (0, -190_000):
        row.billed_before_micros += billed
        assert wrong_books(row) == []
        row.billed_before_micros -= billed
    row.billed_before_micros += 1
    assert wrong_books(row)
    row.billed_before_micros -= 1
    for path, content in before.items():
        path.write_bytes(content)
