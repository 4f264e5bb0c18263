"""The disk is full or cannot be written to: Stripe is told to call again, the customer keeps what was typed."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
from disks import disk_of, read_only
from fakes.stripe import FakeStripe
from served import Served, at_checkout, core, half_written, jobs, serving, shop_environment

from downstream.installation import lay_out

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FORM = {"Content-Type": "application/x-www-form-urlencoded", "Host": "stories.example"}


def fill(ballast: Path) -> None:
    """Writes for as long as there is room."""
    with ballast.open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)


@contextmanager
def full(home: Path) -> Iterator[None]:
    """Not a byte more fits."""
    ballast = home.parent / "ballast"
    with pytest.raises(OSError, match="No space"):
        fill(ballast)
    yield
    ballast.unlink()


@contextmanager
def write_protected(home: Path) -> Iterator[None]:
    with read_only(home / "jobs", home / "streams"):
        yield


@pytest.mark.parametrize("trouble", [full, write_protected])
def test_nothing_is_acknowledged_that_is_not_on_the_disk(tmp_path: Path, trouble: object) -> None:
    with disk_of(tmp_path / "disk", 4) as disk, FakeStripe() as account:
        home = disk / "home"
        lay_out(home, today=datetime.now(UTC).date(), program="downstream")
        settings = shop_environment(account) | {"DISK_RESERVE_MB": "0"}  # down to the last byte
        with serving(home, settings) as served:
            order, session = at_checkout(core(home, settings))
            account.pay(session)
            (event,) = account.events
            with trouble(home):  # type: ignore[operator]
                assert served.tell(event).status == 503
                check_form(served)
                assert jobs(home) == {}
                assert half_written(home) == []

            assert served.tell(event).status == 200

        assert jobs(home) == {order.stream_id: ["pending"]}
        assert half_written(home) == []
        assert account.violations == []


def check_form(served: Served) -> None:
    """What was typed stands in the answer, and so does that it was not kept."""
    words = "The heron came down to the harbour <i>before</i> the light was up."
    answer = served.ask("POST", "/", urlencode({"title": "Kept & safe", "text": words, "then": "pay"}).encode(), FORM)
    assert answer.status == 503
    assert "could not be saved just now, and nothing was charged" in answer.text
    assert "Kept &amp; safe" in answer.text
    assert "harbour &lt;i&gt;before&lt;/i&gt; the light" in answer.text
