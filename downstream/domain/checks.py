"""What review looked at and what it decided."""

from __future__ import annotations

from enum import StrEnum

from pydantic import AwareDatetime, Field, JsonValue

from downstream.domain.record import Record

JUDGED_MOTION = "judge.motion"
"""The judge's finding about how a clip moves; what is wrong with its picture has another name."""

Facts = dict[str, JsonValue]
"""Figures and names that stand behind a finding."""


class Check(Record):
    """One hard check: looked at, found good or not, with the figures."""

    name: str
    """As in ``clip.decodes`` or ``page.text``."""
    passed: bool
    segment_id: str = ""
    """The segment it speaks of; empty when it is about the page as a whole."""
    detail: str = ""
    figures: Facts = Field(default_factory=dict)

    @property
    def is_opinion(self) -> bool:
        """A judge says so; nothing was measured."""
        return self.name.startswith("judge.")


class Inspection(Record):
    """All hard checks of one build of one page."""

    page_sha256: str
    """Which build was looked at."""
    at: AwareDatetime
    checks: tuple[Check, ...] = Field(strict=False)

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that did not pass."""
        return tuple(check for check in self.checks if not check.passed)

    @property
    def passed(self) -> bool:
        """Something was looked at and all of it was good."""
        return bool(self.checks) and not self.failed

    @property
    def failed_hard(self) -> tuple[Check, ...]:
        """The measurements that did not pass: an operator may overrule a judge, but not these."""
        return tuple(check for check in self.failed if not check.is_opinion)


class Decision(StrEnum):
    """What review can say."""

    APPROVE = "approve"
    REGENERATE = "regenerate"
    FAIL = "fail"


class Verdict(Record):
    """What review says of one stream."""

    decision: Decision
    reason: str
    segment_ids: tuple[str, ...] = Field(default=(), strict=False)
    """The segments to make again; empty unless the decision is ``regenerate``."""
    clips_only: tuple[str, ...] = Field(default=(), strict=False)
    """Those of them whose keyframe is good: only the clip is made again."""
    reasons: dict[str, str] = Field(default_factory=dict)
    """Segment id to what is wrong with just that one, where it is known."""


def decide(
    inspection: Inspection,
    *,
    regenerations: int,
    segment_regenerations: dict[str, int],
    most_per_order: int,
    most_per_segment: int,
) -> Verdict:
    """The verdict the hard checks alone allow: approve, make bad segments again while the caps allow, else fail."""
    failed = inspection.failed
    if inspection.passed:
        return Verdict(decision=Decision.APPROVE, reason=f"all {len(inspection.checks)} checks passed")
    reason = "; ".join(_finding(check) for check in failed)
    if not failed:
        return Verdict(decision=Decision.FAIL, reason="nothing could be checked")
    if any(not check.segment_id for check in failed):
        return Verdict(decision=Decision.FAIL, reason=reason)
    segment_ids = tuple(sorted({check.segment_id for check in failed}))
    worn_out = [one for one in segment_ids if segment_regenerations.get(one, 0) >= most_per_segment]
    if worn_out:
        again = f"segment {', '.join(worn_out)} was made again {most_per_segment} times already: "
        return Verdict(decision=Decision.FAIL, reason=again + reason)
    if regenerations >= most_per_order:
        return Verdict(decision=Decision.FAIL, reason=f"the order had {regenerations} regenerations already: {reason}")
    moving = tuple(
        one for one in segment_ids if all(check.name == JUDGED_MOTION for check in failed if check.segment_id == one)
    )
    reasons = {one: "; ".join(check.detail for check in failed if check.segment_id == one) for one in segment_ids}
    return Verdict(
        decision=Decision.REGENERATE, reason=reason, segment_ids=segment_ids, clips_only=moving, reasons=reasons
    )


def _finding(check: Check) -> str:
    """A failed check in one line. What a judge says may speak of the story, and a reason is told and logged."""
    name = f"{check.name} {check.segment_id}".rstrip()
    return name if check.is_opinion else f"{name}: {check.detail}"
