"""What a person may overrule, what must not be lost meanwhile, and what a second look at an order must not undo."""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

from fakes.gemini import FakeGemini, prompt_blocked
from fakes.replicate import FakeReplicate
from fakes.service import Fault
from fakes.services import Services
from live import answer, judgement
from matrix import GOOGLE_KEY, IN_REVIEW, ORDER, REPLICATE_TOKEN, WANTED, services

if TYPE_CHECKING:
    from collections.abc import Callable

    from matrix import Row

    OpenRow = Callable[..., Row]

STILLS = "one still picture for each segment"
CLIPS = "frames of each segment's clip"


def rejecting(subject: str, failing: dict[str, str], request: dict[str, Any]) -> dict[str, Any]:
    """A model that is good at everything and rejects some segments when it judges ``subject``."""
    found = answer(request)
    if "whole" not in found or subject not in json.dumps(request["systemInstruction"]):
        return found
    schema = request["generationConfig"].get("responseJsonSchema") or request["generationConfig"]["responseSchema"]
    return judgement([one["segment_id"] for one in found["segments"]], schema, failing)


def test_an_empty_account_does_not_keep_clips_that_were_bought_from_being_fetched(open_row: OpenRow) -> None:
    slow = FakeReplicate(
        token=REPLICATE_TOKEN,
        clip_size=(112, 62),
        clip_seconds=0.5,
        clip_frames_per_second=12,
        smallest_side=60,
        clip_latency_seconds=1.5,
    )
    found = services()
    row = open_row("before clips", Services(gemini=found.gemini, replicate=slow, vercel=found.vercel, smtp=found.smtp))
    row.settings["REPLICATE_AT_ONCE"] = "1"  # so that the others are bought when it comes to the last
    slow.fail_next(Fault.status(402), lambda _: len(slow.bill) == 4)

    assert row.tick("process").code == 7

    assert row.bill == Counter({"replicate clip": 4})
    assert len(list((row.home / "streams" / ORDER / "clips").glob("*.mp4"))) == 4
    assert row.job()["held_by"] == "minimax.credit"
    row.hold_is_over("minimax")
    row.finish(begun=WANTED - Counter({"replicate clip": 5, "gemini text": 1}))


def test_a_person_may_overrule_a_judge_who_rejects_keyframes(open_row: OpenRow) -> None:
    row = open_row(REGENERATIONS_PER_SEGMENT="0")
    row.services.gemini.text_answer = partial(rejecting, STILLS, {"02": "the lamp has two flames"})
    assert row.tick("process").code == 4
    kind, reason = row.failure()
    assert (kind, "judge.picture 02" in reason, "flames" in reason) == ("rejected", True, False)
    assert row.bill == Counter({"gemini text": 3, "gemini keyframe": 6})

    assert row.tick("retry", ORDER, "--cleared").code == 0
    assert row.tick("process").code == 0
    assert row.tick("review").code == 0

    assert row.where() == "completed"
    assert row.bill == Counter({"gemini text": 4, "gemini keyframe": 6, "replicate clip": 5})  # the clips were judged


def test_a_person_who_overruled_the_judge_is_shown_what_is_made_anew(open_row: OpenRow) -> None:
    row = open_row(REGENERATIONS_PER_SEGMENT="0")
    row.services.gemini.text_answer = partial(rejecting, STILLS, {"02": "the lamp has two flames"})
    assert row.tick("process").code == 4
    assert row.tick("retry", ORDER, "--cleared", "--from", "keyframes", "--segment", "2").code == 0
    row.services.gemini.picture_mime_type = "image/jpeg"  # asked again, it draws another picture

    assert row.tick("process").code == 4

    assert row.failure()[0] == "rejected"
    assert row.bill == Counter({"gemini text": 4, "gemini keyframe": 7})


def test_a_story_that_a_person_has_read_is_judged_like_any_other(open_row: OpenRow) -> None:
    row = open_row()
    job = row.home / "jobs" / "pending" / f"{ORDER}.json"
    job.write_text(json.dumps(json.loads(job.read_bytes()) | {"cleared": True}))

    row.finish(begun=Counter({"gemini text": 1}))  # it is not screened; plan and two judgements


