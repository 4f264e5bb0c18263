"""Orders on the disk: as drafts in ``streams/.drafts/{stream_id}.json``, once they are jobs in their stream's folder.

The secret in a customer's link is random; the stream's id is a hash of it. So the file is found without an index, and
the id, which stands in many places, opens nothing.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
from base64 import b32encode
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pydantic import ValidationError

from downstream.domain.errors import PersonDecides, TryAgain
from downstream.domain.names import is_stream_id
from downstream.domain.order import Checkout, Order, Typed
from downstream.domain.record import explain
from downstream.files import private_folder, sweep, sync_folder, write_durably
from downstream.locks import Lock
from downstream.queue import Queue

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DRAFT_DAYS = 14
"""How long an order that nobody paid for is kept after it was last changed."""
LONGEST_PENDING_DAYS = 45
"""How long one is kept whose payment is under way: bank transfers take days, and may be given up without a word."""
MOST_DRAFTS = 5000
"""More than these many at once are not customers."""
_SECRET = re.compile(r"[A-Za-z0-9_-]{20,64}\Z")


class TooManyDrafts(TryAgain):
    """There is no room for another draft."""


def stream_id_of(secret: str) -> str:
    """The order that ``secret`` opens: 80 bits of its hash, in letters and digits that make a host name, too."""
    return "s" + b32encode(hashlib.sha256(secret.encode()).digest()[:10]).decode().lower()


def _may_be_paid(checkout: Checkout, now: datetime) -> bool:
    return checkout.ended == "pending" or (not checkout.ended and checkout.expires_at > now)


class Orders:
    """All orders below ``home``."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def begin(self, typed: Typed, now: datetime) -> Order:
        """A new draft is on the disk.

        Raises:
            TooManyDrafts: there are too many already.
        """
        if sum(1 for _ in self.drafts()) >= MOST_DRAFTS:
            raise TooManyDrafts("there are too many drafts", wait_seconds=3600)
        secret = secrets.token_urlsafe(24)
        order = Order(stream_id=stream_id_of(secret), secret=secret, created_at=now, changed_at=now, typed=typed)
        with self.changing(order.stream_id):
            self.save(order)
        return order

    def find(self, secret: str) -> Order | None:
        """The order that the secret in a customer's link opens."""
        if not _SECRET.match(secret):
            return None
        order = self.read(stream_id_of(secret))
        return order if order is not None and secrets.compare_digest(order.secret, secret) else None

    def read(self, stream_id: str) -> Order | None:
        """The order of that id, None when the shop does not know it.

        Raises:
            PersonDecides: its file was changed into something that is no order.
        """
        if not is_stream_id(stream_id):
            return None
        # A draft that became a job lies in both places for a moment: the job's is the newer one.
        for path in (self._kept(stream_id), self._draft(stream_id)):
            try:
                return Order.model_validate_json(path.read_bytes())
            except FileNotFoundError:
                continue
            except ValidationError as error:
                raise PersonDecides(f"{path.relative_to(self.home)}: {explain(error)}") from None
        return None

    def save(self, order: Order) -> None:
        """The order is on the disk; a power cut cannot undo it. Only who is ``changing`` it may save it."""
        if order.ordered_at is None:
            private_folder(self._drafts)
            write_durably(self._draft(order.stream_id), order.to_json())
            return
        private_folder(self._kept(order.stream_id).parent)
        write_durably(self._kept(order.stream_id), order.to_json())
        with suppress(FileNotFoundError):
            self._draft(order.stream_id).unlink()
            sync_folder(self._drafts)

    @contextmanager
    def changing(self, stream_id: str) -> Iterator[None]:
        """Nobody else changes the order (its file, its shop receipts) meanwhile.

        This is not the stream's lock, which whoever makes the page may hold for an hour.
        """
        with Lock.wait(self.home / "streams" / stream_id / "shop.lock"):
            yield

    def drafts(self) -> Iterator[str]:
        """The stream ids of the orders that are no jobs yet."""
        if self._drafts.is_dir():
            yield from (path.stem for path in self._drafts.iterdir() if path.suffix == ".json" and path.name[0] != ".")

    def expire(self, now: datetime) -> list[str]:
        """Drafts that were not touched for long are gone; returns their ids.

        One with a payment under way is kept longer; a payment that comes later still makes a job, for a person.
        """
        self._sweep(now)
        gone = []
        for stream_id in list(self.drafts()):
            with suppress(FileNotFoundError):
                age = now - datetime.fromtimestamp(self._draft(stream_id).stat().st_mtime, UTC)
                if age > timedelta(days=DRAFT_DAYS) and self._expire(stream_id, now):
                    gone.append(stream_id)
        return gone

    def erase_draft(self, stream_id: str) -> None:
        """Nothing is left of a draft. Only who is ``changing`` it may do this, and only while it is no job."""
        with suppress(FileNotFoundError):
            self._draft(stream_id).unlink()
            sync_folder(self._drafts)
        shutil.rmtree(self.home / "streams" / stream_id, ignore_errors=True)

    def _sweep(self, now: datetime) -> None:
        """What a killed writer left half written, among files of which each has a name of its own, is gone."""
        for folder in (self._drafts, *self.home.glob("jobs/*/"), *self.home.glob("logs/*/")):
            sweep(folder, now)

    def _expire(self, stream_id: str, now: datetime) -> bool:
        with self.changing(stream_id):
            order = self.read(stream_id)
            is_job = Queue(self.home).find(stream_id) is not None  # of a run that was killed before it said so here
            if order is None or order.ordered_at is not None or is_job:
                return False
            may_be_paid = any(_may_be_paid(checkout, now) for checkout in order.checkouts)
            limit = LONGEST_PENDING_DAYS if may_be_paid else DRAFT_DAYS
            if now - order.changed_at <= timedelta(days=limit):
                return False
            self.erase_draft(stream_id)
            return True

    @property
    def _drafts(self) -> Path:
        return self.home / "streams" / ".drafts"

    def _draft(self, stream_id: str) -> Path:
        return self._drafts / f"{stream_id}.json"

    def _kept(self, stream_id: str) -> Path:
        return self.home / "streams" / stream_id / "order.json"
