"""``downstream forget``: nothing is left of a customer's order but what tax law asks for, and a proof of it.

The proof is written first, as begun: from then on no webhook makes a job of that order again, and a run that was killed
is carried on by the next. Outside services come before our own files, since afterwards nobody knows what is where.
"""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from downstream.domain.errors import Misconfigured, PersonDecides, TryAgain
from downstream.domain.forgotten import Erased, KeptPayment, Proof
from downstream.domain.job import What
from downstream.domain.money import Money
from downstream.domain.ports import Published
from downstream.domain.state import State
from downstream.files import sync_folder
from downstream.holds import DISPUTED, find_hold
from downstream.job_file import Unreadable
from downstream.locks import Lock
from downstream.queue import Busy, NoSuchJob
from downstream.shop import errands
from downstream.shop.orders import LONGEST_PENDING_DAYS
from downstream.shop.places import LOCKS, check_name, places, services_of
from downstream.shop.proofs import holds_any, read_proof, save_proof, search_logs
from downstream.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from downstream.domain.job import Job
    from downstream.domain.order import Order, Typed
    from downstream.domain.ports import Hosting
    from downstream.shop.places import Place
    from downstream.shop.shop import Shop

HOST = "vercel"
"""Who has pages that must be taken down."""
_NOT_YET = "not done yet"
_SAID = {
    HOST: _NOT_YET,
    "gemini": "got the text and the pictures within calls, and keeps nothing that can be deleted from here",
    "claude": "got the text within calls, and keeps nothing that can be deleted from here",
    "minimax": "Replicate deletes what it was given and what it made by itself, within the hour; pictures that were "
    "handed in expire there",
    "smtp": "letters that were sent cannot be called back; the mail service's own log, and answers in your mailbox, "
    "are yours to delete",
    "stripe": "keeps the payment, as tax law asks; how to redact the customer there: "
    "https://docs.stripe.com/privacy/redaction",
}
"""Service to what is true of what it was given."""
_KEPT_BECAUSE = (
    "Records of payments must be kept for tax (in the EU for up to ten years, GDPR Article 17(3)(b)). The events in "
    "logs/stripe and the entries in logs/ledger are part of them; they hold ids, amounts and moments, nothing personal."
)
SHORTEST_TITLE = 10
"""A shorter one is a word that stands in many places."""


@dataclass(frozen=True, slots=True)
class Found:
    """What there is of an order at one moment."""

    stream_id: str
    state: State | None
    job: Job | None
    order: Order | None
    title: str
    places: list[Place]
    before: Proof | None
    """Of an earlier run."""

    @property
    def is_begun(self) -> bool:
        """A run that forgets the order was cut off."""
        return self.before is not None and self.before.status == "begun"

    @property
    def amounts(self) -> dict[str, Erased]:
        """Kind of file to how much there is of it."""
        found: dict[str, Erased] = {}
        for place in self.places:
            sizes = list(place.sizes())
            before = found.get(place.kind, Erased(files=0, size_bytes=0))
            found[place.kind] = Erased(files=before.files + len(sizes), size_bytes=before.size_bytes + sum(sizes))
        return found

    @property
    def payments(self) -> tuple[KeptPayment, ...]:
        """What was paid for it, as the books need it."""
        payment = KeptPayment.of(self.job, self.order.paid if self.order else None)
        return (payment,) if payment else ()

    @property
    def address(self) -> str:
        """The customer's e-mail address, as far as it is known."""
        return self.job.customer_email if self.job else self._offered.email if self._offered else ""

    @property
    def words(self) -> list[str]:
        """What must stand in no log: the address, the secret of the link, and the title."""
        secret = self.order.secret if self.order else ""
        return [self.address, secret, self.title if len(self.title) >= SHORTEST_TITLE else ""]

    @property
    def _offered(self) -> Typed | None:
        return (self.order.offered or self.order.typed) if self.order else None


def look(shop: Shop, stream_id: str) -> Found:
    """What there is of an order that may be forgotten.

    Raises:
        NoSuchJob: there is nothing of that name.
        PersonDecides, TryAgain: something is still owed to somebody; the text names the next step.
        Unreadable, StillWritten: its job file is none, so nobody knows whether it was paid for.
    """
    check_name(stream_id)
    before = read_proof(shop.home, stream_id)
    state = shop.queue.find(stream_id)
    job = order = None
    if before is None or before.status == "done":
        job = shop.queue.read(state, f"{stream_id}.json") if state else None
        order = shop.orders.read(stream_id)
    else:
        with suppress(Unreadable, FileNotFoundError):
            job = shop.queue.read(state, f"{stream_id}.json") if state else None
    title = _title(Workspace(shop.home, stream_id).root / "input.json")
    found = Found(stream_id, state, job, order, title, places(shop.home, stream_id, job), before)
    if found.is_begun:
        return found
    if not found.places:
        raise NoSuchJob(f"{stream_id} (forgotten before)" if before else stream_id)
    _check_settled(shop, found)
    return found