def test_a_person_may_look_where_a_judge_is_not_allowed_to(open_row: OpenRow) -> None:
    row = open_row("in review")
    row.services.gemini.fail_next(prompt_blocked())
    assert row.tick("review").code == 4
    assert row.failure()[1].endswith(f"look at the pictures yourself, then downstream retry {ORDER} --cleared")

    assert row.tick("retry", ORDER, "--cleared").code == 0
    row.finish(begun=IN_REVIEW)


def test_a_revision_does_not_judge_anew_what_was_accepted(open_row: OpenRow) -> None:
    row = open_row()
    row.finish()
    row.services.gemini.text_answer = partial(rejecting, STILLS, {"04": "too dark"})

    assert row.tick("review", "--regenerate", ORDER, "--segments", "2", "--note", "a boat, please").code == 0
    assert row.tick("process").code == 0
    assert row.tick("review").code == 0

    assert row.where() == "completed"
    assert row.bill - WANTED == Counter({"gemini keyframe": 1, "replicate clip": 1, "gemini text": 2})


def test_a_keyframe_of_another_kind_takes_the_place_of_the_one_before(open_row: OpenRow) -> None:
    found = services()
    jpeg = FakeGemini(key=GOOGLE_KEY, picture_size=(112, 63), picture_mime_type="image/jpeg")
    row = open_row("pending", Services(gemini=jpeg, replicate=found.replicate, vercel=found.vercel, smtp=found.smtp))
    row.finish()
    row.services.gemini.picture_mime_type = "image/png"

    row.tick("review", "--regenerate", ORDER, "--segments", "2", "--note", "brighter")
    row.tick("process")
    row.tick("review")

    assert row.where() == "completed"
    keyframes = (row.home / "streams" / ORDER / "keyframes").iterdir()
    assert sorted(path.name for path in keyframes if path.stem == "02") == ["02.png"]


def test_what_the_operator_must_hear_survives_a_run_that_is_killed_later(open_row: OpenRow) -> None:
    row = open_row()
    row.services.gemini.fail_next(prompt_blocked(), operations=None)
    row.order("order-2", json.loads((row.home / "streams" / ORDER / "input.json").read_text())["text"])
    row.settings["JOBS_AT_ONCE"] = "1"

    assert row.tick("process", kill_at="after receipt outcome keyframes/03 #1").code == -9
    assert row.alerts == []
    told = row.tick("review")

    assert any(f"{ORDER} failed" in letter for letter in told.mailed)
    assert row.tick("process").code == 0


def test_a_page_that_was_taken_away_before_it_was_announced_is_published_again_by_a_retry(open_row: OpenRow) -> None:
    row = open_row("in review")
    assert row.tick("review", kill_at="after receipt outcome publish #1").code == -9
    for project in row.services.vercel.projects.values():
        project.sso_protection = {"deploymentType": "all"}
    row.later()
    assert row.tick("review").code == 7
    job = row.home / "jobs" / "review" / f"{ORDER}.json"
    failed = json.loads(job.read_bytes()) | {"tries": 11, "not_before": None}
    job.write_text(json.dumps(failed))
    assert row.tick("review").code == 4

    assert row.tick("retry", ORDER).code == 0
    row.finish(begun=IN_REVIEW)


def test_a_page_that_was_too_heavy_is_looked_at_again_when_the_budget_is_raised(open_row: OpenRow) -> None:
    row = open_row("in review", None, PAGE_BYTES_PER_SEGMENT="10")
    assert row.tick("review").code == 4
    assert "page.weight" in row.failure()[1]

    row.settings["PAGE_BYTES_PER_SEGMENT"] = "1500000"
    assert row.tick("retry", ORDER).code == 0

    row.finish(begun=IN_REVIEW)


def test_an_order_in_a_currency_without_a_rate_waits_and_holds_up_nobody(open_row: OpenRow) -> None:
    row = open_row()
    path = row.home / "jobs" / "pending" / f"{ORDER}.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"currency": "pln"}))
    row.order("order-2", json.loads((row.home / "streams" / ORDER / "input.json").read_text())["text"])

    ended = row.tick("process")

    assert ended.code == 7
    assert ended.tells("prices.toml has no rate for pln: add it to [dollars_per]")
    assert (row.where("order-2"), row.where()) == ("review", "pending")
