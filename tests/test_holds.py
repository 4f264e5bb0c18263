"""A hold takes effect at once, lasts until somebody lets go, and survives what a disk and a person do to it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from downstream.domain.errors import Held
from downstream.domain.job import Job
from downstream.domain.state import State
from downstream.holds import (
    CANCELLED,
    DISPUTED,
    OPERATOR,
    PART_REFUNDED,
    REFUNDED,
    RESTORED,
    Hold,
    check_not_held,
    find_hold,
    held_orders,
    hold,
    let_go,
)
from downstream.queue import Queue

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

NOW = datetime.now(UTC)


def a_hold(kind: str = OPERATOR, stream_id: str = "test") -> Hold:
    return Hold(stream_id, kind, "because", NOW.isoformat())


def test_an_order_is_held_until_it_is_let_go(home: Path) -> None:
    assert hold(home, a_hold())

    with pytest.raises(Held, match="test is held: because; downstream release test"):
        check_not_held(home, "test")
    check_not_held(home, "another")
    assert held_orders(home) == ["test"]

    assert let_go(home, "test") == a_hold()
    check_not_held(home, "test")
    assert let_go(home, "test") is None


def test_held_twice_for_one_reason_is_told_once(home: Path) -> None:
    assert [hold(home, a_hold(DISPUTED)), hold(home, a_hold(DISPUTED))] == [True, False]


@pytest.mark.parametrize("later", [OPERATOR, DISPUTED, CANCELLED])
def test_what_was_refunded_stays_so(home: Path, later: str) -> None:
    hold(home, a_hold(REFUNDED))

    assert not hold(home, a_hold(later))
    assert find_hold(home, "test") == a_hold(REFUNDED)


@pytest.mark.parametrize("by_the_bank", [DISPUTED, PART_REFUNDED])
@pytest.mark.parametrize("is_operator_first", [True, False])
def test_release_lets_go_of_what_the_operator_said_and_not_of_what_the_bank_did(
    home: Path, by_the_bank: str, *, is_operator_first: bool
) -> None:
    kinds = [OPERATOR, by_the_bank] if is_operator_first else [by_the_bank, OPERATOR]
    assert [hold(home, a_hold(kind)) for kind in (*kinds, *kinds)] == [True, True, False, False]

    let_go(home, "test")

    assert find_hold(home, "test") == a_hold(by_the_bank)


def test_cancelling_takes_the_place_of_the_operators_hold_and_a_dispute_stays_below(home: Path) -> None:
    for kind in (OPERATOR, CANCELLED, DISPUTED):
        assert hold(home, a_hold(kind))

    held = let_go(home, "test")

    assert held is not None
    assert held.kind == CANCELLED
    assert find_hold(home, "test") == a_hold(DISPUTED)


def test_each_hold_has_its_place_below_a_restore(home: Path) -> None:
    for kind in (RESTORED, DISPUTED, PART_REFUNDED, OPERATOR):
        assert hold(home, a_hold(kind))
    found = find_hold(home, "test")
    assert found is not None
    assert [one.kind for one in found.layers] == [RESTORED, OPERATOR, PART_REFUNDED, DISPUTED]

    assert hold(home, a_hold(REFUNDED))

    found = find_hold(home, "test")
    assert found is not None
    assert [one.kind for one in found.layers] == [RESTORED, REFUNDED]


def test_a_hold_that_somebody_spoilt_still_holds(home: Path) -> None:
    hold(home, a_hold())
    (home / "jobs" / ".holds" / "test.json").write_text("hold it, please")

    with pytest.raises(Held, match=r"jobs/\.holds/test\.json cannot be read"):
        check_not_held(home, "test")


def test_a_held_job_is_not_claimed_and_its_neighbour_is(home: Path, drop: Callable[..., Path]) -> None:
    drop("held")
    drop("free")
    hold(home, a_hold(stream_id="held"))

    claim = Queue(home).claim_next(live=True, now=NOW)

    assert claim is not None
    assert claim.job.stream_id == "free"
    assert Queue(home).find("held") == "pending"


def test_hold_release_and_cancel_by_hand(
    home: Path, drop: Callable[..., Path], run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    drop()
    assert run("hold", "test", "--reason", "the customer rang").stdout == "test is held\n"
    assert run("process").returncode == 3
    assert Queue(home).find("test") == "pending"
    assert run("release", "test").stdout == "test goes on; it was held: the customer rang\n"
    assert run("release", "test").returncode == 4

    assert "test is in jobs/failed" in run("cancel", "test", "--reason", "the customer withdrew").stdout

    job = Queue(home).read(State.FAILED, "test.json")
    assert (job.failure.kind, job.failure.reason) == ("cancelled", "the customer withdrew") if job.failure else False
    assert held_orders(home) == []
    again = run("cancel", "test")
    assert (again.returncode, again.stderr) == (4, "not done: test is in jobs/failed: there is nothing to cancel\n")


def test_an_order_nobody_knows_is_neither_held_nor_cancelled(
    run: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    for verb in ("hold", "release", "cancel"):
        ended = run(verb, "nobody")
        assert (ended.returncode, ended.stderr) == (3, "there is no such job: nobody; see downstream status\n")


def test_a_cancelled_order_that_was_being_made_is_given_up_at_the_next_tick(
    home: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    queue = Queue(home)
    queue.enqueue(Job(stream_id="test", customer_email="test@test.com"))
    hold(home, a_hold(CANCELLED))

    ended = run("process")

    assert "test failed: because" in ended.stderr
    assert queue.find("test") == "failed"
    assert held_orders(home) == []


def test_retry_of_a_refunded_order_is_refused(home: Path, run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    Queue(home).enqueue(Job(stream_id="test", customer_email="test@test.com"), "failed")
    hold(home, a_hold(REFUNDED))

    ended = run("retry", "test")

    assert ended.returncode == 7
    assert "test is held: because" in ended.stderr
    assert Queue(home).find("test") == "failed"
