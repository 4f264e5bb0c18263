"""Where an order stands, as its customer may know it: read from the files, true at this moment."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from downstream.domain.job import GIVEN_UP, What
from downstream.domain.state import UNDELIVERED, State
from downstream.holds import CANCELLED, find_hold, is_restored
from downstream.job_file import StillWritten, Unreadable
from downstream.workspace import Workspace

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from downstream.domain.job import Job
    from downstream.domain.order import Order
    from downstream.shop.shop import Shop


class Stage(StrEnum):
    """What the status page says."""

    DRAFT = "draft"
    """Nobody has paid yet."""
    PAYMENT_PENDING = "payment_pending"
    """The customer has paid, and the bank has not (delayed payment methods)."""
    PAID = "paid"
    """It waits for its turn."""
    IN_PRODUCTION = "in_production"
    IN_REVIEW = "in_review"
    READY = "ready"
    DELAYED = "delayed"
    """A person looks at it, or its promised time has passed."""
    WITHDRAWN = "withdrawn"
    """Given up; what was paid goes back."""
    CANCELLED = "cancelled"
    """Given up from here; nothing is decided about the money."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One order at one moment; nothing in it is personal."""

    stage: Stage
    done: int = 0
    """Pieces of ``total`` that are made; both 0 while nothing is known."""
    total: int = 0
    promised_by: datetime | None = None
    address: str = ""
    """Where the page can be seen, once it is ready."""
    may_withdraw: bool = False
    """Nothing has been started yet."""
    is_demo: bool = False
    """Nobody paid for it."""
    is_free: bool = False
    """Nothing had to be paid for it: a demo, or a voucher."""


_GIVEN_UP = frozenset({Stage.WITHDRAWN, Stage.CANCELLED})
_SEGMENT = re.compile(r"[0-9]{2}(\.[a-z0-9]+)?\Z")
"""A segment's file or folder; the cast sheet and what is being written are none."""


def standing(shop: Shop, order: Order) -> Standing:
    """Where the order stands now."""
    if order.ordered_at is None:
        is_pending = any(checkout.ended == "pending" for checkout in order.checkouts)
        return Standing(Stage.PAYMENT_PENDING if is_pending else Stage.DRAFT, is_demo=shop.payments is None)
    state, job = _job(shop, order.stream_id)
    workspace = Workspace(shop.home, order.stream_id)
    stage = _stage(shop, order, state, job, workspace)
    done, total = (0, 0) if stage in _GIVEN_UP else _pieces(workspace)
    is_untouched = not is_begun(workspace) and not is_restored(shop.home, order.stream_id)
    return Standing(
        stage,
        done=done,
        total=total,
        promised_by=order.promised_by,
        address=_address(shop, job) if stage not in _GIVEN_UP else "",
        may_withdraw=state is State.PENDING and stage in {Stage.PAID, Stage.DELAYED} and is_untouched,
        is_demo=order.paid is None,
        is_free=order.paid is None or not order.paid.amount_minor,
    )


def is_begun(workspace: Workspace) -> bool:
    """Something was made or bought for the order."""
    try:
        return workspace.receipts.stat().st_size > 0
    except FileNotFoundError:
        return False


def _job(shop: Shop, stream_id: str) -> tuple[State | None, Job | None]:
    """The job and its folder; a job that moves meanwhile is looked for again."""
    for _ in range(3):
        state = shop.queue.find(stream_id)
        if state is None:
            continue
        try:
            return state, shop.queue.read(state, f"{stream_id}.json")
        except FileNotFoundError:
            continue
        except (StillWritten, Unreadable):
            return state, None
    return None, None


def _stage(shop: Shop, order: Order, state: State | None, job: Job | None, workspace: Workspace) -> Stage:
    held = find_hold(shop.home, order.stream_id)
    kinds = {held.kind if held else "", job.failure.kind if job and job.failure else ""}
    if state is State.COMPLETED and not kinds & GIVEN_UP:
        return Stage.READY
    if kinds & GIVEN_UP and state in {None, *UNDELIVERED}:
        goes_back = (kinds & GIVEN_UP) - {CANCELLED} or (job is not None and job.refunded_minor > 0)
        return Stage.WITHDRAWN if goes_back else Stage.CANCELLED
    is_late = order.promised_by is not None and shop.clock() > order.promised_by
    if state is State.COMPLETED:
        return Stage.READY
    if state is State.FAILED or held or is_late:
        return Stage.DELAYED
    if state is State.REVIEW:
        return Stage.IN_REVIEW
    if state is State.PROCESSING or is_begun(workspace):
        return Stage.IN_PRODUCTION
    return Stage.PAID


def _pieces(workspace: Workspace) -> tuple[int, int]:
    """How many pieces lie in the stream's folder, and how many there will be; nothing is known before the plan."""
    try:
        segments = len(json.loads(workspace.production.read_bytes())["segments"])
    except (OSError, ValueError, LookupError, TypeError):
        return 0, 0
    counts = [_count(workspace.root / name) for name in ("keyframes", "clips", "frames")]
    done = 1 + sum(min(count, segments) for count in counts) + workspace.page.exists()
    return done, 2 + 3 * segments


def _count(folder: Path) -> int:
    return sum(1 for path in folder.iterdir() if _SEGMENT.match(path.name)) if folder.is_dir() else 0


def _address(shop: Shop, job: Job | None) -> str:
    """Where the page stands, by the last thing that was shown; a page on this machine is shown by the shop itself."""
    shown = [entry for entry in job.history if entry.what in {What.PUBLISHED, What.UNDONE}] if job else []
    if job is None or not shown:
        return ""
    address = str(shown[-1].evidence.get("address", ""))
    if address.startswith("file:"):
        return f"{shop.settings.public_url}/streams/{job.stream_id}/"
    return address if address.startswith(("https://", "http://")) else ""
