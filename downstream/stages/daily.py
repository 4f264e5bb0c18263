"""``downstream daily``: a look at the day: what failed, what waits, what happened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from downstream.domain.period import Period
from downstream.stages.reviews import make_missed, make_reviews

if TYPE_CHECKING:
    from pathlib import Path

    from downstream.stages.context import Context


def daily(context: Context) -> list[Path]:
    """The daily review exists, with those that were missed; returns the reports just written.

    So do the reviews of weeks and months that are over and were missed at their time: their own bell rings seldom.
    """
    made = make_reviews(context, Period.DAILY)
    return [*made, *make_missed(context, Period.WEEKLY), *make_missed(context, Period.MONTHLY)]
