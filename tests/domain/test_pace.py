"""Pauses between looks, and what is waited for before something is sent again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import accumulate

import pytest

from downstream.domain.errors import DownstreamError, TryAgain, Unknown
from downstream.domain.pace import hint_seconds, pauses, persistently


def test_a_look_comes_at_most_a_twentieth_late_once_some_seconds_have_passed() -> None:
    found = list(pauses(60.0, 1000.0))

    for waited, pause in zip(accumulate(found), found[1:], strict=False):
        assert pause <= 0.25 + 0.051 * waited


@pytest.mark.parametrize(("longest", "patience"), [(5.0, 1500.0), (2.0, 600.0), (0.01, 0.05)])
def test_they_add_up_to_the_patience_and_none_is_longer_than_the_longest(longest: float, patience: float) -> None:
    found = list(pauses(longest, patience))

    assert max(found) <= longest
    assert patience <= sum(found) < patience + longest


def test_there_is_always_one_look() -> None:
    assert len(list(pauses(1.0, 0.0))) == 1


class Service:
    """Ends with these errors, one after the other, and then answers."""

    def __init__(self, *errors: DownstreamError) -> None:
        self.errors = list(errors)
        self.waited: list[float] = []

    def send(self) -> str:
        if self.errors:
            raise self.errors.pop(0)
        return "answer"

    def ask(self) -> str:
        return persistently(self.send, self.waited.append, TryAgain, (1.0, 3.0))


def test_hiccups_are_waited_out_longer_each_time() -> None:
    service = Service(TryAgain("first"), Unknown("second"))

    assert service.ask() == "answer"
    assert service.waited == [1.0, 3.0]


def test_the_hiccup_after_the_last_pause_is_what_comes_of_it() -> None:
    service = Service(TryAgain("first"), TryAgain("second"), TryAgain("third"))

    with pytest.raises(TryAgain, match="third"):
        service.ask()

    assert service.waited == [1.0, 3.0]


def test_what_is_no_hiccup_is_not_waited_out() -> None:
    service = Service(DownstreamError("broken"))

    with pytest.raises(DownstreamError, match="broken"):
        service.ask()

    assert service.waited == []


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        (" 120 ", 120.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("\u00b2", None),
        ("-1", None),
        ("Wed, 21 Oct 2015 07:28:00 -0000", None),
    ],
)
def test_a_header_says_how_long_to_wait_or_nothing(header: str, seconds: float | None) -> None:
    assert hint_seconds(header) == seconds


def test_a_header_may_say_until_when_to_wait() -> None:
    then = datetime.now(UTC) + timedelta(hours=1)

    seconds = hint_seconds(format_datetime(then, usegmt=True))

    assert seconds is not None
    assert 0 < seconds <= 3600
