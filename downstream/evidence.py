"""What the files tell of one order, gathered for ``downstream explain``: read as they are, and nothing is changed."""

from __future__ import annotations

import difflib
import re
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pydantic import ValidationError

from downstream.domain.errors import Misconfigured, PersonDecides
from downstream.domain.job import Job, What
from downstream.domain.names import is_stream_id
from downstream.domain.order import Order
from downstream.domain.state import UNDER_WAY, State
from downstream.events_of import Logs
from downstream.holds import Hold, find_hold
from downstream.job_file import StillWritten, Unreadable
from downstream.overview import recorded
from downstream.queue import Queue
from downstream.settings import Settings, read_environment, read_settings
from downstream.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from downstream.domain.job import Entry
    from downstream.events_of import Event
    from downstream.receipts import Attempt

_OF_THE_PAYMENT_SERVICE = re.compile(r"(pi|cs|evt)_[A-Za-z0-9_]{1,250}\Z")
_MOST_SIMILAR = 5


class UnknownOrder(Exception):  # noqa: N818 - a finding about a name, not an error of the program
    """No order has that name; the text says which names are like it."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """One thing that is so, and the file that shows it (relative to the installation's folder)."""

    about: str
    """``where``, ``made``, ``next``, ``held up``, ``money``, ``promise``, ``customer`` or ``you``."""
    says: str
    evidence: str

    def __str__(self) -> str:
        """As a person reads it."""
        return f"{self.says}. [{self.evidence}]"


@dataclass(frozen=True)
class Case:
    """One order at one moment."""

    home: Path
    stream_id: str
    now: datetime
    settings: Settings
    trouble_with_settings: str = ""
    state: State | None = None
    """The folder its job lies in; None while it is no job."""
    job: Job | None = None
    trouble_with_job: str = ""
    """Why the file in that folder cannot be read as a job."""
    order: Order | None = None
    """What the shop knows of it."""
    is_draft: bool = False
    hold: Hold | None = None
    attempts: Sequence[Attempt] = ()
    """Its calls, in order."""
    letters: Sequence[Attempt] = ()
    """The shop's letters and refunds, in order."""
    events: Sequence[Event] = field(default_factory=tuple)
    """What the logs tell of it, in order."""

    @property
    def job_file(self) -> str:
        """Where its job lies, relative to the installation's folder."""
        return f"jobs/{self.state}/{self.stream_id}.json" if self.state else "jobs"

    @property
    def folder(self) -> str:
        """The stream's folder, relative to the installation's folder."""
        return f"streams/{self.stream_id}"

    @property
    def order_file(self) -> str:
        """What the shop keeps of it."""
        return f"streams/.drafts/{self.stream_id}.json" if self.is_draft else f"{self.folder}/order.json"

    @property
    def is_open(self) -> bool:
        """It is a job that is neither delivered nor given up."""
        return self.state in UNDER_WAY

    @property
    def last_move(self) -> Entry | None:
        """How it came to the folder it lies in; None where its history does not tell."""
        moves = [entry for entry in (self.job.history if self.job else ()) if entry.what is What.MOVED]
        return moves[-1] if moves and moves[-1].target is self.state else None


def read_case(home: Path, stream_id: str, now: datetime, environment: Mapping[str, str]) -> Case:
    """Everything that is known of that order now."""
    settings, trouble = _settings(home, environment)
    case = Case(home, stream_id, now, settings, trouble_with_settings=trouble)
    case = _with_job(case)
    draft = home / "streams" / ".drafts" / f"{stream_id}.json"
    kept = home / case.folder / "order.json"
    return replace(
        case,
        order=_order(kept) or _order(draft),
        is_draft=not kept.exists() and draft.exists(),
        hold=find_hold(home, stream_id),
        attempts=_attempts(case, "receipts.jsonl"),
        letters=_attempts(case, "shop.jsonl"),
        events=Logs(home, stream_id).news(),
    )


def resolve(home: Path, given: str) -> str:
    """The stream id that was meant: itself, or the order that a payment of the payment service was for.

    Raises:
        UnknownOrder: there is no such order.
    """
    if _OF_THE_PAYMENT_SERVICE.match(given) and (found := _paid_by(home, given)):
        return found
    if is_stream_id(given) and given in set(_names(home)):
        return given
    similar = difflib.get_close_matches(given, sorted(set(_names(home))), _MOST_SIMILAR)
    hint = f"similar: {', '.join(similar)}" if similar else "see downstream status"
    raise UnknownOrder(f"there is no such order: {given[:80]!r}; {hint}")


def _with_job(case: Case) -> Case:
    queue = Queue(case.home)
    for _ in range(3):  # it may move on while it is looked for
        state = queue.find(case.stream_id)
        if state is None:
            return case
        with suppress(FileNotFoundError):
            try:
                return replace(case, state=state, job=queue.read(state, f"{case.stream_id}.json"))
            except StillWritten:
                return replace(case, state=state, trouble_with_job="it breaks off in the middle: still being written?")
            except Unreadable as why:
                return replace(case, state=state, trouble_with_job=str(why))
    return case


def _settings(home: Path, environment: Mapping[str, str]) -> tuple[Settings, str]:
    """The settings, or the defaults and what is wrong with those that are set."""
    try:
        return read_settings(read_environment(home, environment)), ""
    except Misconfigured as error:
        return Settings(), str(error)


def _order(path: Path) -> Order | None:
    with suppress(OSError, ValidationError):
        return Order.model_validate_json(path.read_bytes())
    return None


def _attempts(case: Case, name: str) -> Sequence[Attempt]:
    with suppress(PersonDecides, OSError), recorded(Workspace(case.home, case.stream_id), name) as receipts:
        return receipts.attempts
    return ()


def _names(home: Path) -> Iterator[str]:
    """Everything that has the name of an order: jobs, drafts, stories, and what was forgotten."""
    folders = [home / "jobs" / state for state in State]
    folders += [home / "streams" / ".drafts", home / "logs" / "forgotten"]
    for folder in folders:
        if folder.is_dir():
            yield from (path.stem for path in folder.iterdir() if path.suffix == ".json" and path.name[0] != ".")
    streams = home / "streams"
    yield from (path.name for path in streams.iterdir() if (path / "input.json").exists() and path.name[0] != ".")


def _paid_by(home: Path, given: str) -> str:
    """The order of a payment intent, or of a payment page, by our own files; empty when none is known."""
    with suppress(OSError, UnicodeDecodeError):
        return (home / "streams" / ".payments" / given).read_text("ascii")
    wanted = f'"{given}"'.encode()
    for path in [*(home / "streams").glob("*/order.json"), *(home / "streams" / ".drafts").glob("[!.]*.json")]:
        with suppress(OSError):
            if wanted in path.read_bytes():
                return path.parent.name if path.name == "order.json" else path.stem
    return ""
