"""A person hears of a trouble once when it begins, again after a day, and once when it is over."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from downstream import alerts
from downstream.alerts import REMIND_AFTER, is_news, is_over, standing_alarms, told

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 1, 6, 12, tzinfo=UTC)
TICK = timedelta(minutes=5)


def test_a_trouble_is_news_when_it_begins_and_then_once_a_day(tmp_path: Path) -> None:
    told = [number for number in range(2 * 288 + 1) if is_news(tmp_path, "paused", NOW + number * TICK)]

    assert told == [0, 288, 576]
    assert REMIND_AFTER / TICK == 288


def test_troubles_are_told_apart(tmp_path: Path) -> None:
    assert is_news(tmp_path, "paused", NOW)
    assert is_news(tmp_path, "held_orders", NOW)
    assert not is_news(tmp_path, "paused", NOW + TICK)


def test_the_end_of_a_trouble_is_told_once_and_only_if_the_trouble_was(tmp_path: Path) -> None:
    assert not is_over(tmp_path, "paused")
    assert not list(tmp_path.iterdir())

    is_news(tmp_path, "paused", NOW)

    assert not is_over(tmp_path, "held_orders")
    assert is_over(tmp_path, "paused")
    assert not is_over(tmp_path, "paused")
    assert is_news(tmp_path, "paused", NOW + TICK)


def test_a_clock_set_back_makes_it_news_again(tmp_path: Path) -> None:
    is_news(tmp_path, "paused", NOW)

    assert is_news(tmp_path, "paused", NOW - TICK)


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"[]", b"5", b"\xff", b"\0\0", b'{"paused": 5}', b'{"paused": "x"}', b'{"paused": "2026-01-06T12:00"}'],
)
def test_a_damaged_memory_tells_again_rather_than_never(tmp_path: Path, damage: bytes) -> None:
    is_news(tmp_path, "paused", NOW)
    (tmp_path / "logs/alerts.json").write_bytes(damage)

    assert is_news(tmp_path, "paused", NOW)
    assert not is_news(tmp_path, "paused", NOW + TICK)


@pytest.fixture
def unwritable(tmp_path: Path) -> Path:
    """An installation whose operator knows of one trouble, and whose disk cannot be written to any more."""
    is_news(tmp_path, "paused", NOW)
    (tmp_path / "logs/.alerts.json.tmp").mkdir()
    return tmp_path


def test_on_a_disk_that_cannot_be_written_to_a_trouble_is_told_once_and_so_is_its_end(unwritable: Path) -> None:
    assert is_news(unwritable, "new", NOW)
    assert not is_news(unwritable, "new", NOW + TICK)
    assert not is_news(unwritable, "paused", NOW + TICK)
    assert set(told(unwritable, "")) == {"paused", "new"}
    assert not is_over(unwritable, "paused")  # else its end would be told at every tick
    (unwritable / "logs/.alerts.json.tmp").rmdir()

    assert is_over(unwritable, "new")
    assert not is_over(unwritable, "new")
    assert is_over(unwritable, "paused")


def test_a_disk_that_cannot_be_written_to_silences_nothing(unwritable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "_MEMORY", unwritable / "nowhere")
    (unwritable / "nowhere").touch()

    assert is_news(unwritable, "new", NOW)
    assert is_news(unwritable, "new", NOW)
    assert not is_over(unwritable, "paused")


def test_a_memory_that_somebody_else_has_laid_out_is_not_believed(
    unwritable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerts, "_MEMORY", unwritable)
    is_news(unwritable, "new", NOW)
    (theirs,) = unwritable.glob("downstream-*")
    monkeypatch.setattr(os, "getuid", lambda: int(theirs.name.removeprefix("downstream-")) + 1)
    theirs.rename(unwritable / f"downstream-{os.getuid()}")

    assert is_news(unwritable, "new", NOW)


def test_of_eight_processes_at_once_one_tells(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    children = []
    for _ in range(8):
        child = os.fork()
        if child == 0:
            for number in range(10):
                if is_news(tmp_path, f"trouble-{number}", NOW):
                    os.write(write_end, b"x")
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 8
    os.close(write_end)

    assert os.read(read_end, 1000) == b"x" * 10
    assert len(json.loads((tmp_path / "logs/alerts.json").read_bytes())) == 10


def test_only_the_owner_reads_what_was_told(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        is_news(tmp_path, "paused", NOW)
    finally:
        os.umask(before)

    assert (tmp_path / "logs").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "logs").iterdir()} == {0o600}


def test_what_stands_is_told_apart_from_what_happened_once(tmp_path: Path) -> None:
    for fingerprint in ("paused", "promise.broken.order-1", "errand.order-1.refund", "stopped.process.memory"):
        is_news(tmp_path, fingerprint, NOW)

    assert standing_alarms(tmp_path) == dict.fromkeys(
        ("paused", "promise.broken.order-1", "stopped.process.memory"), NOW
    )


def test_what_nobody_tells_again_is_forgotten_after_a_while(tmp_path: Path) -> None:
    is_news(tmp_path, "errand.order-1.refund", NOW)
    is_news(tmp_path, "paused", NOW + timedelta(days=80))

    is_news(tmp_path, "held_orders", NOW + timedelta(days=91))

    assert told(tmp_path) == []
    assert told(tmp_path, "") == ["paused", "held_orders"]
    assert told(tmp_path, "pau", "held") == ["paused", "held_orders"]
