"""The verdict that hard checks alone allow."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from downstream.domain.checks import Check, Decision, Inspection, Verdict, decide

NOW = datetime(2026, 1, 6, 12, tzinfo=UTC)
GOOD = Check(name="clip.decodes", passed=True, segment_id="01")
PAGE_GOOD = Check(name="page.text", passed=True)


def bad(segment_id: str = "", name: str = "clip.decodes") -> Check:
    """A check that did not pass."""
    return Check(name=name, passed=False, segment_id=segment_id, detail="ends at frame 3 of 144", figures={"frames": 3})


def inspection(*checks: Check) -> Inspection:
    """What was found of a page."""
    return Inspection(page_sha256="f00", at=NOW, checks=checks)


def verdict(*checks: Check, regenerations: int = 0, segments: dict[str, int] | None = None) -> Verdict:
    """What is decided under caps of two a segment and four an order."""
    return decide(
        inspection(*checks),
        regenerations=regenerations,
        segment_regenerations=segments or {},
        most_per_order=4,
        most_per_segment=2,
    )


def test_all_good_is_approved_with_the_number_of_checks() -> None:
    found = verdict(GOOD, PAGE_GOOD, regenerations=99, segments={"01": 99})

    assert found.decision is Decision.APPROVE
    assert "all 2 checks passed" in found.reason
    assert found.segment_ids == ()


def test_nothing_looked_at_is_never_approved() -> None:
    found = verdict()

    assert found.decision is Decision.FAIL
    assert found.reason == "nothing could be checked"
    assert not inspection().passed


def test_bad_segments_are_made_again_each_named_once_with_every_reason() -> None:
    found = verdict(GOOD, bad("05"), bad("02"), bad("02", "clip.begins"))

    assert found.decision is Decision.REGENERATE
    assert found.segment_ids == ("02", "05")
    assert "clip.decodes 05: ends at frame 3 of 144" in found.reason
    assert "clip.begins 02: ends at frame 3 of 144" in found.reason
    assert "01" not in found.reason


def test_what_is_wrong_with_the_page_itself_no_new_clip_can_mend() -> None:
    found = verdict(bad("02"), bad(name="page.text"))

    assert found.decision is Decision.FAIL
    assert "page.text: ends at frame 3" in found.reason
    assert "clip.decodes 02" in found.reason
    assert found.segment_ids == ()


@pytest.mark.parametrize(
    ("regenerations", "segments", "decision"),
    [
        (0, {}, Decision.REGENERATE),
        (3, {"02": 1}, Decision.REGENERATE),
        (1, {"02": 1, "05": 2}, Decision.REGENERATE),
        (2, {"02": 2}, Decision.FAIL),
        (3, {"02": 7}, Decision.FAIL),
        (4, {}, Decision.FAIL),
        (5, {"02": 1}, Decision.FAIL),
    ],
)
def test_the_caps_hold(regenerations: int, segments: dict[str, int], decision: Decision) -> None:
    assert verdict(GOOD, bad("02"), regenerations=regenerations, segments=segments).decision is decision


def test_a_cap_that_is_reached_is_named() -> None:
    assert "segment 02 was made again 2 times already" in verdict(bad("02"), segments={"02": 2}).reason
    assert "had 4 regenerations already" in verdict(bad("02"), regenerations=4).reason


def test_an_inspection_comes_back_from_its_file_as_it_was() -> None:
    found = inspection(GOOD, bad("02"))

    again = Inspection.model_validate_json(found.to_json())

    assert again == found
    assert again.failed == (bad("02"),)
    assert not again.passed
