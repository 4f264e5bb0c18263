"""``downstream logs``: what every log tells of one order, in the order of time, also after a rotation."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from conftest import environment

from downstream.events_of import Logs, last, moment_of
from downstream.log import open_log

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]

NOON = datetime(2026, 1, 6, 12, tzinfo=UTC)


def line(minute: int, event: str, stream: str = "test", **fields: Any) -> bytes:
    """A line of a log, that many minutes after noon."""
    at = (NOON + timedelta(minutes=minute)).isoformat().replace("+00:00", "Z")
    return json.dumps({"at": at, "event": event, "level": "info", "process": 7, "stream": stream, **fields}).encode()


def write(home: Path, name: str, *lines: bytes) -> Path:
    """A log with those lines."""
    path, data = home / "logs" / name, b"".join(one + b"\n" for one in lines)
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def names(events: list[Any]) -> list[str]:
    """What happened."""
    return [event.fields["event"] for event in events]


@pytest.fixture
def logged(home: Path) -> Path:
    """An installation with a life in four logs, two of them rotated."""
    write(home, "shop.log", line(1, "order.placed"), line(2, "order.placed", stream="other"))
    write(home, "processor.log.2.gz", line(3, "job.claimed"), line(4, "job.claimed", stream="other"))
    write(home, "processor.log.1", line(5, "call.done", call="plan"), line(6, "step.done", stream="test-2"))
    write(home, "processor.log", line(7, "job.put_off", level="warning", reason="a wait"), b'{"at": "torn')
    write(home, "reviewer.log-20260106.gz", line(8, "job.completed"))
    write(home, "notes.txt", line(9, "no log"))
    (home / "logs/broken.log.3.gz").write_bytes(b"\x1f\x8b but no more")
    return home


def test_the_life_of_one_order_is_told_from_all_logs_in_the_order_of_time(logged: Path) -> None:
    told = Logs(logged, "test").news()

    assert names(told) == ["order.placed", "job.claimed", "call.done", "job.put_off", "job.completed"]
    assert [event.log for event in told] == ["shop", "processor", "processor", "processor", "reviewer"]
    found = last(told, "job.put_off", "job.claimed")
    assert found is not None
    assert found.path == logged / "logs/processor.log"


def test_a_file_that_was_set_aside_is_told_by_its_name(home: Path) -> None:
    write(home, "processor.log", line(1, "file.set_aside", stream="", file="test.json"))

    assert names(Logs(home, "test").news()) == ["file.set_aside"]


def test_since_leaves_out_what_was_before(logged: Path) -> None:
    assert names(Logs(logged, "test", NOON + timedelta(minutes=5)).news()) == [
        "call.done",
        "job.put_off",
        "job.completed",
    ]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("30m", NOON - timedelta(minutes=30)),
        ("2h", NOON - timedelta(hours=2)),
        ("3d", NOON - timedelta(days=3)),
        ("1w", NOON - timedelta(days=7)),
        ("2026-01-06", NOON.replace(hour=0)),
        ("2026-01-06T11:30", NOON.replace(hour=11, minute=30)),
        ("2026-01-06T13:00+01:00", NOON),
    ],
)
def test_a_time_is_said_in_many_ways(text: str, moment: datetime) -> None:
    assert moment_of(text, NOON) == moment


def test_a_line_is_for_people_and_hides_no_reason(logged: Path) -> None:
    told = [event.line("stream") for event in Logs(logged, "test").news()]

    assert told[2] == "2026-01-06 12:05:00  processor    call.done            call=plan"
    assert told[3] == "2026-01-06 12:07:00  processor  ! job.put_off          reason=a wait"


def test_a_log_is_read_on_through_a_rotation(home: Path) -> None:
    write(home, "processor.log", line(1, "first"))
    reader = Logs(home)
    assert names(reader.news()) == ["first"]
    assert reader.news() == []

    with (home / "logs/processor.log").open("ab") as log:
        log.write(line(2, "second") + b"\n" + line(3, "third"))
    assert names(reader.news()) == ["second"]  # the third is not whole yet
    with (home / "logs/processor.log").open("ab") as log:
        log.write(b"\n")
    (home / "logs/processor.log").rename(home / "logs/processor.log.1")
    write(home, "processor.log", line(4, "fourth"))
    assert names(reader.news()) == ["third", "fourth"]


def test_a_log_that_is_copied_and_emptied_is_not_told_twice(home: Path) -> None:
    path = write(home, "shop.log", line(1, "first"), line(2, "second"))
    reader = Logs(home)
    reader.news()

    write(home, "shop.log.1", line(1, "first"), line(2, "second"))
    os.truncate(path, 0)
    with path.open("ab") as log:
        log.write(line(3, "third") + b"\n")

    assert names(reader.news()) == ["third"]


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command_tells_the_life_of_an_order(logged: Path, run: Run) -> None:
    ended = run("logs", "test")

    assert ended.returncode == 0
    assert len(ended.stdout.splitlines()) == 5
    assert ended.stdout.splitlines()[0] == "2026-01-06 12:01:00  shop         order.placed"


def test_without_an_order_the_last_lines_of_all_are_told(logged: Path, run: Run) -> None:
    ended = run("logs", "--lines", "2")

    assert [one.split()[3:] for one in ended.stdout.splitlines()] == [
        ["!", "job.put_off", "stream=test", "reason=a", "wait"],
        ["job.completed", "stream=test"],
    ]


def test_json_is_one_event_a_line(logged: Path, run: Run) -> None:
    told = [json.loads(one) for one in run("logs", "test", "--json", "--since", "2026-01-06T12:07").stdout.splitlines()]

    assert [(one["log"], one["event"]) for one in told] == [("processor", "job.put_off"), ("reviewer", "job.completed")]


def test_an_order_nobody_tells_of_and_a_time_that_is_none(logged: Path, run: Run) -> None:
    assert run("logs", "stranger").returncode == 3
    wrong = run("logs", "test", "--since", "yesterday-ish")
    assert wrong.returncode == 2
    assert "neither a time nor something like 2h" in wrong.stderr


def test_following_goes_on_with_what_is_added(home: Path) -> None:
    open_log(home, "processor").info("first", stream="test")
    command = [sys.executable, "-m", "downstream", "--home", str(home), "logs", "test", "--follow"]
    settings = environment(PYTHONUNBUFFERED="1")
    with subprocess.Popen(command, env=settings, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        try:
            assert "first" in following.stdout.readline()
            open_log(home, "reviewer").info("second", stream="test")
            open_log(home, "reviewer").info("not this one", stream="other")
            open_log(home, "shop").info("third", stream="test")

            assert "second" in following.stdout.readline()
            assert "third" in following.stdout.readline()
        finally:
            following.terminate()
