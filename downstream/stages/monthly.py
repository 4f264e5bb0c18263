"""``downstream monthly``: a look at the month: the books."""

from __future__ import annotations

from typing import TYPE_CHECKING

from downstream.domain.period import Period
from downstream.stages.reviews import make_reviews

if TYPE_CHECKING:
    from pathlib import Path

    from downstream.stages.context import Context


def monthly(context: Context) -> list[Path]:
    """The monthly review exists, with those that were missed; returns the reports just written."""
    return make_reviews(context, Period.MONTHLY)
