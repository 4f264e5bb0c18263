"""What the shop still has to do for an order - a letter, a refund - as a file in ``jobs/.errands/``.

An errand is on the disk before what it follows from is told to anybody; whoever comes first works it off: the thread of
``downstream serve``, or the next ``downstream process``. What an errand does leaves a receipt in the stream's
``shop.jsonl``, so it is done once however often it is begun.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from downstream.files import private_folder, write_durably

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pydantic import JsonValue

CONFIRM = "confirm"
"""The letter that says: we have your order."""
PAYMENT_FAILED = "payment_failed"
"""The letter that says: your bank did not pay."""
REFUND = "refund"
"""The money goes back, all that is left of it."""
REFUNDED = "refunded"
"""The job says so, and the customer gets a letter where the refund was ours."""

FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Errand:
    """One thing to do for one order."""

    stream_id: str
    kind: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    tries: int = 0


def put(home: Path, stream_id: str, kind: str, now: datetime, **facts: JsonValue) -> None:
    """The errand is on the disk and will be done. Only who is ``changing`` the order may put it.

    A letter that one waiting for the same was to send is still sent.
    """
    waiting = find(home, stream_id, kind)
    promised = {name: True for name, fact in waiting.facts.items() if fact is True} if waiting else {}
    _save(home, Errand(stream_id, kind, {**facts, **promised}), now)


def due(home: Path, now: datetime) -> Iterator[Errand]:
    """The errands whose time has come."""
    for errand, not_before in _all(home):
        # A clock that was set back must not put it off for long.
        if not_before is None or not_before <= now or not_before - now > LONGEST_WAIT:
            yield errand


def all_waiting(home: Path) -> list[Errand]:
    """Every errand, whether or not its time has come."""
    return [errand for errand, _ in _all(home)]


def find(home: Path, stream_id: str, kind: str) -> Errand | None:
    """The errand as it is to be done now; None when it is not, or not any more."""
    found = _read(home, stream_id, kind)
    return found[0] if found else None


def is_waiting(home: Path, errand: Errand) -> bool:
    """It is still to be done."""
    return _path(home, errand).exists()


def put_off(home: Path, errand: Errand, now: datetime) -> None:
    """It waits for a later try, twice as long each time."""
    wait = min(FIRST_WAIT * 2 ** min(errand.tries, 10), LONGEST_WAIT)
    _save(home, Errand(errand.stream_id, errand.kind, errand.facts, errand.tries + 1), now + wait)


def wake(home: Path, stream_id: str, kind: str) -> None:
    """The errand, if it waits, is due, also in a pass that has begun. Only who is ``changing`` the order may do it."""
    waiting = find(home, stream_id, kind)
    if waiting is not None:
        _save(home, waiting, datetime.fromtimestamp(0, UTC))


def done(home: Path, errand: Errand) -> None:
    """Nothing is left to do. Losing this to a power cut does it again, which its receipt makes harmless."""
    _path(home, errand).unlink(missing_ok=True)


def give_up(home: Path, errand: Errand) -> None:
    """It cannot be done; it is kept beside the others as ``.refused``."""
    path = _path(home, errand)
    path.rename(path.with_suffix(".refused"))


def is_empty(home: Path) -> bool:
    """Nothing is to be done."""
    folder = _folder(home)
    return not folder.is_dir() or not any(path.suffix == ".json" for path in folder.iterdir())


def _all(home: Path) -> Iterator[tuple[Errand, datetime | None]]:
    """What ``_read`` says of each errand, as they are reached."""
    folder = _folder(home)
    for path in sorted(folder.glob("[!.]*.json")) if folder.is_dir() else ():
        stream_id, _, kind = path.stem.partition(".")
        found = _read(home, stream_id, kind)
        if found:
            yield found


def _read(home: Path, stream_id: str, kind: str) -> tuple[Errand, datetime | None] | None:
    """The errand, and the time it waits for; None when there is none."""
    try:
        found = json.loads(_path(home, Errand(stream_id, kind)).read_bytes())
        errand = Errand(stream_id, kind, dict(found["facts"]), int(found["tries"]))
        return errand, datetime.fromisoformat(found["not_before"])
    except FileNotFoundError:
        return None
    except (ValueError, LookupError, TypeError):
        return Errand(stream_id, kind), None  # it says by its name what is to be done


def _save(home: Path, errand: Errand, not_before: datetime) -> None:
    private_folder(_folder(home))
    document = {"not_before": not_before.isoformat(), "tries": errand.tries, "facts": dict(errand.facts)}
    write_durably(_path(home, errand), json.dumps(document, indent=1).encode())


def _folder(home: Path) -> Path:
    return home / "jobs" / ".errands"


def _path(home: Path, errand: Errand) -> Path:
    return _folder(home) / f"{errand.stream_id}.{errand.kind}.json"
