"""The ledger: caps hold for all processes together, and whatever a crash leaves behind is settled."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from queue_tools import in_child

from downstream.domain.errors import Misconfigured, OnHold
from downstream.ledger import LOOK_AGAIN_SECONDS, Caps, Ledger
from downstream.receipts import Attempt, Phase, Receipts

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 1, 6, 12, tzinfo=UTC)


@dataclass
class Clock:
    """A clock the test sets."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now


def open_ledger(home: Path, clock: Clock | None = None, *, zone: str = "UTC", **caps: int) -> Ledger:
    """The installation's ledger, with wide caps but for those given."""
    given = Caps(**{"per_call_micros": 10**12, "per_day_micros": 10**12, "per_month_micros": 10**12, **caps})
    return Ledger(home, caps=given, timezone=zone, clock=clock or Clock())


def reserve(ledger: Ledger, micros: int, call: str = "clips/01", stream_id: str = "order", number: int = 1) -> None:
    """That much is reserved for a call."""
    ledger.reserve(stream_id, call, "inputs", number, "minimax", micros)


def attempt(call: str = "clips/01", cost: int = 190_000, *, exact: bool = False, began: datetime = NOW) -> Attempt:
    """An attempt that has ended."""
    return Attempt(call, "inputs", "minimax", 1, began, cost, Phase.OUTCOME, cost, exact)


def lines(home: Path, month: str = "2026-01") -> list[dict[str, Any]]:
    """The lines of one month's book."""
    data = (home / "logs/ledger" / f"{month}.jsonl").read_bytes()
    assert data.endswith(b"\n")
    return [json.loads(line) for line in data.splitlines()]


# --- caps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cap", "fingerprint", "told"),
    [
        ("per_call_micros", "cap.call", "the cap for a call is reached: clips/02 may cost $0.000061"),
        ("per_day_micros", "cap.day", "the cap for a day is reached: $0.00004 are spent today"),
        ("per_month_micros", "cap.month", "the cap for a month is reached: $0.00004 are spent this month"),
    ],
)
def test_a_cap_lets_the_last_micro_through_and_refuses_one_more(
    home: Path, cap: str, fingerprint: str, told: str
) -> None:
    ledger = open_ledger(home, **{cap: 60 if cap == "per_call_micros" else 100})
    reserve(ledger, 40)
    before = lines(home)

    with pytest.raises(OnHold) as caught:
        reserve(ledger, 61, "clips/02")

    assert caught.value.fingerprint == fingerprint
    assert caught.value.wait_seconds == LOOK_AGAIN_SECONDS
    assert str(caught.value).startswith(told)
    assert f"CAP_{cap.upper().removesuffix('_MICROS')}_CENTS" in str(caught.value)
    assert lines(home) == before
    reserve(ledger, 60, "clips/02")


def test_what_a_call_did_not_cost_makes_room_and_what_it_cost_more_takes_it(home: Path) -> None:
    ledger = open_ledger(home, per_day_micros=100)
    reserve(ledger, 90)
    with pytest.raises(OnHold):
        reserve(ledger, 50, "clips/02")

    ledger.settle("order", attempt(cost=40, exact=True))
    reserve(ledger, 60, "clips/02")

    ledger.settle("order", attempt("clips/02", cost=70))
    assert ledger.spent(NOW) == (110, 110)
    with pytest.raises(OnHold):
        reserve(ledger, 1, "clips/03")


def test_a_new_day_has_its_cap_anew_and_a_new_month_too(home: Path) -> None:
    clock = Clock(datetime(2026, 1, 30, 23, 59, 59, tzinfo=UTC))
    ledger = open_ledger(home, clock, per_day_micros=100, per_month_micros=150)
    reserve(ledger, 100)

    clock.now += timedelta(seconds=1)
    reserve(ledger, 50, "clips/02")
    with pytest.raises(OnHold, match="for a month"):
        reserve(ledger, 1, "clips/03")

    clock.now += timedelta(days=1)
    reserve(ledger, 100, "clips/03")
    assert ledger.spent(clock.now) == (100, 100)
    assert [entry.micros for entry in ledger.entries(date(2026, 1, 1))] == [100, 50]


