"""The five states of a job. Apart from the job itself, whose reading takes time that an idle tick does not have."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a job is; also the name of its folder."""

    PENDING = "pending"
    PROCESSING = "processing"
    REVIEW = "review"
    COMPLETED = "completed"
    FAILED = "failed"


UNDER_WAY = (State.PENDING, State.PROCESSING, State.REVIEW)
"""A job goes on from there by itself. In the order in which it passes through them."""
UNDELIVERED = (*UNDER_WAY, State.FAILED)
"""Somebody still expects something of a job that is there."""
