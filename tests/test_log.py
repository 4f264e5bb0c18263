"""The log: one whole JSON event a line, private, without what customers wrote."""

from __future__ import annotations

import json
import os
import resource
import signal
from typing import TYPE_CHECKING, Any

from downstream.log import open_log, where

if TYPE_CHECKING:
    from pathlib import Path


def events(home: Path, name: str = "processor") -> list[dict[str, Any]]:
    """What is in a log."""
    return [json.loads(line) for line in (home / "logs" / f"{name}.log").read_text().splitlines()]


def test_an_event_is_one_json_line_with_time_level_and_process(tmp_path: Path) -> None:
    log = open_log(tmp_path, "processor")

    log.info("job.claimed", stream="test", paid=True)
    log.bind(stream="other").error("job.failed", reason="two\nlines, \u2028, é and \udcff")

    claimed, failed = events(tmp_path)
    assert (claimed["event"], claimed["stream"], claimed["paid"]) == ("job.claimed", "test", True)
    assert (claimed["level"], claimed["process"]) == ("info", os.getpid())
    assert claimed["at"].endswith("Z")
    assert (failed["level"], failed["stream"]) == ("error", "other")
    assert failed["reason"] == "two\nlines, \u2028, é and \udcff"


def test_what_cannot_be_written_as_json_is_still_one_line(tmp_path: Path) -> None:
    open_log(tmp_path, "daily").info("odd", thing=tmp_path, inside={"b": object()})

    (event,) = events(tmp_path, "daily")
    assert str(tmp_path) in event["thing"]


def test_events_also_go_to_whoever_watches_as_readable_lines(tmp_path: Path) -> None:
    shown: list[str] = []

    open_log(tmp_path, "processor", shown.append).warning("job.put_off", stream="test", reason="a reason")

    assert len(shown) == 1
    assert shown[0][8:] == "  job.put_off            stream=test reason=a reason"


def test_many_processes_write_whole_lines_to_one_log(tmp_path: Path) -> None:
    children = []
    for number in range(6):
        child = os.fork()
        if child == 0:
            log = open_log(tmp_path, "processor")
            for _ in range(200):
                log.info("event", number=number, filling="x" * 6000)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 6

    found = events(tmp_path)
    assert len(found) == 1200
    assert {len(event["filling"]) for event in found} == {6000}


def test_a_full_disk_stops_the_log_and_not_the_work(tmp_path: Path) -> None:
    log = open_log(tmp_path, "processor")
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        log.info("event")
        os._exit(0)

    assert os.waitpid(child, 0)[1] == 0
    assert events(tmp_path) == []


def test_only_the_owner_reads_a_log(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        open_log(tmp_path, "processor").info("event")
    finally:
        os.umask(before)

    assert (tmp_path / "logs").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "logs/processor.log").stat().st_mode & 0o777 == 0o600


def test_an_unexpected_error_is_told_by_type_and_place_and_never_by_what_it_quotes() -> None:
    try:
        json.loads("once upon a time")
    except ValueError as error:
        found = where(error)

    assert found["error"] == "JSONDecodeError"
    assert any(place.startswith("json/decoder.py") or "decoder.py" in place for place in found["trace"])
    assert "once upon" not in json.dumps(found)
    assert where(ValueError("never raised")) == {"error": "ValueError", "trace": []}


def test_a_log_that_was_rotated_away_goes_on_under_its_name(home: Path) -> None:
    log = open_log(home, "processor")
    log.info("before")
    path = home / "logs" / "processor.log"
    path.rename(path.with_name("processor.log.1"))

    log.info("after")

    assert json.loads(path.with_name("processor.log.1").read_text())["event"] == "before"
    assert json.loads(path.read_text())["event"] == "after"
    assert path.stat().st_mode & 0o777 == 0o600
