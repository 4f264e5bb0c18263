"""The gate to a service: one pace for all processes, slots that a killed one frees, holds that end by themselves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from downstream.domain.errors import (
    LONGEST_PUT_OFF_SECONDS,
    Interrupted,
    InTrouble,
    OnHold,
    Paused,
    PersonDecides,
    StopRun,
    Throttled,
    TryAgain,
)
from downstream.limits import SharedGate, Timepiece
from downstream.locks import Lock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass
class Watch:
    """A wait that takes no time: what is waited for is noted, and the gate's clock is moved on by it."""

    waited: list[float] = field(default_factory=list)
    ahead: float = 0.0

    def __call__(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.ahead += seconds

    def clock(self) -> float:
        """Seconds since 1970."""
        return 1_767_700_800 + self.ahead

    def steady(self) -> float:
        """Seconds since some moment."""
        return 1000 + self.ahead


@pytest.fixture
def watch() -> Watch:
    """The time as the gate sees it."""
    return Watch()


def gate(home: Path, wait: Any = time.sleep, *, per_minute: int = 1000, at_once: int = 4, **more: Any) -> SharedGate:
    """One process's gate to a service; on the test's own clock where it has one."""
    if isinstance(wait, Watch):
        more = {"timepiece": Timepiece(wait.clock, wait.steady), **more}
    return SharedGate(home, "minimax", creates_per_minute=per_minute, at_once=at_once, wait=wait, **more)


def refusing(*answers: object) -> Any:
    """A service that answers these one after the other; errors are raised."""
    left: Iterator[object] = iter(answers)

    def send() -> object:
        answer = next(left)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return send


def state(home: Path) -> dict[str, Any]:
    """What all processes know of the service."""
    found: dict[str, Any] = json.loads((home / "jobs/.limits/minimax.json").read_bytes())
    return found


# --- pace ------------------------------------------------------------------------------------------------------------


def test_what_is_sent_is_answered_at_once_while_there_is_room(home: Path, watch: Watch) -> None:
    assert [gate(home, watch).run(lambda: "answer") for _ in range(20)] == ["answer"] * 20
    assert watch.waited == []


def test_all_processes_together_keep_the_pace(home: Path, watch: Watch) -> None:
    ours, theirs = (gate(home, watch, per_minute=3) for _ in range(2))
    for one in (ours, theirs, ours):
        one.run(lambda: None)
    assert watch.waited == []

    theirs.run(lambda: None)

    assert watch.waited == [pytest.approx(60)]


def test_looking_does_not_count_against_the_pace_and_does_not_wait_for_it(home: Path, watch: Watch) -> None:
    one = gate(home, watch, per_minute=2)

    for _ in range(9):
        one.run(lambda: None, creates=False)
    one.run(lambda: None)
    one.run(lambda: None)
    one.run(lambda: None, creates=False)

    assert watch.waited == []


def test_the_pace_is_that_of_any_minute_not_of_a_minute_by_the_clock(home: Path, watch: Watch) -> None:
    one = gate(home, watch, per_minute=2)
    one.run(lambda: None)
    watch.ahead += 50
    one.run(lambda: None)
    watch.ahead += 5

    one.run(lambda: None)

    assert watch.waited == [pytest.approx(5)]


def test_two_real_processes_do_not_exceed_the_pace(home: Path) -> None:
    script = textwrap.dedent("""
        import sys, time
        from pathlib import Path
        from downstream.domain.errors import TryAgain
        from downstream.limits import SharedGate
        gate = SharedGate(Path(sys.argv[1]), "minimax", creates_per_minute=25, at_once=2, wait=time.sleep,
                          patience_seconds=0.0)
        sys.stdin.readline()
        sent = 0
        for _ in range(20):
            try:
                gate.run(lambda: None)
                sent += 1
            except TryAgain:
                time.sleep(0.01)
        print(sent)
    """)
    pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    children = [subprocess.Popen([sys.executable, "-c", script, str(home)], **pipe) for _ in range(2)]

    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    sent = sum(int(child.communicate(timeout=60)[0]) for child in children)

    assert sent <= 25
    assert len(state(home)["creates"]) == sent


def test_a_pace_that_takes_longer_than_there_is_patience_is_left_for_a_later_run(home: Path, watch: Watch) -> None:
    one = gate(home, watch, per_minute=1, patience_seconds=30)
    one.run(lambda: None)

    with pytest.raises(Throttled, match="minimax asks for less haste") as caught:
        one.run(lambda: pytest.fail("it must not be sent"))

    assert caught.value.nothing_sent
    assert caught.value.hint_seconds == pytest.approx(60)


# --- slots -----------------------------------------------------------------------------------------------------------


def test_no_more_calls_are_under_way_than_there_are_slots(home: Path, watch: Watch) -> None:
    def inner() -> str:
        with pytest.raises(TryAgain, match="no room for another call") as caught:
            gate(home, watch, at_once=1, patience_seconds=1).run(lambda: pytest.fail("it must not be sent"))
        assert caught.value.nothing_sent
        return "answer"

    assert gate(home, watch, at_once=1).run(inner) == "answer"
    assert sum(watch.waited) > 1
    assert gate(home, watch, at_once=1).run(lambda: "again") == "again"


def test_a_killed_process_frees_its_slot(home: Path) -> None:
    script = textwrap.dedent("""
        import sys, time
        from pathlib import Path
        from downstream.limits import SharedGate
        def send():
            print("sending", flush=True)
            time.sleep(600)
        SharedGate(Path(sys.argv[1]), "minimax", creates_per_minute=9, at_once=1, wait=time.sleep).run(send)
    """)
    child = subprocess.Popen([sys.executable, "-c", script, str(home)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "sending\n"
    assert Lock.take(home / "jobs/.limits/minimax.0.lock") is None

    os.kill(child.pid, signal.SIGKILL)
    child.wait(timeout=60)

    assert gate(home, at_once=1, patience_seconds=0).run(lambda: "answer") == "answer"
    child.stdout.close()


@pytest.mark.parametrize("error", [PersonDecides("no"), TryAgain("later"), OSError(), KeyboardInterrupt()])
def test_a_call_that_fails_frees_its_slot_and_is_not_sent_again(home: Path, error: BaseException) -> None:
    one = gate(home, at_once=1, patience_seconds=0)
    sent = []

    def send() -> None:
        sent.append(1)
        raise error

    with pytest.raises(type(error)):
        one.run(send)

    assert sent == [1]
    assert not getattr(error, "nothing_sent", False)
    assert one.run(lambda: "answer") == "answer"


# --- less haste ------------------------------------------------------------------------------------------------------


def test_a_hint_is_waited_out_by_everybody_and_the_call_is_sent_again(home: Path, watch: Watch) -> None:
    one, other = gate(home, watch), gate(home, watch)

    assert one.run(refusing(Throttled("slow", hint_seconds=7), "answer")) == "answer"

    assert 7 <= sum(watch.waited) <= 7.7
    before = watch.ahead
    one.run(lambda: None)
    assert watch.ahead == before

    with pytest.raises(OnHold):
        other.run(refusing(Throttled("slow", hint_seconds=3), OnHold("x", fingerprint="x", wait_seconds=1)))
    assert 3 <= watch.ahead - before <= 3.3


def test_while_one_waits_out_a_hint_another_waits_too_even_to_look(home: Path, watch: Watch) -> None:
    impatient = gate(home, watch, patience_seconds=0)
    with pytest.raises(Throttled):
        impatient.run(refusing(Throttled("slow", hint_seconds=20)))
    assert watch.waited == []

    gate(home, watch).run(lambda: None, creates=False)

    assert 20 <= sum(watch.waited) <= 22


def test_without_a_hint_the_pauses_grow_until_it_goes_well_again(home: Path, watch: Watch) -> None:
    one = gate(home, watch, patience_seconds=10_000)

    one.run(refusing(*(Throttled("slow") for _ in range(8)), "answer"))

    bounds = [(2.0**power * 0.7, 2.0**power * 1.3 * 1.1) for power in range(1, 6)] + [(42, 86)] * 3
    assert len(watch.waited) == len(bounds)
    for seconds, (least, most) in zip(watch.waited, bounds, strict=True):
        assert least <= seconds <= most
    assert state(home)["throttled"] == 0


def test_trouble_of_the_service_is_not_sent_again_and_slows_everybody_down_until_it_goes_well(
    home: Path, watch: Watch
) -> None:
    one, other = gate(home, watch), gate(home, watch)
    pauses = []
    for sender in (one, other, one, other, one, other, one, other):
        before = watch.ahead
        with pytest.raises(InTrouble, match="503"):
            sender.run(refusing(InTrouble("503")))
        pauses.append(watch.ahead - before)
    before = watch.ahead

    assert one.run(lambda: "answer") == "answer"

    pauses.append(watch.ahead - before)
    bounds = [(0, 0), *((2.0**power * 0.7, 2.0**power * 1.3 * 1.1) for power in range(1, 6)), *[(42, 86)] * 3]
    for seconds, (least, most) in zip(pauses, bounds, strict=True):
        assert least <= seconds <= most
    assert state(home)["throttled"] == 0


def test_patience_has_an_end_and_what_was_refused_counts_as_sent(home: Path, watch: Watch) -> None:
    one = gate(home, watch, patience_seconds=100)

    with pytest.raises(TryAgain) as caught:
        one.run(refusing(*(Throttled("slow", hint_seconds=45) for _ in range(9))))

    assert watch.ahead <= 100
    assert not caught.value.nothing_sent


def test_a_run_that_has_to_end_does_not_wait(home: Path) -> None:
    def end(_: float) -> None:
        raise Interrupted("asked to end")

    with pytest.raises(Interrupted) as caught:
        gate(home, end).run(refusing(Throttled("slow", hint_seconds=5)))

    assert not caught.value.nothing_sent
    with pytest.raises(Interrupted) as caught:
        gate(home, end).run(lambda: pytest.fail("it must not be sent"))
    assert caught.value.nothing_sent


# --- holds -----------------------------------------------------------------------------------------------------------


def out_of_credit(seconds: float = 3600) -> OnHold:
    return OnHold("the account is out of credit", fingerprint="minimax.credit", wait_seconds=seconds)


def test_a_hold_is_seen_by_every_process_without_asking_the_service(home: Path, watch: Watch) -> None:
    with pytest.raises(OnHold):
        gate(home, watch).run(refusing(out_of_credit()))
    watch.ahead += 600

    with pytest.raises(OnHold) as caught:
        gate(home, watch).run(lambda: pytest.fail("it must not be sent"))

    assert (str(caught.value), caught.value.fingerprint) == ("the account is out of credit", "minimax.credit")
    assert caught.value.wait_seconds == pytest.approx(3000)
    assert caught.value.nothing_sent
    assert watch.waited == []


def test_what_was_bought_already_may_be_looked_at_while_the_service_is_on_hold(home: Path, watch: Watch) -> None:
    with pytest.raises(OnHold):
        gate(home, watch).run(refusing(out_of_credit()))

    assert gate(home, watch).run(lambda: "the clip is ready", creates=False) == "the clip is ready"


def test_a_pause_that_comes_while_a_call_waits_its_turn_stops_it(home: Path, watch: Watch) -> None:
    def paused() -> None:
        raise Paused("HEARTBEAT.md says PAUSED")

    with pytest.raises(Paused) as caught:
        gate(home, watch, check_running=paused).run(lambda: pytest.fail("it must not be sent"))

    assert caught.value.nothing_sent
    assert gate(home, watch, check_running=paused).run(lambda: "a look", creates=False) == "a look"


def test_a_hold_ends_by_itself(home: Path, watch: Watch) -> None:
    one = gate(home, watch)
    assert one.held_until() == 0
    with pytest.raises(OnHold):
        one.run(refusing(out_of_credit()))
    assert one.held_until() == watch.clock() + 3600
    watch.ahead += 3601

    assert one.held_until() == 0
    assert gate(home, watch).run(lambda: "answer") == "answer"


def test_the_hold_of_one_service_is_none_of_anothers(home: Path, watch: Watch) -> None:
    with pytest.raises(OnHold):
        gate(home, watch).run(refusing(out_of_credit()))

    other = SharedGate(home, "gemini", creates_per_minute=9, at_once=1, wait=watch)

    assert other.run(lambda: "answer") == "answer"


# --- clocks and files ------------------------------------------------------------------------------------------------


def test_a_clock_set_back_holds_nobody_up_for_long(home: Path, watch: Watch) -> None:
    watch.ahead = 30 * 24 * 3600.0
    one = gate(home, watch, per_minute=1)
    with pytest.raises(OnHold):
        gate(home, watch).run(refusing(out_of_credit()), creates=False)
    with pytest.raises(OnHold):
        gate(home, watch).run(lambda: None)

    watch.ahead = 0  # a month back

    assert one.held_until() == 0
    assert one.run(lambda: "answer") == "answer"
    assert watch.waited == []


@pytest.mark.parametrize("years", [-56, -1, 80])
def test_what_was_created_before_the_clock_was_set_back_counts_for_a_minute_more(
    home: Path, watch: Watch, years: int
) -> None:
    one = gate(home, watch, per_minute=2)
    watch.ahead = max(years, 0) * 365 * 86400.0
    one.run(lambda: None)
    one.run(lambda: None)
    watch.ahead = min(years, 0) * 365 * 86400.0

    one.run(lambda: None)

    assert sum(watch.waited) == pytest.approx(60)


def test_nobody_keeps_still_or_on_hold_for_longer_than_anything_may_be_put_off(home: Path, watch: Watch) -> None:
    with pytest.raises(Throttled):
        gate(home, watch, patience_seconds=0).run(refusing(Throttled("slow", hint_seconds=1e9)))
    watch.ahead += 3601
    with pytest.raises(OnHold):
        gate(home, watch).run(refusing(OnHold("no", fingerprint="x", wait_seconds=1e9)))

    assert gate(home, watch).held_until() - watch.clock() == pytest.approx(LONGEST_PUT_OFF_SECONDS)
    watch.ahead += LONGEST_PUT_OFF_SECONDS + 1
    assert gate(home, watch).run(lambda: "answer") == "answer"


def test_an_idle_hour_saves_up_nothing(home: Path, watch: Watch) -> None:
    one, sent = gate(home, watch, per_minute=3, patience_seconds=10_000), []
    watch.ahead += 3600

    for _ in range(10):
        one.run(lambda: sent.append(watch.ahead))

    assert max(sum(start <= at < start + 60 for at in sent) for start in sent) == 3


def test_a_clock_set_back_while_everybody_keeps_still_holds_nobody_up(home: Path, watch: Watch) -> None:
    watch.ahead = 30 * 24 * 3600.0
    with pytest.raises(Throttled):
        gate(home, watch, patience_seconds=0).run(refusing(Throttled("slow", hint_seconds=60)))

    watch.ahead = 0

    assert gate(home, watch, patience_seconds=0).run(lambda: "answer") == "answer"


@pytest.mark.parametrize("content", ["", "[]", "{", '{"unknown": 1}', '{"creates": 3}', '{"creates": ["x"]}', "\x00"])
def test_a_broken_file_only_loses_the_pace(home: Path, content: str) -> None:
    (home / "jobs/.limits").mkdir()
    (home / "jobs/.limits/minimax.json").write_text(content)

    assert gate(home).run(lambda: "answer") == "answer"
    assert len(state(home)["creates"]) == 1


def test_looking_again_and_again_does_not_write_again_and_again(home: Path) -> None:
    one = gate(home)
    one.run(lambda: None)
    before = (home / "jobs/.limits/minimax.json").stat().st_mtime_ns

    for _ in range(20):
        one.run(lambda: None, creates=False)

    assert (home / "jobs/.limits/minimax.json").stat().st_mtime_ns == before


def block(home: Path) -> None:
    """From now on nothing about the pace can be written."""
    (home / "jobs/.limits/.minimax.json.tmp").mkdir(parents=True)


def test_a_request_whose_pace_cannot_be_noted_is_not_sent_and_costs_nothing(home: Path) -> None:
    block(home)
    sent: list[str] = []

    with pytest.raises(StopRun, match="the machine is in trouble") as found:
        gate(home).run(lambda: sent.append("request"))

    assert found.value.nothing_sent
    assert sent == []


@pytest.mark.parametrize("says", ["the answer", OnHold("no money", fingerprint="empty", wait_seconds=60)])
def test_what_a_service_said_is_heard_though_the_pace_cannot_be_noted_any_more(
    home: Path, watch: Watch, says: object
) -> None:
    def send() -> object:
        block(home)
        return refusing(says)()

    one = gate(home, watch)
    with pytest.raises(Throttled):
        gate(home, watch, patience_seconds=0).run(refusing(Throttled("slow", hint_seconds=1)))

    if isinstance(says, OnHold):
        with pytest.raises(OnHold):
            one.run(send)
    else:
        assert one.run(send) == says