def test_the_operators_clock_decides_which_day_and_month_it_is(home: Path) -> None:
    clock = Clock(datetime(2026, 1, 31, 22, 30, tzinfo=UTC))
    budapest = open_ledger(home, clock, zone="Europe/Budapest", per_day_micros=100)
    reserve(budapest, 100)
    with pytest.raises(OnHold):
        reserve(budapest, 1, "clips/02")

    clock.now += timedelta(minutes=30)  # midnight in Budapest
    reserve(budapest, 100, "clips/02")

    assert [entry.call for entry in budapest.entries(date(2026, 1, 1))] == ["clips/01"]
    assert [entry.call for entry in budapest.entries(date(2026, 2, 1))] == ["clips/02"]
    assert budapest.spent(clock.now) == (100, 100)


def test_many_processes_at_once_cannot_take_the_last_room_twice(home: Path) -> None:
    script = textwrap.dedent("""
        import sys
        from datetime import UTC, datetime
        from pathlib import Path
        from downstream.domain.errors import OnHold
        from downstream.ledger import Caps, Ledger
        home, name = Path(sys.argv[1]), sys.argv[2]
        caps = Caps(per_call_micros=100, per_day_micros=1000, per_month_micros=10_000)
        clock = lambda: datetime(2026, 1, 6, 12, tzinfo=UTC)
        ledger = Ledger(home, caps=caps, timezone="UTC", clock=clock)
        sys.stdin.readline()
        taken = 0
        for number in range(30):
            try:
                ledger.reserve("order", f"{name}/{number}", "inputs", 1, "minimax", 100)
                taken += 1
            except OnHold:
                pass
        print(taken)
    """)
    pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    children = [subprocess.Popen([sys.executable, "-c", script, str(home), name], **pipe) for name in "abc"]

    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    taken = [int(child.communicate(timeout=60)[0]) for child in children]

    assert sum(taken) == 10
    assert open_ledger(home).spent(NOW) == (1000, 1000)


def test_one_process_sees_what_another_has_reserved_since_it_looked(home: Path) -> None:
    ours, theirs = open_ledger(home, per_day_micros=100), open_ledger(home, per_day_micros=100)
    reserve(ours, 60)

    with pytest.raises(OnHold):
        reserve(theirs, 60, "clips/02")

    ours.settle("order", attempt(cost=10))
    reserve(theirs, 60, "clips/02")
    assert ours.spent(NOW) == (70, 70)


# --- crashes ---------------------------------------------------------------------------------------------------------


def test_a_torn_last_line_never_counted_and_the_next_is_whole(home: Path) -> None:
    reserve(open_ledger(home), 40)
    path = home / "logs/ledger/2026-01.jsonl"
    with path.open("ab") as file:
        file.write(b'{"at": "2026-01-06T12:00:00+00:00", "what": "reser')

    ledger = open_ledger(home)
    assert ledger.spent(NOW) == (40, 40)
    reserve(ledger, 2, "clips/02")

    assert [line["micros"] for line in lines(home)] == [40, 2]


@pytest.mark.parametrize("line", ["[]", "{}", "no json", '{"stream": "order"}', "{}\x00"])
def test_a_line_somebody_changed_stops_the_run_by_the_files_name(home: Path, line: str) -> None:
    reserve(open_ledger(home), 40)
    with (home / "logs/ledger/2026-01.jsonl").open("a") as file:
        file.write(f"{line}\n")

    with pytest.raises(Misconfigured, match=r"^logs/ledger/2026-01\.jsonl: "):
        reserve(open_ledger(home), 1, "clips/02")