def forget(
    shop: Shop,
    stream_id: str,
    hosting: Callable[[], Hosting | None],
    check: Callable[[Found], None] = lambda _: None,
) -> Proof:
    """Nothing of the order is left here or at the host, and the proof is on the disk.

    ``hosting`` gives the outside host, None while its keys are not set. ``check`` is called when nobody else can change
    the order any more, and raises to keep it. A run that was killed is carried on.

    Raises:
        As ``look`` and ``check``, and:
        Busy: somebody works on it.
        Misconfigured: a key is missing that is needed to take something back.
        TryAgain: a service does not answer: run it again.
    """
    look(shop, stream_id)
    with shop.orders.changing(stream_id), _in_hand(shop.home, stream_id) as root:
        found = look(shop, stream_id)
        check(found)
        proof = found.before if found.before and found.is_begun else _begun(shop, found, hosting)
        proof = _outside(shop, found, proof, hosting)
        _erase(found.places)
        shop.queue.waiting()  # writes the index of what waits anew, without this order
        if places(shop.home, stream_id, None):
            raise TryAgain(f"something was written for {stream_id} meanwhile: downstream forget {stream_id}")
        remove_folder(root)
        proof = save_proof(shop.home, proof.model_copy(update={"status": "done", "done_at": shop.clock()}))
    shop.log.info("order.forgotten", stream=stream_id)
    return proof


def tell(found: Found) -> Iterator[str]:
    """What will go and what stays, line by line."""
    where = f"jobs/{found.state}" if found.state else "no folder of jobs"
    yield f"{found.stream_id} in {where}" + (", begun before" if found.is_begun else "")
    for kind, much in sorted(found.amounts.items()):
        yield f"  erased: {kind} ({much.files} file(s), {much.size_bytes:,} bytes)"
    for payment in found.payments:
        amount, back = (Money(payment.currency, each) for each in (payment.amount_minor, payment.refunded_minor))
        yield f"  kept for tax: {amount} paid, {back} given back"


def others_of(home: Path, found: Found) -> list[str]:
    """The other orders with the same address: each is forgotten by itself."""
    if not found.address:
        return []
    paths = [*home.glob("jobs/[a-z]*/[!.]*.json"), *home.glob("streams/.drafts/[!.]*.json")]
    theirs = {path.name.partition(".")[0] for path in paths if holds_any(path, [found.address])}
    return sorted(theirs - {found.stream_id})


