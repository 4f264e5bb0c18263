"""The killswitch: only what is clearly alive may work."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from downstream.domain.errors import Paused
from downstream.heartbeat import Pulse, read_heartbeat, write_heartbeat

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
ALIVE = "Status: ACTIVE\nRenewed: 2026-01-06\nRenew every: 30 days\n"


def pulse(home: Path, text: str | bytes, now: datetime = NOW) -> Pulse:
    """What a HEARTBEAT.md of that content allows."""
    (home / "HEARTBEAT.md").write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_heartbeat(home, now).pulse


@pytest.mark.parametrize(
    "text",
    [
        ALIVE,
        "# Heartbeat\n\nsome prose\n\n- **Status:** ACTIVE\n- **Renewed**: 2026-01-06\n* Renew every : 30 days\n",
        ALIVE.lower(),
        ALIVE.replace("\n", "\r\n"),
        "Status: `ACTIVE`\nRenewed: 2026-01-06\n",
        ALIVE + "\nStatus ACTIVE works normally. The status: see above.\n",
        ALIVE + "Status: active\n",
    ],
)
def test_an_active_file_in_whatever_dress_is_active(tmp_path: Path, text: str) -> None:
    assert pulse(tmp_path, text) is Pulse.ACTIVE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# Heartbeat\n",
        ALIVE.replace("ACTIVE", "PAUSED"),
        ALIVE.replace("ACTIVE", "STOP"),
        ALIVE.replace("ACTIVE", "stop"),
        ALIVE.replace("ACTIVE", "PAUSED until Monday"),
        ALIVE.replace("ACTIVE", "STOPPED"),
        ALIVE.replace("ACTIVE", "ACTIVE?"),
        ALIVE.replace("ACTIVE", "ACTIVE or PAUSED"),
        ALIVE.replace("ACTIVE", ""),
        ALIVE.replace("Status", "State"),
        "Status: PAUSED\n" + ALIVE,
        ALIVE + "- Status: STOP\n",
        ALIVE + "Status: CAUTIOUS\n",
        ALIVE + "Status:\n",
        ALIVE.replace("2026-01-06", "2026-02-30"),
        ALIVE.replace("2026-01-06", "yesterday"),
        ALIVE.replace("Renewed", "Renewal"),
        ALIVE.replace("30 days", "0 days"),
        ALIVE.replace("30 days", "-3 days"),
        ALIVE.replace("30 days", "1.5 days"),
        ALIVE.replace("30 days", "367 days"),
        ALIVE.replace("30 days", "9" * 5000),
        ALIVE.replace("30 days", "thirty days"),
        ALIVE.encode("utf-16"),
        ALIVE.encode() + b"\xff",
        "Status: PAUSED\nRenewed: never\n",
    ],
)
def test_whatever_is_not_clearly_alive_is_paused(tmp_path: Path, text: str | bytes) -> None:
    assert pulse(tmp_path, text) is Pulse.PAUSED
    with pytest.raises(Paused, match=r"HEARTBEAT\.md"):
        read_heartbeat(tmp_path, NOW).require_running()


def test_a_missing_file_or_a_folder_in_its_place_is_paused(tmp_path: Path) -> None:
    assert read_heartbeat(tmp_path, NOW).pulse is Pulse.PAUSED

    (tmp_path / "HEARTBEAT.md").mkdir()

    assert read_heartbeat(tmp_path, NOW).pulse is Pulse.PAUSED


def test_the_day_the_renewal_is_due_is_still_active_and_the_next_is_cautious(tmp_path: Path) -> None:
    last = datetime(2026, 2, 5, 23, 59, 59, tzinfo=UTC)

    assert pulse(tmp_path, ALIVE, last) is Pulse.ACTIVE
    assert pulse(tmp_path, ALIVE, last + timedelta(seconds=1)) is Pulse.CAUTIOUS
    found = read_heartbeat(tmp_path, last + timedelta(seconds=1))
    assert found.due == date(2026, 2, 5)
    assert "downstream heartbeat renew" in found.why
    found.require_running()


def test_days_are_counted_in_utc_whatever_the_clock_shows(tmp_path: Path) -> None:
    east = timezone(timedelta(hours=14))

    assert pulse(tmp_path, ALIVE, datetime(2026, 2, 6, 13, 0, tzinfo=east)) is Pulse.ACTIVE
    assert pulse(tmp_path, ALIVE, datetime(2026, 2, 6, 14, 0, tzinfo=east)) is Pulse.CAUTIOUS


@pytest.mark.parametrize("renewed", ["2026-02-02", "9999-12-31"])
def test_a_renewal_in_the_future_is_no_clean_bill_of_health(tmp_path: Path, renewed: str) -> None:
    assert pulse(tmp_path, ALIVE.replace("2026-01-06", renewed)) is Pulse.CAUTIOUS
    assert read_heartbeat(tmp_path, NOW).due is not None


def test_a_renewal_written_where_it_is_tomorrow_already_is_fine(tmp_path: Path) -> None:
    assert pulse(tmp_path, ALIVE.replace("2026-01-06", "2026-02-01")) is Pulse.ACTIVE


def test_cautious_may_be_said_by_hand(tmp_path: Path) -> None:
    assert pulse(tmp_path, ALIVE.replace("ACTIVE", "CAUTIOUS")) is Pulse.CAUTIOUS


@pytest.mark.parametrize("status", ["ACTIVE", "PAUSED", "STOP", "CAUTIOUS"])
@pytest.mark.parametrize("reason", ["", "the card expired", "a {brace}, a\nbreak and\x1ca * star"])
def test_what_is_written_is_what_is_read(tmp_path: Path, status: str, reason: str) -> None:
    write_heartbeat(tmp_path, status=status, renewed=date(2026, 1, 6), renew_days=45, reason=reason)

    found = read_heartbeat(tmp_path, NOW)

    assert (found.status, found.renewed, found.renew_days) == (status, date(2026, 1, 6), 45)
    assert found.reason == " ".join(reason.split())
    assert found.due == date(2026, 2, 20)


def test_the_reason_of_a_pause_is_told(tmp_path: Path) -> None:
    write_heartbeat(tmp_path, status="PAUSED", renewed=date(2026, 1, 6), renew_days=30, reason="on holiday")

    with pytest.raises(Paused, match=r"HEARTBEAT\.md says PAUSED: on holiday"):
        read_heartbeat(tmp_path, NOW).require_running()


def test_a_reason_cannot_smuggle_in_a_status(tmp_path: Path) -> None:
    reason = "x\nStatus: ACTIVE\u2028Status: ACTIVE\r- Status: ACTIVE"
    write_heartbeat(tmp_path, status="PAUSED", renewed=date(2026, 1, 6), renew_days=30, reason=reason)

    assert read_heartbeat(tmp_path, NOW).pulse is Pulse.PAUSED


def test_a_cut_write_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    write_heartbeat(tmp_path, status="PAUSED", renewed=date(2026, 1, 6), renew_days=30)
    (tmp_path / ".HEARTBEAT.md.tmp").write_text(ALIVE)  # the writer died before the rename

    assert read_heartbeat(tmp_path, NOW).pulse is Pulse.PAUSED
