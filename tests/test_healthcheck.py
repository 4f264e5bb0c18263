"""A watcher elsewhere hears that work goes on, and hears nothing, or of a failure, when it does not."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from fakes.http_server import Answer, HttpServer, Request

from downstream import healthcheck
from downstream.domain.errors import Misconfigured
from downstream.healthcheck import EVERY_SECONDS, Watched, ping, watched
from downstream.heartbeat import write_heartbeat
from downstream.settings import Secret

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]

CHECK = "/ping/0123-planted-check"


class Watcher:
    """A watcher on this machine that keeps what it is told."""

    def __init__(self) -> None:
        self.answer = Answer(200, b"OK")
        self.requests: list[Request] = []
        self.server = HttpServer(self._hear)
        self.address = f"http://{self.server.open_port()}{CHECK}"

    def _hear(self, request: Request) -> Answer:
        self.requests.append(request)
        return self.answer

    @property
    def heard(self) -> list[str]:
        """What was told: ``start``, ``well`` or ``fail``, in order."""
        assert all(request.path.startswith(CHECK) for request in self.requests)
        return [request.path.removeprefix(CHECK).strip("/") or "well" for request in self.requests]


@pytest.fixture
def watcher() -> Iterator[Watcher]:
    """A watcher that listens."""
    found = Watcher()
    yield found
    found.server.stop()


def later(home: Path, seconds: float = EVERY_SECONDS + 1) -> None:
    """That long passes since the watcher was told."""
    stamp = home / "logs/.healthcheck"
    then = stamp.stat().st_mtime - seconds
    os.utime(stamp, (then, then))


def test_a_run_with_work_tells_its_beginning_and_its_good_end(
    home: Path, drop: Callable[..., Path], run: Run, watcher: Watcher
) -> None:
    drop()

    ended = run("process", HEALTHCHECK_URL=watcher.address)

    assert ended.returncode == 0
    assert ended.stderr == ""
    assert watcher.heard == ["start", "well"]
    assert [request.method for request in watcher.requests] == ["POST", "POST"]
    assert [request.body.decode() for request in watcher.requests] == [
        "0 pending, 1 processing, 0 review, 0 failed",
        "0 pending, 0 processing, 1 review, 0 failed",
    ]
    assert (home / "jobs/review/test.json").exists()


def test_an_idle_tick_tells_that_all_is_well_now_and_then(home: Path, run: Run, watcher: Watcher) -> None:
    codes = [run("process", HEALTHCHECK_URL=watcher.address).returncode for _ in range(3)]
    assert watcher.heard == ["well"]
    later(home)

    codes.append(run("process", HEALTHCHECK_URL=watcher.address).returncode)

    assert watcher.heard == ["well", "well"]
    assert codes == [3, 3, 3, 3]


def test_a_run_in_which_an_order_failed_says_so_and_the_next_one_that_all_is_well(
    home: Path, drop: Callable[..., Path], run: Run, watcher: Watcher
) -> None:
    run("process", HEALTHCHECK_URL=watcher.address)
    drop(input_path="/streams/nowhere/input.json")

    assert run("process", HEALTHCHECK_URL=watcher.address).returncode == 4
    assert watcher.heard[1:] == ["start", "fail"]
    assert run("process", HEALTHCHECK_URL=watcher.address).returncode == 3
    assert watcher.heard[3:] == ["well"]


def test_a_paused_run_says_nothing(home: Path, run: Run, watcher: Watcher) -> None:
    write_heartbeat(home, status="PAUSED", renewed=datetime.now(UTC).date(), renew_days=30)

    assert [run("process", HEALTHCHECK_URL=watcher.address).returncode for _ in range(2)] == [5, 5]

    assert watcher.heard == []


def test_a_misconfigured_run_fails_at_once_whether_or_not_there_is_work(
    home: Path, drop: Callable[..., Path], run: Run, watcher: Watcher
) -> None:
    idle = run("process", HEALTHCHECK_URL=watcher.address, JOBS_AT_ONCE="many")
    drop()
    busy = run("process", HEALTHCHECK_URL=watcher.address, JOBS_AT_ONCE="many")

    assert (idle.returncode, busy.returncode) == (6, 6)
    assert watcher.heard == ["fail", "fail"]
    assert "JOBS_AT_ONCE" in idle.stderr
    assert busy.stderr == ""  # the operator knows

    mended = run("process", HEALTHCHECK_URL=watcher.address)

    assert "all clear: the settings can be read again" in mended.stderr
    assert watcher.heard == ["fail", "fail", "start", "well"]
    assert (home / "jobs/review/test.json").exists()


def test_a_run_without_room_fails(drop: Callable[..., Path], run: Run, watcher: Watcher) -> None:
    drop()

    assert run("process", HEALTHCHECK_URL=watcher.address, DISK_RESERVE_MB="1000000").returncode == 6

    assert watcher.heard == ["fail"]


def test_a_disk_that_cannot_be_written_to_is_not_well(home: Path, run: Run, watcher: Watcher) -> None:
    (home / "logs/..healthcheck.tmp").mkdir()

    assert run("process", HEALTHCHECK_URL=watcher.address).returncode == 3

    assert watcher.heard == ["fail"]


def test_a_shop_whose_payments_cannot_be_compared_is_not_well(home: Path, run: Run, watcher: Watcher) -> None:
    (home / "logs/alerts.json").write_text(json.dumps({"reconcile": datetime.now(UTC).isoformat()}))

    assert run("process", HEALTHCHECK_URL=watcher.address).returncode == 3

    assert watcher.heard == ["fail"]


def test_a_page_that_could_not_be_reviewed_fails_and_a_good_review_says_nothing(
    home: Path, drop: Callable[..., Path], run: Run, watcher: Watcher
) -> None:
    drop()
    assert run("process").returncode == 0
    page = home / "streams/test/page/index.html"
    whole = page.read_bytes()
    page.write_text("not the page any more")

    assert run("review", HEALTHCHECK_URL=watcher.address, REVIEW_POLICY="auto").returncode == 4
    assert watcher.heard == ["fail"]

    page.write_bytes(whole)
    assert run("retry", "test", HEALTHCHECK_URL=watcher.address).returncode == 0
    assert run("process").returncode == 0
    assert run("review", HEALTHCHECK_URL=watcher.address).returncode == 0
    assert watcher.heard == ["fail"]


def test_a_review_that_ended_badly_keeps_the_next_idle_tick_from_saying_that_all_is_well(
    home: Path, run: Run, watcher: Watcher
) -> None:
    alerts = {"stopped.review.x": datetime.now(UTC).isoformat()}
    (home / "logs/alerts.json").write_text(json.dumps(alerts))

    run("process", HEALTHCHECK_URL=watcher.address)

    assert watcher.heard == ["fail"]


def test_a_fault_in_the_program_fails(home: Path, watcher: Watcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEALTHCHECK_URL", watcher.address)

    with pytest.raises(ZeroDivisionError), watched(home, print):
        _ = 1 / 0

    assert watcher.heard == ["fail"]


def test_a_run_that_is_asked_to_end_says_nothing(home: Path, watcher: Watcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEALTHCHECK_URL", watcher.address)

    for code in (130, 143):
        Watched(home, print).end(code)

    assert watcher.heard == []


# --- a watcher in trouble --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(500), "HTTP 500"),
        (Answer(301, headers={"Location": "https://example.com"}), "HTTP 301"),
        (Answer.nothing(), "RemoteDisconnected"),
    ],
)
def test_a_watcher_in_trouble_costs_the_run_nothing_and_is_told_again(
    home: Path, run: Run, watcher: Watcher, answer: Answer, said: str
) -> None:
    watcher.answer = answer

    ended = run("process", HEALTHCHECK_URL=watcher.address)

    assert (ended.returncode, ended.stderr) == (3, "")
    (line,) = (home / "logs/processor.log").read_text().splitlines()
    assert json.loads(line)["answer"] == said
    watcher.answer = Answer(200)
    assert run("process", HEALTHCHECK_URL=watcher.address).returncode == 3
    assert watcher.heard == ["well", "well"]


def test_a_watcher_that_is_not_there_costs_the_run_nothing(home: Path, run: Run) -> None:
    watcher = Watcher()
    watcher.server.stop()

    ended = run("process", HEALTHCHECK_URL=watcher.address)

    assert (ended.returncode, ended.stderr) == (3, "")
    assert "ConnectionRefusedError" in (home / "logs/processor.log").read_text()


@pytest.mark.parametrize("patience_seconds", [0.2, 0.5])
def test_a_watcher_that_hangs_is_left(
    watcher: Watcher, monkeypatch: pytest.MonkeyPatch, patience_seconds: float
) -> None:
    watcher.answer = Answer(200, wait_seconds=60)
    monkeypatch.setattr(healthcheck, "PATIENCE_SECONDS", patience_seconds)

    assert ping(Secret(watcher.address), "", "") == "no answer in time"


def test_a_watcher_that_does_not_know_us_is_told_to_the_operator_once(home: Path, run: Run, watcher: Watcher) -> None:
    watcher.answer = Answer(404)
    first, second = (run("process", HEALTHCHECK_URL=watcher.address) for _ in range(2))
    watcher.answer = Answer(200)
    third = run("process", HEALTHCHECK_URL=watcher.address)

    assert "does not know us (HTTP 404)" in first.stderr
    assert second.stderr == ""
    assert "hears us again" in third.stderr
    assert (home / "logs/.healthcheck").exists()


def test_the_address_is_a_secret(home: Path, drop: Callable[..., Path], run: Run, watcher: Watcher) -> None:
    watcher.answer = Answer(404)
    drop()
    said = run("process", HEALTHCHECK_URL=watcher.address)
    wrong = run("process", HEALTHCHECK_URL=watcher.address.replace("http://", "ftp://"))

    texts = [said.stderr, said.stdout, wrong.stderr, *(path.read_text() for path in home.glob("logs/**/*.*"))]
    assert not [text for text in texts if "planted" in text]
    assert "HEALTHCHECK_URL must begin with https://" in wrong.stderr


def test_without_a_watcher_nobody_is_asked(home: Path, run: Run) -> None:
    assert run("process").returncode == 3

    assert not (home / "logs/processor.log").exists()


def test_a_clock_that_was_set_back_keeps_nobody_silent(home: Path, run: Run, watcher: Watcher) -> None:
    run("process", HEALTHCHECK_URL=watcher.address)
    later(home, seconds=-7200)

    run("process", HEALTHCHECK_URL=watcher.address)

    assert watcher.heard == ["well", "well"]


def test_what_goes_wrong_with_a_ping_stays_there(home: Path, watcher: Watcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEALTHCHECK_URL", watcher.address)

    def fault(*_: object) -> str:
        raise Misconfigured(f"planted at {time.time()}")

    monkeypatch.setattr(healthcheck, "ping", fault)

    with watched(home, print) as run:
        run.begin()

    assert watcher.heard == []
