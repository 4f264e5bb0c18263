"""``downstream weekly``: a look at the week: what was finished, what was earned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from downstream.domain.period import Period
from downstream.stages.reviews import make_reviews

if TYPE_CHECKING:
    from pathlib import Path

    from downstream.stages.context import Context


def weekly(context: Context) -> list[Path]:
    """The weekly review exists, with those that were missed; returns the reports just written."""
    return make_reviews(context, Period.WEEKLY)
