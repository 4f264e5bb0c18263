"""Calls are made once for the same inputs, and side by side without losing what was finished."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from conftest import books

from downstream.domain.errors import Held, Interrupted, OnHold, PersonDecides, StopRun, TryAgain
from downstream.domain.job import Job
from downstream.domain.ports import Silence
from downstream.log import open_log
from downstream.receipts import Receipts
from downstream.settings import Settings
from downstream.steps.work import Budget, Made, Pools, Work
from downstream.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def work(home: Path) -> Iterator[Work]:
    """A bench without an order's providers."""
    with ThreadPoolExecutor(2) as pool:
        yield bench(home, pool)


def bench(home: Path, pool: ThreadPoolExecutor) -> Work:
    """A bench as a new run would set it up."""
    workspace = Workspace(home, "test")
    providers: Any = SimpleNamespace(origin="embedded")
    return Work(
        job=Job(stream_id="test", customer_email="test@test.com"),
        workspace=workspace,
        receipts=Receipts(workspace.receipts),
        providers=providers,
        settings=Settings(),
        log=open_log(home, "processor"),
        progress=Silence(),
        pools=Pools(pool, pool),
        budget=Budget(books(home)["ledger"], 0),
        check_running=lambda: None,
        wait=lambda _: None,
    )


def writing(work: Work, calls: list[str], text: str) -> Any:
    """A call that writes a file and counts itself."""

    def make() -> Made:
        calls.append(text)
        path = work.workspace.root / "thing.txt"
        path.write_text(text)
        return Made([path], {"length": len(text)})

    return make


def test_a_call_is_made_once_for_the_same_inputs(work: Work, home: Path) -> None:
    calls: list[str] = []
    work.once("thing", ("a", 1), "maker", writing(work, calls, "one"))

    again = bench(home, ThreadPoolExecutor(1)).once("thing", ("a", 1), "maker", writing(work, calls, "two"))

    assert calls == ["one"]
    assert again.result == {"length": 3}


@pytest.mark.parametrize(("inputs", "provider"), [(("a", 2), "maker"), (("a", 1), "another maker")])
def test_other_inputs_or_another_provider_make_it_again(work: Work, inputs: object, provider: str) -> None:
    calls: list[str] = []
    work.once("thing", ("a", 1), "maker", writing(work, calls, "one"))
    work.once("thing", inputs, provider, writing(work, calls, "two"))

    assert calls == ["one", "two"]


@pytest.mark.parametrize("damage", ["lost", "changed"])
def test_a_lost_or_changed_file_makes_it_again(work: Work, damage: str) -> None:
    calls: list[str] = []
    work.once("thing", "a", "maker", writing(work, calls, "one"))
    thing = work.workspace.root / "thing.txt"
    thing.unlink() if damage == "lost" else thing.write_text("other")
    work.once("thing", "a", "maker", writing(work, calls, "two"))

    assert calls == ["one", "two"]


def test_the_intent_is_on_the_disk_before_the_call(work: Work) -> None:
    seen: list[str] = []

    def make() -> Made:
        seen.append(work.workspace.receipts.read_text())
        return Made()

    work.once("thing", "a", "maker", make)

    assert '"phase": "intent"' in seen[0]
    assert '"phase": "outcome"' not in seen[0]


def test_results_come_in_the_order_of_the_items(work: Work) -> None:
    second_is_done = threading.Event()

    def do(item: int) -> int:
        if item == 1:
            assert second_is_done.wait(10)
        else:
            second_is_done.set()
        return item * 10

    assert work.each("step", [1, 2], do) == [10, 20]


def test_the_gravest_error_is_raised_and_the_rest_is_finished(work: Work) -> None:
    done: list[int] = []

    def do(item: int) -> None:
        if item == 0:
            raise TryAgain("busy")
        if item == 1:
            raise PersonDecides("closed")
        done.append(item)

    with pytest.raises(PersonDecides):
        work.each("step", [0, 1], do)
    with pytest.raises(TryAgain):
        work.each("step", [0, 2, 3], do)
    assert sorted(done) == [2, 3]


def fetch() -> TryAgain:
    """A bought clip that did not arrive."""
    return TryAgain("cut", wait_seconds=60.0, soon=True)


def cap() -> OnHold:
    """A cap that holds up another clip."""
    return OnHold("the cap is reached", fingerprint="cap.day", wait_seconds=3600.0)


@pytest.mark.parametrize(
    ("errors", "kind", "wait_seconds"),
    [
        ([TryAgain("busy"), fetch()], TryAgain, 60.0),
        ([cap(), fetch()], OnHold, 60.0),
        ([fetch(), cap()], OnHold, 60.0),
        ([TryAgain("a", wait_seconds=90.0, soon=True), cap(), fetch()], OnHold, 60.0),
        ([TryAgain("busy"), cap()], OnHold, 3600.0),
        ([fetch(), Held("held")], Held, 300.0),
    ],
    ids=["busy", "cap first", "cap last", "two", "cap alone", "held"],
)
def test_what_is_bought_and_does_not_keep_decides_when_the_order_is_looked_at_again(
    work: Work, errors: list[TryAgain], kind: type[TryAgain], wait_seconds: float
) -> None:
    def do(error: TryAgain) -> None:
        raise error

    with pytest.raises(kind) as caught:
        work.each("step", errors, do)

    assert (type(caught.value), caught.value.wait_seconds) == (kind, wait_seconds)
    assert caught.value.soon is (wait_seconds == 60.0)


@pytest.mark.parametrize("graver", [PersonDecides("closed"), StopRun("paused")])
def test_what_is_bought_does_not_hide_what_ends_the_work(work: Work, graver: Exception) -> None:
    def do(error: Exception) -> None:
        raise error

    with pytest.raises(type(graver)):
        work.each("step", [fetch(), graver], do)


def test_nothing_new_is_begun_after_a_final_error(work: Work) -> None:
    begun: list[int] = []
    failed = threading.Event()

    def do(item: int) -> None:
        begun.append(item)
        if item == 0:
            failed.set()
            raise PersonDecides("closed")
        assert failed.wait(10)
        time.sleep(0.02)  # slower than noticing the failure

    with pytest.raises(PersonDecides):
        work.each("step", list(range(50)), do)
    assert len(begun) < 50


def test_a_run_that_has_to_end_makes_no_further_call(work: Work) -> None:
    from dataclasses import replace

    def stop() -> None:
        raise Interrupted("asked to end")

    with pytest.raises(StopRun):
        replace(work, check_running=stop).once("thing", "a", "maker", lambda: pytest.fail("the call was made"))
    assert not work.workspace.receipts.exists()