def test_a_process_killed_while_it_holds_the_books_lets_go_of_them(home: Path) -> None:
    def die() -> None:
        ledger = open_ledger(home)
        with ledger._locked():
            os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(die) == -signal.SIGKILL

    reserve(open_ledger(home), 1)


CUTS = ("reserved", "intended", "ended", "settled")
"""After which write a run is killed: ledger, receipts, receipts, ledger."""


@pytest.mark.parametrize(("cut", "expected"), list(zip(CUTS, (0, 190_000, 150_000, 150_000), strict=True)))
def test_after_a_crash_at_any_point_the_books_agree_with_the_receipts(home: Path, cut: str, expected: int) -> None:
    path = home / "streams/order/receipts.jsonl"

    def run() -> None:
        ledger, receipts = open_ledger(home), Receipts(path)
        for step in CUTS:
            if step == "reserved":
                reserve(ledger, 190_000)
            elif step == "intended":
                made = receipts.intend("clips/01", "inputs", "minimax", reserved_micros=190_000)
                made.began_at = NOW
            elif step == "ended":
                receipts.settle(made, cost_micros=150_000)
            else:
                ledger.settle("order", made)
            if step == cut:
                os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(run) == -signal.SIGKILL

    for _ in range(2):  # the second time there is nothing to do
        ledger = open_ledger(home)
        ledger.agree("order", Receipts(path).attempts)
        assert ledger.spent(NOW) == (expected, expected)
    (entry,) = open_ledger(home).entries(NOW.date())
    assert entry.is_open == (cut == "intended")
    assert len(lines(home)) == (1 if cut == "intended" else 2)


def test_agreeing_touches_no_other_order_and_nothing_that_is_settled(home: Path) -> None:
    ledger = open_ledger(home)
    reserve(ledger, 10)
    reserve(ledger, 20, stream_id="another")
    ledger.settle("order", attempt(cost=7, exact=True))
    before = lines(home)

    ledger.agree("order", [])

    assert lines(home) == before
    assert {entry.stream_id: (entry.micros, entry.is_open, entry.exact) for entry in ledger.entries(NOW.date())} == {
        "order": (7, False, True),
        "another": (20, True, False),
    }


def test_a_call_settled_here_whose_end_the_receipts_out_of_a_backup_do_not_know_is_settled_once_more(
    home: Path,
) -> None:
    ledger, path = open_ledger(home), home / "streams/order/receipts.jsonl"
    reserve(ledger, 190_000)
    receipts = Receipts(path)
    made = receipts.intend("clips/01", "inputs", "minimax", reserved_micros=190_000)
    made.began_at = NOW
    before = path.read_bytes()
    receipts.settle(made, cost_micros=150_000)
    ledger.settle("order", made)
    path.write_bytes(before)

    for _ in range(2):  # the second time there is nothing to do
        again = Receipts(path)
        open_ledger(home).agree("order", again.attempts)
        assert open_ledger(home).spent(NOW) == (190_000, 190_000)
    (lost,) = again.attempts
    lost.began_at = NOW
    again.end(lost, Phase.UNKNOWN, "the run ended before the answer came", cost_micros=190_000)
    open_ledger(home).settle("order", lost)

    (entry,) = open_ledger(home).entries(NOW.date())
    assert (entry.micros, entry.is_open) == (190_000, False)
    assert len(lines(home)) == 4


def test_what_a_crash_left_open_last_month_is_settled_in_last_months_book(home: Path) -> None:
    clock = Clock(datetime(2026, 1, 31, 23, 59, tzinfo=UTC))
    reserve(open_ledger(home, clock), 190_000)
    clock.now += timedelta(hours=1)

    ledger = open_ledger(home, clock)
    ledger.agree("order", [])

    assert ledger.spent(clock.now) == (0, 0)
    assert [entry.micros for entry in ledger.entries(date(2026, 1, 1))] == [0]
    assert not (home / "logs/ledger/2026-02.jsonl").exists()


