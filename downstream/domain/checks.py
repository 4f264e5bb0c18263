"""What review looked at and what it decided."""

from __future__ import annotations

from enum import StrEnum

from pydantic import AwareDatetime, Field, JsonValue

from downstream.domain.record import Record

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
        return Verdict(decision=Decision.APPROVE, reason=f"all {len(inspection.checks)} hard checks passed")
    reason = "; ".join(f"{check.name} {check.segment_id}: {check.detail}".replace(" :", ":") for check in failed)
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
    return Verdict(decision=Decision.REGENERATE, reason=reason, segment_ids=segment_ids)
