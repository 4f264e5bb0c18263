"""Killed before and after every receipt, every line of the ledger and every request: one page, one mail, one bill.

The moments are found by watching clean runs from three points of an order's way on, and compared with what those runs
left behind: a line of the books or a call that is paid for and is no moment fails the test. Every moment is taken but
those of requests that are free and change nothing when they are repeated (uploads, polls, visits): of these the first
few of a kind. With KILL_AT=every in the environment they are all taken as well.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

import httpx
import pytest
from matrix import (
    BEFORE_CLIPS,
    IN_REVIEW,
    JUDGED,
    ORDER,
    TALE,
    WANTED,
    Begun,
    Point,
    Program,
    Row,
    attempts_of,
    leaks,
    row_at,
    services,
    told_too_much,
    wrong_books,
)

from downstream.site.read import read_marker, read_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FREE_REPEATS = 2
"""Of requests that are free and harmless the first few of a kind are enough."""
OUTSIDE = {"gemini", "minimax", "vercel", "smtp"}
"""What the receipts call the services."""
AT_ONCE = {"downstream.providers.minimax.clips:MinimaxClips.settle_seconds": 0.5}
"""The service lists a prediction as soon as it was made."""
MOST_RUNS = 8
PARTS = 4
"""Tests that share the moments out among them, so that they can be run side by side."""


class Stretch(NamedTuple):
    """A part of an order's way: the stage that goes it, what was billed before it, and the moment it ends at."""

    stage: str
    begun: Counter[str]
    ends_at: str | None = None


STRETCHES: dict[Point, Stretch] = {
    "pending": Stretch("process", Counter(), JUDGED),
    "before clips": Stretch("process", BEFORE_CLIPS),
    "in review": Stretch("review", IN_REVIEW),
}
"""The whole way, so that what lies behind an order need not be gone again for each moment."""


class Bench:
    """Where orders are killed and finished, each with services of its own."""

    def __init__(self, folder: Path, program: Program, begun: dict[str, Begun]) -> None:
        self._folder = folder
        self._program = program
        self._begun = begun

    @contextmanager
    def order(self, at: Point) -> Iterator[Row]:
        """An order that has come to ``at``; it is cleared away when the context ends."""
        with services() as found:
            yield row_at(at, self._folder / "home", self._program, self._begun, found)
        shutil.rmtree(self._folder)
        self._folder.mkdir()

    def moments(self, at: Point) -> list[str]:
        """What is met on the stretch from ``at``. Nothing that the run left behind is missing among them."""
        stretch = STRETCHES[at]
        with self.order(at) as row:
            before = lines_of(row)
            arguments = ["--home", str(row.home), stretch.stage]
            ended = self._program.ended(arguments, row.environment(), row.output, stretch.ends_at)
            assert ended["code"] == (-9 if stretch.ends_at else 0), row.output.read_text()
            chosen = worth_killing_at(ended["moments"])
            assert_complete(row, chosen, lines_of(row) - before)
        return chosen


def is_free(moment: str) -> bool:
    """A request that costs nothing and changes nothing when it is repeated."""
    what = moment.partition(" ")[2]
    return what.startswith(("GET ", "POST /v2/files", "POST /v1/files"))


def worth_killing_at(moments: list[str]) -> list[str]:
    """Every moment once; of free requests the first few of a kind."""
    every = os.environ.get("KILL_AT") == "every"
    return [
        moment
        for moment in dict.fromkeys(moments)
        if every or not is_free(moment) or int(moment.rpartition("#")[2]) <= FREE_REPEATS
    ]


def lines_of(row: Row) -> Counter[str]:
    """The lines of the order's books, in the words of their moments."""
    receipts = Counter(f"receipt {line['phase']} {line['call']}" for line in row.receipts())
    return receipts + Counter(f"ledger {line['what']} {line['call']}" for line in row.ledger())


def assert_complete(row: Row, moments: list[str], written: Counter[str]) -> None:
    """Before and after each line that was ``written``, each call that is paid for and each letter lies a moment."""
    met = row.services
    called = {
        ":generateContent": len(met.gemini.bill),
        "/predictions": len(met.replicate.bill),
        "POST /v1/files": min(FREE_REPEATS, len(met.replicate.calls_of("files.create"))),
        "POST /v13/deployments": len(met.vercel.calls_of("createDeployment")),
        "POST /v11/projects": len(met.vercel.calls_of("createProject")),
        "POST /v2/files": min(FREE_REPEATS, len(met.vercel.calls_of("uploadFile"))),
        "SMTP DATA": len(met.smtp.letters),
    }
    for when in ("before ", "after "):
        kinds = Counter(each.removeprefix(when).rpartition(" #")[0] for each in moments if each.startswith(when))
        assert Counter({kind: n for kind, n in kinds.items() if kind.startswith(("receipt ", "ledger "))}) == written
        requests = {kind: n for kind, n in kinds.items() if kind.startswith(("POST ", "SMTP "))}
        for words, count in called.items():
            assert sum(n for kind, n in requests.items() if words in kind) >= count, words


