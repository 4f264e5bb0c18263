"""What was called for a stream and what came of it: an append-only file, one line for each thing that happened.

The intent is on the disk before the call, with the amount it may cost; what was noted during the call follows it
(ids, so that a later run can go on); its end is on the disk after it: ``outcome``, ``refused``, ``failed`` or
``unknown``. A call whose outcome matches the hash of its inputs, and whose files are still what they were, is not made
again. An intent without an end counts as spent.
"""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from downstream.domain.errors import PersonDecides
from downstream.files import append_durably, private_folder, sha256_of, whole_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pydantic import JsonValue


class Phase(StrEnum):
    """How far an attempt is; also what its last line is called."""

    INTENT = "intent"
    """About to be made, or being made, or cut off in the middle."""
    OUTCOME = "outcome"
    REFUSED = "refused"
    """A content filter said no to just these inputs."""
    FAILED = "failed"
    """It was answered, or never sent; either way nothing came of it."""
    UNKNOWN = "unknown"
    """Nobody can tell whether it was made."""


_NOTE = "note"


@dataclass
class Attempt:
    """One attempt at one call. Only ``Receipts`` changes it."""

    call: str
    inputs: str
    provider: str
    number: int
    began_at: datetime
    reserved_micros: int = 0
    """The most it should cost, in millionths of a dollar."""
    phase: Phase = Phase.INTENT
    cost_micros: int = 0
    exact: bool = True
    """The provider's own figure; otherwise it is assumed."""
    reason: str = ""
    in_trouble: bool = False
    """The service answered that it is in trouble itself, so the end says nothing about what was asked."""
    facts: dict[str, JsonValue] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """Nobody has written down how it ended."""
        return self.phase is Phase.INTENT

    @property
    def spent_micros(self) -> int:
        """What it cost; while that is not known, what it may cost."""
        return self.reserved_micros if self.is_open else self.cost_micros


@dataclass(frozen=True, slots=True)
class Receipt:
    """The outcome of one call. ``outputs`` maps files, relative to the stream's folder, to their SHA-256."""

    call: str
    inputs: str
    provider: str
    outputs: Mapping[str, str] = field(default_factory=dict)
    result: Mapping[str, JsonValue] = field(default_factory=dict)


