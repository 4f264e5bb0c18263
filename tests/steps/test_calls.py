"""One outside call: reserved, intended, made, settled; and what becomes of it when something breaks in between."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from downstream.domain.errors import (
    Interrupted,
    InTrouble,
    OnHold,
    PersonDecides,
    Refused,
    TryAgain,
    Unknown,
)
from downstream.domain.job import Job, What
from downstream.domain.ports import Silence
from downstream.ledger import Caps, Ledger
from downstream.log import open_log
from downstream.receipts import Receipts, digest
from downstream.settings import Settings
from downstream.steps.calls import make_call
from downstream.steps.work import Budget, Made, Pools, Work
from downstream.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from downstream.domain.ports import Call
    from downstream.receipts import Receipt

PRICE = 40_000


def bench(home: Path, *, origin: str = "outside", most_micros: int = 1_000_000, job: Job | None = None) -> Work:
    """The work on one order as a new run finds it."""
    workspace = Workspace(home, "test")
    providers: Any = SimpleNamespace(origin=origin)
    caps = Caps(per_call_micros=500_000, per_day_micros=2_000_000, per_month_micros=2_000_000)
    ledger = Ledger(home, caps=caps, timezone="UTC", clock=lambda: datetime.now(UTC))
    receipts = Receipts(workspace.receipts)
    ledger.agree("test", receipts.attempts)
    pool = ThreadPoolExecutor(2)
    return Work(
        job=job or Job(stream_id="test", customer_email="test@test.com"),
        workspace=workspace,
        receipts=receipts,
        providers=providers,
        settings=Settings(),
        log=open_log(home, "processor"),
        progress=Silence(),
        pools=Pools(pool, pool),
        budget=Budget(ledger, most_micros),
        check_running=lambda: None,
        wait=lambda _: None,
    )


def ask(work: Work, make: Callable[[Call], Made], *, continues: bool = False, price: int = PRICE) -> Receipt:
    """The call that every test makes."""
    return make_call(work, "clips/01", ("prompt", 1), "maker", make, price_micros=price, continues=continues)


def failing(error: Exception, cost: int | None = None) -> Callable[[Call], Made]:
    """A call that ends in ``error``, having said what it cost."""

    def make(call: Call) -> Made:
        if cost is not None:
            call.spent(cost)
        raise error

    return make


def ends(home: Path) -> list[tuple[str, int | None]]:
    """The receipts: phase and cost."""
    lines = (home / "streams/test/receipts.jsonl").read_text().splitlines()
    return [(line["phase"], line.get("cost_micros")) for line in map(json.loads, lines)]


def spent(home: Path) -> int:
    """What the ledger says was spent or is reserved today."""
    return bench(home).budget.ledger.spent(datetime.now(UTC))[0]


def test_what_the_answer_says_it_cost_replaces_what_was_reserved(home: Path) -> None:
    def make(call: Call) -> Made:
        assert spent(home) == PRICE
        call.spent(33_600)
        return Made(result={"id": "p1"})

    receipt = ask(bench(home), make)

    assert receipt.result == {"id": "p1"}
    assert ends(home) == [("intent", None), ("outcome", 33_600)]
    assert spent(home) == 33_600


def test_an_answer_that_says_nothing_of_its_cost_costs_what_was_reserved(home: Path) -> None:
    work = bench(home)
    ask(work, lambda _: Made())

    assert [(one.cost_micros, one.exact) for one in work.receipts.attempts] == [(PRICE, False)]


def test_a_call_that_was_made_is_not_made_again_by_a_later_run(home: Path) -> None:
    ask(bench(home), lambda _: Made(result={"n": 1}))

    assert ask(bench(home), failing(AssertionError())).result == {"n": 1}


def test_what_the_embedded_providers_made_does_not_count_for_a_paid_order(home: Path) -> None:
    ask(bench(home, origin="embedded"), lambda _: Made(result={"n": 1}), price=0)

    assert ask(bench(home), lambda _: Made(result={"n": 2})).result == {"n": 2}


@pytest.mark.parametrize(
    ("error", "cost", "wanted"),
    [
        (TryAgain("busy"), 0, ("failed", 0)),
        (TryAgain("half done"), 1_000, ("failed", 1_000)),
        (Refused("no"), 1_000, ("refused", 1_000)),
        (TryAgain("no answer"), None, ("unknown", PRICE)),
        (Unknown("no answer"), None, ("unknown", PRICE)),
        (Interrupted("asked to end"), None, ("unknown", PRICE)),
    ],
)
def test_how_a_call_ends_decides_what_it_has_cost(
    home: Path, error: Exception, cost: int | None, wanted: tuple[str, int]
) -> None:
    with pytest.raises(type(error)):
        ask(bench(home), failing(error, cost))

    assert ends(home)[-1] == wanted
    assert spent(home) == wanted[1]


def test_what_was_never_sent_has_cost_nothing(home: Path) -> None:
    error = OnHold("the account is empty", fingerprint="x.credit", wait_seconds=60)
    error.nothing_sent = True

    with pytest.raises(OnHold):
        ask(bench(home), failing(error))

    assert ends(home)[-1] == ("failed", 0)


def test_a_lost_answer_is_asked_for_once_more_and_then_a_person_decides(home: Path) -> None:
    for _ in range(2):
        with pytest.raises(Unknown):
            ask(bench(home), failing(Unknown("no answer")))

    with pytest.raises(PersonDecides, match=r"2 times, each answer was lost; up to \$0\.08 may have been spent"):
        ask(bench(home), failing(AssertionError()))
    assert spent(home) == 2 * PRICE

    retried = Job(stream_id="test", customer_email="test@test.com").noting(
        What.RETRIED, at=datetime.now(UTC), who="operator"
    )
    assert ask(bench(home, job=retried), lambda _: Made(result={"n": 1})).result == {"n": 1}


def test_what_is_paid_for_in_vain_three_times_is_for_a_person(home: Path) -> None:
    for _ in range(3):
        with pytest.raises(TryAgain):
            ask(bench(home), failing(TryAgain("the plan has 9 segments"), PRICE))

    with pytest.raises(PersonDecides, match="paid for 3 times in vain, the last time: the plan has 9 segments"):
        ask(bench(home), failing(AssertionError()))


def test_what_a_service_in_trouble_answers_is_no_finding_and_takes_one_price_from_the_orders_cap(home: Path) -> None:
    def busy(call: Call) -> Made:
        call.spent(PRICE, exact=False)
        raise InTrouble("in trouble (503)")

    for _ in range(11):
        with pytest.raises(InTrouble):
            ask(bench(home, most_micros=2 * PRICE), busy)

    assert ends(home) == [("intent", None), ("failed", PRICE)] * 11
    assert spent(home) == 11 * PRICE
    assert bench(home).receipts.spent_micros == 11 * PRICE
    assert ask(bench(home, most_micros=2 * PRICE), lambda _: Made(result={"n": 1})).result == {"n": 1}
    with pytest.raises(OnHold, match=r"test has cost \$0\.08"):
        make_call(bench(home, most_micros=2 * PRICE), "keyframes/01", 1, "maker", lambda _: Made(), price_micros=PRICE)


def test_a_call_that_was_turned_down_frees_its_reservation_also_when_it_could_be_looked_up(home: Path) -> None:
    error = OnHold("the account is empty", fingerprint="x.credit", wait_seconds=60)

    with pytest.raises(OnHold):
        ask(bench(home), failing(error, 0), continues=True)

    assert spent(home) == 0


def test_a_field_that_a_later_version_adds_does_not_change_what_a_call_depends_on() -> None:
    @dataclass(frozen=True)
    class Before:
        prompt: str

    @dataclass(frozen=True)
    class After:
        prompt: str
        style: str = ""
        notes: tuple[str, ...] = ()

    assert digest("clips/01", Before("a")) == digest("clips/01", After("a"))
    assert digest("clips/01", After("a")) != digest("clips/01", After("a", style="ink"))


def test_a_run_that_was_killed_in_the_middle_leaves_an_unknown_outcome(home: Path) -> None:
    with pytest.raises(ZeroDivisionError):  # no error of ours: like a kill, nothing is written down
        ask(bench(home), failing(ZeroDivisionError()))
    assert ends(home) == [("intent", None)]

    ask(bench(home), lambda _: Made())

    assert [phase for phase, _ in ends(home)] == ["intent", "unknown", "intent", "outcome"]
    assert spent(home) == 2 * PRICE


def test_a_call_that_can_be_looked_up_goes_on_where_it_was_cut_off(home: Path) -> None:
    def cut(call: Call) -> Made:
        call.note(prediction="p-7")
        raise Interrupted("asked to end")

    with pytest.raises(Interrupted):
        ask(bench(home), cut, continues=True)
    keys = []

    def go_on(call: Call) -> Made:
        keys.append((call.facts["prediction"], call.key))
        return Made()

    ask(bench(home), go_on, continues=True)

    assert [prediction for prediction, _ in keys] == ["p-7"]
    assert keys[0][1].startswith("test-clips-01-")
    assert [phase for phase, _ in ends(home)] == ["intent", "note", "outcome"]
    assert spent(home) == PRICE


def test_a_refusal_is_not_asked_for_again(home: Path) -> None:
    with pytest.raises(Refused):
        ask(bench(home), failing(Refused("IMAGE_SAFETY"), 100))

    with pytest.raises(Refused, match="IMAGE_SAFETY"):
        ask(bench(home), failing(AssertionError()))


def test_the_cap_of_an_order_refuses_the_call_before_it_is_made(home: Path) -> None:
    work = bench(home, most_micros=PRICE * 2)
    for number in range(2):
        make_call(work, f"keyframes/0{number}", number, "maker", lambda _: Made(), price_micros=PRICE)

    with pytest.raises(
        OnHold, match=r"test has cost \$0\.08, and clips/01 would take it past its cap of \$0\.08"
    ) as hold:
        ask(work, failing(AssertionError()))

    assert hold.value.fingerprint == "cap.job.test"
    assert spent(home) == 2 * PRICE


def test_calls_side_by_side_do_not_pass_the_cap_together(home: Path) -> None:
    work = bench(home, most_micros=PRICE * 3)

    def buy(number: int) -> bool:
        try:
            make_call(work, f"clips/{number}", number, "maker", lambda _: Made(), price_micros=PRICE)
        except OnHold:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        bought = list(pool.map(buy, range(12)))

    assert bought.count(True) == 3
    assert spent(home) == 3 * PRICE


@pytest.mark.parametrize("lost", ["intent", "end", "settlement"])
def test_the_ledger_agrees_with_the_receipts_after_a_crash_between_the_two(home: Path, lost: str) -> None:
    ask(bench(home), lambda call: call.spent(30_000) or Made())
    receipts, ledger = home / "streams/test/receipts.jsonl", next((home / "logs/ledger").glob("*.jsonl"))
    keep = {"intent": 0, "end": 1, "settlement": 2}[lost]
    receipts.write_bytes(b"".join(receipts.read_bytes().splitlines(keepends=True)[:keep]))
    ledger.write_bytes(ledger.read_bytes().splitlines(keepends=True)[0])

    assert spent(home) == {"intent": 0, "end": PRICE, "settlement": 30_000}[lost]


def test_a_free_call_is_not_in_the_ledger(home: Path) -> None:
    ask(bench(home), lambda _: Made(), price=0)

    assert not list((home / "logs/ledger").glob("*.jsonl"))


def test_another_job_field_changes_nothing(home: Path) -> None:
    ask(bench(home), lambda _: Made(result={"n": 1}))
    work = bench(home)
    other = replace(work, job=work.job.evolve(tries=3, cleared=True))

    assert ask(other, failing(AssertionError())).result == {"n": 1}