def _title(path: Path) -> str:
    try:
        return str(json.loads(path.read_bytes())["title"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""


# --- may it be forgotten? ----------------------------------------------------------------------------------------


def _check_settled(shop: Shop, found: Found) -> None:
    stream_id, order = found.stream_id, found.order
    held = find_hold(shop.home, stream_id)
    if held is not None and DISPUTED in held.kinds:
        raise PersonDecides(
            f"the payment of {stream_id} is disputed, and what is here may be the evidence: wait until it is closed, "
            f"then downstream release {stream_id}"
        )
    for kind in (errands.REFUND, errands.REFUNDED):
        if errands.is_waiting(shop.home, errands.Errand(stream_id, kind)):
            raise TryAgain(f"the refund of {stream_id} is under way: downstream process carries it out; then again")
    oldest = shop.clock() - timedelta(days=LONGEST_PENDING_DAYS)
    if any(one.ended == "pending" and one.opened_at > oldest for one in (order.checkouts if order else ())):
        raise PersonDecides(f"a payment for {stream_id} is under way at the bank: wait until it has come or failed")
    if found.job is None:
        if order is not None and order.paid is not None:
            raise PersonDecides(f"{stream_id} is paid and its job is missing: downstream reconcile")
        return
    if _is_owed(found.job, found.state):
        raise PersonDecides(
            f"{stream_id} is paid and neither delivered nor refunded: finish it, or downstream refund {stream_id} "
            f"first. If its money went back in another way, set paid_amount to 0 in jobs/{found.state}/{stream_id}.json"
        )


def _is_owed(job: Job, state: State | None) -> bool:
    """The customer has paid, and has got neither the page nor the money."""
    is_delivered = state is State.COMPLETED or job.is_delivered
    return job.is_paid and not is_delivered and not (state is State.FAILED and job.is_given_back)


# --- the proof ---------------------------------------------------------------------------------------------------


def _begun(shop: Shop, found: Found, hosting: Callable[[], Hosting | None]) -> Proof:
    """The proof is on the disk, with everything that nobody will know later; payment pages are closed."""
    services = services_of(shop.home, found.stream_id)
    if HOST in services:
        _host(hosting, found.stream_id)
    _close_payment_pages(shop, found)
    now, before = shop.clock(), found.before
    erased = dict(before.erased) if before else {}
    for kind, more in found.amounts.items():
        had = erased.get(kind, Erased(files=0, size_bytes=0))
        erased[kind] = Erased(files=had.files + more.files, size_bytes=had.size_bytes + more.size_bytes)
    kept = tuple(dict.fromkeys([*(before.kept if before else ()), *found.payments]))
    mentioned_in, searched = search_logs(shop.home, found.words)
    proof = Proof(
        stream_id=found.stream_id,
        status="begun",
        command=f"downstream forget {found.stream_id}",
        begun_at=now,
        erased=erased,
        outside={name: said for name, said in _SAID.items() if name in services},
        kept=kept,
        kept_until=max((payment.kept_until(now.date()) for payment in kept), default=None),
        kept_because=_KEPT_BECAUSE if kept else "",
        mentioned_in=mentioned_in,
        files_searched=searched,
    )
    return save_proof(shop.home, proof)


# --- outside services --------------------------------------------------------------------------------------------


def _close_payment_pages(shop: Shop, found: Found) -> None:
    """Nobody can pay for the order any more."""
    for checkout in found.order.checkouts if found.order else ():
        if checkout.ended:
            continue
        if shop.payments is not None:
            session = shop.payments.close_checkout(checkout.session_id)
            if session.status == "complete":
                raise TryAgain(f"{found.stream_id} was paid for just now: downstream reconcile, then look again")
        elif checkout.expires_at > shop.clock():
            raise Misconfigured(
                f"{found.stream_id} can be paid for until {checkout.expires_at:%Y-%m-%d %H:%M %Z}; to close its "
                "payment page STRIPE_API_KEY is needed"
            )


def _outside(shop: Shop, found: Found, proof: Proof, hosting: Callable[[], Hosting | None]) -> Proof:
    """The page is taken down, and the proof says so."""
    if proof.outside.get(HOST) != _NOT_YET:
        return proof
    host = _host(hosting, found.stream_id)
    said = host.forget(found.stream_id)
    _check_not_shown(host, found)
    shop.log.info("host.forgot", stream=found.stream_id, said=said)
    return save_proof(shop.home, proof.model_copy(update={"outside": {**proof.outside, HOST: said}}))


def _host(hosting: Callable[[], Hosting | None], stream_id: str) -> Hosting:
    host = hosting()
    if host is None:
        raise Misconfigured(f"the page of {stream_id} was published, and the keys to take it down are not all set")
    return host


def _check_not_shown(host: Hosting, found: Found) -> None:
    """A visitor of the address does not see the page any more."""
    shown = [entry.evidence for entry in found.job.history if entry.what is What.PUBLISHED] if found.job else []
    if not shown:
        return
    published = Published(str(shown[-1].get("address")), str(shown[-1].get("version")))
    try:
        page = host.fetch(published, "")
    except TryAgain:
        return  # nothing is there
    if found.stream_id.encode() in page:
        raise TryAgain(f"{published.address} shows the page still; again in a minute")


# --- our own files -----------------------------------------------------------------------------------------------


@contextmanager
def _in_hand(home: Path, stream_id: str) -> Iterator[Path]:
    """Nobody else works on the order meanwhile; yields its folder."""
    root = Workspace(home, stream_id).root
    lock = Lock.take(root / "lock")
    if lock is None:
        raise Busy(stream_id)
    with lock:
        yield root


def _erase(found: Iterable[Place]) -> None:
    """Nothing is left in those places, and a power cut does not bring it back."""
    folders = set()
    for place in found:
        if place.path.is_dir() and not place.path.is_symlink():
            shutil.rmtree(place.path)
        else:
            place.path.unlink(missing_ok=True)
        folders.add(place.path.parent)
    for folder in folders:
        sync_folder(folder)


def remove_folder(root: Path) -> None:
    """The stream's folder is gone, unless somebody who waited for a lock has put a new one there."""
    for name in LOCKS:
        (root / name).unlink(missing_ok=True)
    with suppress(OSError):
        root.rmdir()
        sync_folder(root.parent)