def findings(row: Row, begun: Counter[str]) -> list[str]:
    """What is wrong after an order was killed once and finished; ``begun`` is what was billed before."""
    if row.where() != "completed":
        return [f"the order lies in {row.where()}: {row.job().get('failure')}"]
    return [
        *wrongly_billed(row, row.bill + begun),
        *wrongly_delivered(row),
        *wrong_books(row),
        *(f"left open: {call}" for call in left_open(row)),
        *(f"not settled: {call}" for call, what in unsettled(row).items() if what["reserved"] != what["settled"]),
        *leaks(row),
        *told_too_much(row),
        *row.services.violations,
    ]


def unknown_attempts(row: Row) -> Counter[str]:
    """The attempts of which nobody knows what came of them, by step."""
    return Counter(line["call"].partition("/")[0] for line in row.receipts() if line["phase"] == "unknown")


def left_open(row: Row) -> list[str]:
    """The calls of services whose end is not written down. Our own work is free, and may be begun again."""
    attempts = attempts_of(row, ORDER).values()
    return [lines[0]["call"] for lines in attempts if len(lines) == 1 and lines[0]["provider"] in OUTSIDE]


def unsettled(row: Row) -> dict[str, Counter[str]]:
    """For each call how often it was reserved and settled in the ledger."""
    calls: dict[str, Counter[str]] = {}
    for line in row.ledger():
        calls.setdefault(line["call"], Counter())[line["what"]] += 1
    return calls


def wrongly_billed(row: Row, bill: Counter[str]) -> Iterator[str]:
    """What was paid for twice without being written down as unknown, or not at all."""
    unknown = unknown_attempts(row)
    extra = bill - WANTED
    if WANTED - bill:
        yield f"not billed: {WANTED - bill}"
    if extra.total() > min(1, unknown.total() - unknown["mail"]) or extra["replicate clip"]:
        yield f"billed twice: {extra}, recorded as unknown: {unknown}"


def wrongly_delivered(row: Row) -> Iterator[str]:
    """What is wrong with the page as a visitor sees it, the letters, and what the job tells of both."""
    unknown = unknown_attempts(row)
    if not 1 <= len(row.letters) <= 1 + unknown["mail"]:
        yield f"{len(row.letters)} letters, recorded as unknown: {unknown}"
    if len(row.services.vercel.deployments) != 1:
        yield f"{len(row.services.vercel.deployments)} deployments"
    history = row.job()["history"]
    told = Counter(entry["what"] for entry in history)
    if (told["published"], told["verified"], told["mailed"]) != (1, 1, 1):
        yield f"the history says {told}"
    for entry in history:
        if entry["what"] == "published":
            page = httpx.get(entry["evidence"]["address"], follow_redirects=True).content
            if (read_marker(page), read_text(page)) != (ORDER, TALE):
                yield f"visitors see the page of {read_marker(page)}, {len(read_text(page))} characters of text"


def kill_and_finish(bench: Bench, at: Point, moment: str) -> list[str]:
    """One order, killed at ``moment`` and then run plainly to its end; returns what was wrong."""
    stage, begun, _ = STRETCHES[at]
    with bench.order(at) as row:
        ends = [row.tick(stage, kill_at=moment).code]
        wrong = [] if ends == [-9] else ["was never reached"]
        for each in ("process", "review") * (MOST_RUNS // 2):
            if row.where() != "completed":
                row.later()
                ends.append(row.tick(each, patience=AT_ONCE).code)
        wrong += findings(row, begun)
    return [f"{at}, {moment}: {one} (ended {ends})" for one in wrong]


@pytest.fixture
def bench(tmp_path: Path, program: Program, begun: dict[str, Begun]) -> Bench:
    """A bench to kill and finish orders on."""
    return Bench(tmp_path / "bench", program, begun)


@pytest.mark.parametrize("part", range(PARTS))
def test_killed_at_every_moment_an_order_is_paid_published_and_mailed_once(bench: Bench, part: int) -> None:
    chosen = [(at, moment) for at in STRETCHES for moment in bench.moments(at)]
    mine = [(at, moment) for at, moment in chosen if crc32(f"{at} {moment}".encode()) % PARTS == part]

    found = [line for at, moment in mine for line in kill_and_finish(bench, at, moment)]

    kinds = [moment for _, moment in chosen if moment.startswith("before ")]
    assert sum("generateContent" in each for each in kinds) == WANTED["gemini text"] + WANTED["gemini keyframe"]
    assert sum("predictions #" in each for each in kinds) == WANTED["replicate clip"]
    for each in ("POST /v1/files", "POST /v13/deployments", "POST /v2/files", "SMTP DATA", "receipt ", "ledger "):
        assert any(moment.startswith(f"before {each}") for moment in kinds), each
    assert mine
    assert found == []