def test_what_was_never_called_before_midnight_and_is_reserved_again_after_it_counts_on_the_new_day(home: Path) -> None:
    clock = Clock(datetime(2026, 1, 5, 23, 59, tzinfo=UTC))
    reserve(open_ledger(home, clock), 190_000)
    clock.now = datetime(2026, 1, 6, 0, 5, tzinfo=UTC)

    ledger = open_ledger(home, clock, per_day_micros=200_000)
    ledger.agree("order", [])
    reserve(ledger, 190_000)

    for books in (ledger, open_ledger(home, clock)):  # as it was written, and as it is read
        assert books.spent(clock.now) == (190_000, 190_000)
    with pytest.raises(OnHold, match="for a day"):
        reserve(ledger, 190_000, "clips/02")


def test_a_call_that_a_backup_knows_as_open_counts_on_the_day_it_was_reserved(home: Path) -> None:
    clock = Clock(datetime(2026, 1, 5, 23, 59, tzinfo=UTC))
    ledger = open_ledger(home, clock)
    reserve(ledger, 190_000)
    ledger.settle("order", attempt(cost=150_000, began=clock.now))
    lost = Attempt("clips/01", "inputs", "minimax", 1, clock.now, 190_000)
    clock.now = datetime(2026, 1, 6, 12, tzinfo=UTC)

    ledger.agree("order", [lost])

    for books in (ledger, open_ledger(home, clock)):
        assert books.spent(clock.now) == (0, 190_000)


# --- settling --------------------------------------------------------------------------------------------------------


def test_a_call_that_ends_after_midnight_of_a_month_counts_on_the_day_it_was_reserved(home: Path) -> None:
    clock = Clock(datetime(2026, 1, 31, 23, 59, 30, tzinfo=UTC))
    ledger = open_ledger(home, clock)
    reserve(ledger, 190_000)
    began, clock.now = clock.now, datetime(2026, 2, 1, 0, 5, tzinfo=UTC)

    ledger.settle("order", attempt(cost=180_000, began=began))

    assert ledger.spent(clock.now) == (0, 0)
    (entry,) = open_ledger(home, clock).entries(date(2026, 1, 1))
    assert (entry.micros, entry.is_open, entry.at) == (180_000, False, began)
    assert not (home / "logs/ledger/2026-02.jsonl").exists()


def test_an_intent_a_moment_after_midnight_is_settled_where_its_reservation_lies(home: Path) -> None:
    clock = Clock(datetime(2026, 1, 31, 23, 59, 59, 900_000, tzinfo=UTC))
    ledger = open_ledger(home, clock)
    reserve(ledger, 190_000)
    clock.now += timedelta(milliseconds=200)

    ledger.settle("order", attempt(cost=180_000, began=clock.now))

    assert [entry.micros for entry in ledger.entries(date(2026, 1, 1))] == [180_000]


def test_what_is_settled_stays_so_and_what_was_never_reserved_is_not_in_the_books(home: Path) -> None:
    ledger = open_ledger(home)
    reserve(ledger, 190_000)
    ledger.settle("order", attempt(cost=100))
    before = lines(home)

    ledger.settle("order", attempt(cost=999))
    ledger.settle("order", attempt("plan", cost=5))

    assert lines(home) == before


def test_each_attempt_at_a_call_has_its_own_entry(home: Path) -> None:
    ledger = open_ledger(home)
    reserve(ledger, 10)
    reserve(ledger, 10, number=2)

    ledger.settle("order", attempt(cost=3))

    assert [(entry.number, entry.micros, entry.is_open) for entry in ledger.entries(NOW.date())] == [
        (1, 3, False),
        (2, 10, True),
    ]


def test_the_books_are_their_owners_alone(home: Path) -> None:
    reserve(open_ledger(home), 1)

    for path in [home / "logs/ledger", *(home / "logs/ledger").iterdir()]:
        assert path.stat().st_mode & 0o077 == 0, path