class Receipts:
    """The receipts of one stream. Whoever opens them holds the stream's lock; its threads may share them.

    Raises:
        PersonDecides: the file was changed into something that is not receipts: what was paid for is not known.
    """

    def __init__(self, path: Path, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.clock = clock
        self._path = path
        self._lock = threading.Lock()
        self._attempts: dict[tuple[str, str], list[Attempt]] = {}
        self._outcomes: dict[str, Receipt] = {}
        private_folder(path.parent)
        for number, line in enumerate(whole_lines(path), 1):
            try:
                self._read(json.loads(line))
            except (ValueError, LookupError, TypeError):
                name = f"streams/{path.parent.name}/{path.name}"
                raise PersonDecides(f"{name}: line {number} is not a receipt; mend it, then retry") from None

    @property
    def attempts(self) -> list[Attempt]:
        """Every attempt at every call, in order."""
        with self._lock:
            return sorted((one for same in self._attempts.values() for one in same), key=lambda one: one.began_at)

    @property
    def spent_micros(self) -> int:
        """What this stream has cost, or may have, in millionths of a dollar."""
        return sum(attempt.spent_micros for attempt in self.attempts)

    @property
    def capped_micros(self) -> int:
        """What of it counts against the stream's cap: of a call's answers from a service in trouble only the dearest.

        Such an answer is most likely not billed, and a service that is down all day gives many of them.
        """
        with self._lock:
            calls = [list(same) for same in self._attempts.values()]
        in_trouble = (max((one.spent_micros for one in same if one.in_trouble), default=0) for same in calls)
        return sum(in_trouble) + sum(one.spent_micros for same in calls for one in same if not one.in_trouble)

    def outcome(self, call: str, inputs: str) -> Receipt | None:
        """The receipt of ``call`` when it was made with just these inputs and its files are still as they were."""
        receipt = self._outcomes.get(call)
        if receipt is None or receipt.inputs != inputs:
            return None
        root = self._path.parent
        kept = all(
            (root / path).is_file() and sha256_of(root / path) == digest for path, digest in receipt.outputs.items()
        )
        return receipt if kept else None

    def attempts_at(self, call: str, inputs: str) -> Sequence[Attempt]:
        """The attempts at this call with just these inputs, in order."""
        return tuple(self._attempts.get((call, inputs), ()))

    def intend(self, call: str, inputs: str, provider: str, *, reserved_micros: int = 0) -> Attempt:
        """It is on the disk that ``call`` is about to be made, and what it may cost."""
        number = len(self.attempts_at(call, inputs)) + 1
        attempt = Attempt(call, inputs, provider, number, self.clock(), reserved_micros)
        self._append(attempt, Phase.INTENT, provider=provider, reserved_micros=reserved_micros)
        with self._lock:
            self._attempts.setdefault((call, inputs), []).append(attempt)
        return attempt

    def note(self, attempt: Attempt, facts: Mapping[str, JsonValue]) -> None:
        """What is known of an attempt so far is on the disk."""
        self._append(attempt, _NOTE, facts=dict(facts))
        attempt.facts.update(facts)

    def settle(
        self,
        attempt: Attempt,
        *,
        outputs: Sequence[Path] = (),
        result: Mapping[str, JsonValue] | None = None,
        cost_micros: int = 0,
        exact: bool = True,
    ) -> Receipt:
        """It is on the disk that the call was made, what it cost, and the files and facts that came of it."""
        root = self._path.parent
        digests = {str(path.relative_to(root)): sha256_of(path) for path in outputs}
        receipt = Receipt(attempt.call, attempt.inputs, attempt.provider, digests, dict(result or {}))
        facts = {"provider": receipt.provider, "outputs": digests, "result": receipt.result}
        self._append(attempt, Phase.OUTCOME, **facts, cost_micros=cost_micros, exact=exact)
        _end(attempt, Phase.OUTCOME, cost_micros, exact=exact)
        self._outcomes[attempt.call] = receipt
        return receipt

    def end(
        self,
        attempt: Attempt,
        phase: Phase,
        reason: str,
        *,
        cost_micros: int,
        exact: bool = True,
        in_trouble: bool = False,
    ) -> None:
        """It is on the disk that nothing usable came of the call, why, and what it cost all the same."""
        more = {"in_trouble": True} if in_trouble else {}
        self._append(attempt, phase, reason=reason, cost_micros=cost_micros, exact=exact, **more)
        _end(attempt, phase, cost_micros, exact=exact, reason=reason)
        attempt.in_trouble = in_trouble

    def _append(self, attempt: Attempt, phase: str, **more: Any) -> None:
        line = {
            "at": self.clock().isoformat(),
            "phase": phase,
            "call": attempt.call,
            "inputs": attempt.inputs,
            "attempt": attempt.number,
            **more,
        }
        with self._lock:
            append_durably(self._path, json.dumps(line, ensure_ascii=False).encode() + b"\n")

    def _read(self, line: dict[str, Any]) -> None:
        """One line of the file, as it was when it was written."""
        key = (line["call"], line["inputs"])
        if line["phase"] == Phase.INTENT:
            same = self._attempts.setdefault(key, [])
            began_at, reserved = datetime.fromisoformat(line["at"]), int(line.get("reserved_micros", 0))
            same.append(Attempt(*key, line["provider"], len(same) + 1, began_at, reserved))
            return
        # Lines that older versions wrote name no attempt: theirs was always the last.
        attempt = self._attempts[key][line.get("attempt", 0) - 1]
        if line["phase"] == _NOTE:
            attempt.facts.update(line["facts"])
            return
        phase = Phase(line["phase"])
        _end(
            attempt,
            phase,
            int(line.get("cost_micros", 0)),
            exact=line.get("exact", True),
            reason=line.get("reason", ""),
        )
        attempt.in_trouble = line.get("in_trouble", False)
        if phase is Phase.OUTCOME:
            self._outcomes[attempt.call] = Receipt(**{each.name: line[each.name] for each in fields(Receipt)})


def _end(attempt: Attempt, phase: Phase, cost_micros: int, *, exact: bool, reason: str = "") -> None:
    attempt.phase, attempt.cost_micros, attempt.exact, attempt.reason = phase, cost_micros, exact, reason


def digest(*inputs: object) -> str:
    """A hash of what a call depends on: records, plain values, and files by their content."""
    text = json.dumps(inputs, default=_plain, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return sha256_of(value)
    # What is as it would be unasked is left out: a field that a later version adds must not buy everything again.
    if is_dataclass(value) and not isinstance(value, type):
        named = ((each, getattr(value, each.name)) for each in fields(value))
        return {each.name: found for each, found in named if found != each.default}
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return dump(mode="json", exclude_defaults=True)
    raise TypeError(f"cannot hash a {type(value).__name__}")
