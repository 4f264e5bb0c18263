"""Services that do not answer in time, and what the order, the operator and the books have of it.

The program's patience is cut to seconds, and the answers come much later.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from fakes.replicate import stuck
from fakes.service import FOR_EVER, Fault
from matrix import BEFORE_CLIPS, IN_REVIEW, Tick

if TYPE_CHECKING:
    from collections.abc import Callable

    from matrix import Row

    OpenRow = Callable[..., Row]

LATE = Fault.late(120)
SECONDS = 3.0
GEMINI = {"downstream.providers.gemini.service:GeminiService.timeout_seconds": SECONDS}
REPLICATE = {"downstream.providers.minimax.wire:TIMEOUT": SECONDS}
DOWNLOAD = {"downstream.providers.minimax.download:TIMEOUT": SECONDS}
CLIPS = {"downstream.providers.minimax.clips:MinimaxClips.patience_seconds": SECONDS}
VERCEL = {"downstream.providers.vercel.wire:_ONCE": SECONDS}

THIRD = "slow move number 3"
CLIP = 190_000
"""The price of one in millionths of a dollar."""
ALL_CLIPS = Counter({"replicate clip": 5})


# --- Gemini --------------------------------------------------------------------------------------------------------


def test_a_picture_that_does_not_come_in_time_is_unknown_and_asked_for_once_more(open_row: OpenRow) -> None:
    row = open_row()
    row.services.gemini.fail_next(LATE, "Harbour view number 2")

    assert row.tick("process", patience=GEMINI) == Tick(7, "", ())

    assert row.where() == "pending"
    assert row.waits_for() == "keyframe 02: Gemini was asked and no answer came (ReadTimeout)"
    assert row.phases("keyframes/02") == ["intent", "unknown"]
    assert row.cost("keyframes/02") == row.reserved("keyframes/02")
    row.reach_clips(keyframe=1)
    assert row.phases("keyframes/02") == ["intent", "unknown", "intent", "outcome"]


# --- Replicate -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "patience"),
    [
        ("files.create", REPLICATE),
        ("models.predictions.create", REPLICATE),
        ("predictions.get", REPLICATE),
        ("download", DOWNLOAD),
    ],
    ids=["upload", "create", "poll", "download"],
)
def test_what_replicate_does_not_answer_in_time_is_asked_again_and_every_clip_is_bought_once(
    open_row: OpenRow, operation: str, patience: dict[str, float]
) -> None:
    row = open_row("before clips")
    row.services.replicate.fail_next(LATE, operations={operation})

    assert row.tick("process", patience=patience) == Tick(0, "", ())

    assert row.where() == "review"
    assert row.bill == ALL_CLIPS
    assert len(row.services.replicate.predictions) == 5
    ends = Counter(line["phase"] for line in row.receipts() if line["call"].startswith("clips/"))
    assert (ends["intent"], ends["outcome"], ends["failed"], ends["unknown"]) == (5, 5, 0, 0)
    assert row.cost("clips/03") == [CLIP]


def test_clips_that_cannot_be_fetched_in_time_stay_bought_and_are_fetched_by_the_next_run(open_row: OpenRow) -> None:
    row = open_row("before clips")
    row.services.replicate.fail_next(LATE, operations={"download"}, times=FOR_EVER)

    assert row.tick("process", patience=DOWNLOAD) == Tick(7, "", ())

    assert (row.where(), row.waits_for()) == ("pending", "the clip could not be fetched (ReadTimeout)")
    assert (row.phases("clips/03"), row.cost("clips/03")) == (["intent"], [])
    assert row.bill == ALL_CLIPS
    row.services.replicate.clear_faults()
    row.finish(begun=BEFORE_CLIPS)
    assert (row.phases("clips/03"), row.cost("clips/03")) == (["intent", "outcome"], [CLIP])


@pytest.mark.parametrize(
    ("time_scale", "patience"),
    [(1 / 600, {}), (1.0, CLIPS)],
    ids=["ended by the service", "ended from here"],
)
def test_a_clip_that_never_gets_done_is_ended_counts_as_bought_and_is_bought_anew(
    open_row: OpenRow, time_scale: float, patience: dict[str, float]
) -> None:
    row = open_row("before clips")
    row.services.replicate.time_scale = time_scale
    row.services.replicate.fail_next(stuck(), THIRD)

    assert row.tick("process", patience=patience) == Tick(7, "", ())

    assert (row.where(), row.waits_for()) == ("pending", "the making of clip 03 was canceled at MiniMax")
    assert (row.phases("clips/03"), row.cost("clips/03")) == (["intent", "failed"], [CLIP])
    assert len(row.services.replicate.calls_of("predictions.cancel")) == (1 if patience else 0)
    assert row.bill == ALL_CLIPS
    row.finish(begun=BEFORE_CLIPS, extra={"replicate clip": 1})


# --- Vercel --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["uploadFile", "createDeployment", "getDeployment", "visit"])
def test_what_vercel_does_not_answer_in_time_is_asked_again_and_the_page_published_once(
    open_row: OpenRow, operation: str
) -> None:
    row = open_row("in review")
    row.services.vercel.fail_next(LATE, operations={operation})

    assert row.tick("review", patience=VERCEL) == Tick(0, "", ())

    assert row.where() == "completed"
    row.finish(begun=IN_REVIEW)


def test_a_page_that_visitors_do_not_get_in_time_is_not_announced(open_row: OpenRow) -> None:
    row = open_row("in review")
    row.services.vercel.fail_next(LATE, operations={"visit"}, times=FOR_EVER)

    assert row.tick("review", patience=VERCEL) == Tick(7, "", ())

    assert (row.where(), row.waits_for()) == ("review", "no answer from Vercel (ReadTimeout)")
    assert row.letters == []
    assert row.bill == {"gemini text": 1}
    row.services.vercel.clear_faults()
    row.finish(begun=IN_REVIEW)
