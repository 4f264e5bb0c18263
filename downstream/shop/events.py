"""What the payment service tells us: kept, then carried out. Told twice, late or out of order, it comes to the same."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from downstream.alerts import told
from downstream.domain.errors import PersonDecides
from downstream.domain.payment import EventKind, Forged, PaymentEvent
from downstream.files import private_folder, write_durably
from downstream.holds import DISPUTED, PART_REFUNDED, REFUNDED, Hold, find_hold, hold
from downstream.locks import Lock
from downstream.shop import errands
from downstream.shop.fulfil import fulfil, stream_of_payment
from downstream.shop.proofs import is_forgotten

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from downstream.domain.payment import CheckoutSession
    from downstream.shop.shop import Shop

_NEEDS_A_PERSON = {EventKind.DISPUTE_CREATED, EventKind.DISPUTE_CLOSED, EventKind.REFUND_FAILED}
"""Also when the order is forgotten."""
_EVENT_ID = re.compile(r"evt_[A-Za-z0-9_]{1,100}\Z")


def receive(shop: Shop, body: bytes, signature: str) -> None:
    """What a signed message says is kept and carried out, both on the disk; only then may it be acknowledged.

    Raises:
        Forged: the payment service did not send it, or sent it too long ago.
        TryAgain, PersonDecides, OSError: not now; the service must call again.
    """
    if shop.payments is None:
        raise Forged("there is no payment service")
    event = shop.payments.read_event(body, signature)
    if not _EVENT_ID.match(event.event_id):
        raise Forged("its id is none")
    if event.kind is EventKind.OTHER or (event.session and not event.session.stream_id):
        return  # another product of the same account
    keep(shop, event)
    carry_out(shop, event, "webhook")


def keep(shop: Shop, event: PaymentEvent) -> None:
    """The event is on the disk without card data, names and addresses, to be carried out again by ``replay``."""
    path = _path(shop.home, event)
    if not path.exists():
        _write(path, json.dumps(event.kept, indent=1).encode())


def is_carried_out(shop: Shop, event: PaymentEvent) -> bool:
    """What it says of money was done here, to the end; what a person decided since stands."""
    return _mark_of(shop.home, event).exists()


def replay(shop: Shop) -> Iterator[PaymentEvent]:
    """Every event that was kept is carried out again, oldest first; what is done already stays done.

    Those of refunds and disputes only where that did not come to its end: since then a person may have let go.
    """
    payments = shop.payments
    if payments is None:
        return
    events = [payments.recall_event(json.loads(path.read_bytes())) for path in _kept(shop.home)]
    for event in sorted(events, key=lambda one: one.at):
        carry_out(shop, event, "replay")
        yield event


def carry_out(shop: Shop, event: PaymentEvent, found_by: str) -> bool:
    """What the event, which is kept, says is so here, too; True when that made a job.

    Raises:
        TryAgain, OSError: not now.
    """
    if event.session is not None:
        return _carry_out_session(shop, event.kind, event.session, found_by)
    if not is_carried_out(shop, event):
        _IN_MONEY[event.kind](shop, event)
        _write(_mark_of(shop.home, event), b"")
    return False


def session_found(shop: Shop, session: CheckoutSession, found_by: str) -> bool:
    """What became of that payment page is so here, too, as it was looked up now; True when that made a job."""
    if session.is_paid:
        return fulfil(shop, session, found_by)
    if session.status != "open":
        _mark(shop, session, "pending" if session.status == "complete" else "expired")
    return False


def _carry_out_session(shop: Shop, kind: EventKind, session: CheckoutSession, found_by: str) -> bool:
    if kind in {EventKind.COMPLETED, EventKind.ASYNC_SUCCEEDED}:
        if session.is_paid:
            return fulfil(shop, session, found_by)
        _mark(shop, session, "pending")
    elif kind is EventKind.ASYNC_FAILED and _mark(shop, session, "failed"):
        shop.log.warning("order.payment_failed", stream=session.stream_id)
    elif kind is EventKind.EXPIRED:
        _mark(shop, session, "expired")
    return False


def page_closed(shop: Shop, session: CheckoutSession) -> None:
    """The draft knows that nobody can pay at that page any more."""
    _mark(shop, session, "expired")


def _mark(shop: Shop, session: CheckoutSession, ended: str) -> bool:
    """The draft knows how that payment page ended; a job is no draft any more, and its payment stands."""
    with shop.orders.changing(session.stream_id):
        order = shop.orders.read(session.stream_id)
        if order is None or order.ordered_at is not None:
            return False
        now, known = shop.clock(), {one.session_id: one.ended for one in order.checkouts}
        # Events overtake each other: what is final stays.
        if known.get(session.session_id) not in {"", "pending"} or known[session.session_id] == ended:
            return False
        checkouts = tuple(
            one.model_copy(update={"ended": ended}) if one.session_id == session.session_id else one
            for one in order.checkouts
        )
        if ended == "failed":
            errands.put(shop.home, order.stream_id, errands.PAYMENT_FAILED, now, session=session.session_id)
        shop.orders.save(order.model_copy(update={"checkouts": checkouts, "changed_at": now}))
        return True


def _refunded(shop: Shop, event: PaymentEvent) -> None:
    """Money went back: nothing more is bought for the order until a person has looked; all of it: never again."""
    stream_id = _order_of(shop, event)
    if not stream_id:
        return
    kind = REFUNDED if event.is_full else PART_REFUNDED
    part = "" if event.is_full else "in part "
    held = Hold(stream_id, kind, f"its payment was refunded {part}at the payment service", _at(shop))
    _stop(shop, held, f"refunded.{stream_id}.{kind}", _told(stream_id, kind, f"was refunded {part}({event.amount})"))
    if event.is_full and event.amount is not None:
        with shop.orders.changing(stream_id):
            amount = event.amount
            errands.put(
                shop.home,
                stream_id,
                errands.REFUNDED,
                shop.clock(),
                amount_minor=amount.amount_minor,
                currency=amount.currency,
                letter=False,
            )


def _refund_begun(shop: Shop, event: PaymentEvent) -> None:
    if not event.by_us and event.outcome not in {"failed", "canceled"}:
        stream_id = _order_of(shop, event)
        if stream_id:
            held = Hold(stream_id, PART_REFUNDED, "a refund was begun at the payment service", _at(shop))
            said = _told(stream_id, PART_REFUNDED, "is being refunded")
            _stop(shop, held, f"refunded.{stream_id}.{PART_REFUNDED}", said)


def _refund_updated(shop: Shop, event: PaymentEvent) -> None:
    if event.outcome in {"failed", "canceled"}:
        _refund_failed(shop, event)


def _refund_failed(shop: Shop, event: PaymentEvent) -> None:
    stream_id = _order_of(shop, event)
    if stream_id:
        shop.tell(
            f"refund_failed.{event.refund_id}",
            f"{stream_id}: the refund of {event.amount} did not reach the customer; downstream refund {stream_id} "
            "tries again, or pay in another way",
        )


def _disputed(shop: Shop, event: PaymentEvent) -> None:
    stream_id = _order_of(shop, event)
    if stream_id:
        held = Hold(stream_id, DISPUTED, "the customer's bank disputes the payment", _at(shop))
        said = f"{_told(stream_id, DISPUTED, f'is disputed ({event.amount})')}. Answer it at the payment service"
        _stop(shop, held, f"disputed.{stream_id}", said)


def _dispute_closed(shop: Shop, event: PaymentEvent) -> None:
    stream_id = _order_of(shop, event)
    if stream_id:
        next_step = f"downstream release {stream_id} lets it go on" if event.outcome == "won" else "the money is gone"
        shop.tell(
            f"dispute_closed.{stream_id}.{event.outcome}",
            f"{stream_id}: the dispute was closed, {event.outcome}: {next_step}",
        )


_IN_MONEY: dict[EventKind, Callable[[Shop, PaymentEvent], None]] = {
    EventKind.CHARGE_REFUNDED: _refunded,
    EventKind.REFUND_CREATED: _refund_begun,
    EventKind.REFUND_UPDATED: _refund_updated,
    EventKind.REFUND_FAILED: _refund_failed,
    EventKind.DISPUTE_CREATED: _disputed,
    EventKind.DISPUTE_CLOSED: _dispute_closed,
}


def _stop(shop: Shop, held: Hold, fingerprint: str, sentence: str) -> None:
    """The order stands still, and the operator was told why, also when an earlier run was killed between the two."""
    if hold(shop.home, held):
        shop.log.warning("order.held", stream=held.stream_id, kind=held.kind)
    elif not _is_why(shop, held) or fingerprint in told(shop.home, fingerprint):
        return
    shop.tell(fingerprint, sentence)


def _is_why(shop: Shop, held: Hold) -> bool:
    """It stands still for just this; not, say, because we gave the money back ourselves."""
    found = find_hold(shop.home, held.stream_id)
    layers = found.layers if found is not None else ()
    return (held.kind, held.reason) in {(one.kind, one.reason) for one in layers}


def _at(shop: Shop) -> str:
    return shop.clock().isoformat(timespec="seconds")


def _told(stream_id: str, kind: str, what: str) -> str:
    if kind == REFUNDED:
        return f"{stream_id} {what}; nothing more is bought for it, and it goes to jobs/failed unless it is delivered"
    return f"{stream_id} {what}; nothing more is bought for it until downstream release {stream_id}"


def _order_of(shop: Shop, event: PaymentEvent) -> str:
    """The job that the payment made, or will make; empty when there is none, or none any more."""
    stream_id = _paid_for(shop, event)
    if not stream_id or not is_forgotten(shop.home, stream_id):
        return stream_id
    if event.kind in _NEEDS_A_PERSON:
        shop.tell(
            f"forgotten.{event.event_id}",
            f"{stream_id} is forgotten, and the payment service says of its payment: {event.kind.value} "
            f"({event.amount}). Look there; what is kept here is in logs/forgotten/{stream_id}.json",
        )
    return ""


def _paid_for(shop: Shop, event: PaymentEvent) -> str:
    """The order by our own files; told of a payment before its order, we look it up at the service."""
    known = stream_of_payment(shop.home, event.payment_intent) or event.stream_id
    if known or not event.payment_intent or shop.payments is None:
        return known
    try:
        return shop.payments.payment(event.payment_intent).stream_id
    except PersonDecides:
        return ""  # a payment of another kind


def _path(home: Path, event: PaymentEvent) -> Path:
    return home / "logs" / "stripe" / f"{event.at:%Y-%m}" / f"{event.event_id}.json"


def _mark_of(home: Path, event: PaymentEvent) -> Path:
    return _path(home, event).with_suffix(".done")


def _write(path: Path, data: bytes) -> None:
    """The file is on the disk, also when many are told the same at once."""
    with Lock.wait(private_folder(path.parent) / f".{path.stem}.lock") as lock:
        write_durably(path, data)
        lock.path.unlink(missing_ok=True)


def _kept(home: Path) -> list[Path]:
    return sorted((home / "logs" / "stripe").glob("[0-9]*/evt_*.json"))
