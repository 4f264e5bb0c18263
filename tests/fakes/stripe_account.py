"""What happens in a Stripe account: pages are opened and paid, money goes back, banks take it back."""

from __future__ import annotations

from threading import Event, RLock
from typing import TYPE_CHECKING, Any, Literal

from fakes.stripe_webhooks import Webhooks, new_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LONGEST_SECONDS = 24 * 3600
Document = dict[str, Any]


class Account(Webhooks):
    """Stripe's objects as its interface shows them, by their ids, and what customers, banks and owners do to them."""

    def __init__(self, *, webhook_url: str, webhook_secret: str, now: Callable[[], float]) -> None:
        super().__init__(webhook_url=webhook_url, webhook_secret=webhook_secret, now=now)
        self.sessions: dict[str, Document] = {}
        self.intents: dict[str, Document] = {}
        self.charges: dict[str, Document] = {}
        self.refunds: dict[str, Document] = {}
        self.disputes: dict[str, Document] = {}
        self.page_url = ""
        """Where the pages are that customers pay at."""
        self._intent_metadata: dict[str, dict[str, str]] = {}
        """What the payment of a session will carry, by the session's id."""
        self._lock = RLock()

    # Payment pages

    def open_session(self, form: Mapping[str, Any]) -> Document:
        """A page to pay at, as ``form`` (the parameters of the interface) wants it."""
        item, now = form["line_items"][0], int(self.now())
        total = item["price_data"]["unit_amount"] * item.get("quantity", 1)
        session_id = new_id("cs_test")
        session = {
            "id": session_id,
            "object": "checkout.session",
            "mode": form["mode"],
            "status": "open",
            "payment_status": "unpaid",
            "payment_intent": None,
            "url": f"{self.page_url}/c/pay/{session_id}",
            "amount_subtotal": total,
            "amount_total": total,
            "currency": item["price_data"]["currency"],
            "client_reference_id": form.get("client_reference_id"),
            "customer": None,
            "customer_email": form.get("customer_email"),
            "customer_details": None,
            "metadata": dict(form.get("metadata", {})),
            "success_url": form.get("success_url"),
            "cancel_url": form.get("cancel_url"),
            "expires_at": form.get("expires_at", now + LONGEST_SECONDS),
            "created": now,
            "livemode": False,
            "ui_mode": "hosted_page",
            "payment_method_types": ["card"],
        }
        with self._lock:
            self.sessions[session_id] = session
            self._intent_metadata[session_id] = dict(form.get("payment_intent_data", {}).get("metadata", {}))
        return session

    def session_of_another_product(self, amount: int = 990) -> Document:
        """A session that something else sold by the same account; not paid yet."""
        price = {"currency": "eur", "unit_amount": amount, "product_data": {"name": "A mug"}}
        return self.open_session(
            {
                "mode": "payment",
                "line_items": [{"quantity": 1, "price_data": price}],
                "client_reference_id": "mug-1",
                "success_url": "https://mugs.example/thanks",
            }
        )

    def pay(
        self,
        session_id: str,
        *,
        method: Literal["card", "delayed"] = "card",
        amount: int | None = None,
        currency: str = "",
        email: str = "",
    ) -> Document:
        """The customer has finished; with a delayed method the money comes later (``settle``), or never.

        ``amount`` and ``currency`` are what is paid instead of what was asked (0: a voucher), ``email`` what the
        customer typed. Returns the session.
        """
        self._finish(session_id, method=method, amount=amount, currency=currency, email=email)
        return self.sessions[session_id]

    def settle(self, session_id: str, *, succeeded: bool = True) -> Document:
        """The bank says how a delayed payment ended. Returns the session."""
        with self._lock:
            session = self.sessions[session_id]
            intent = self.intents[session["payment_intent"]]
            charge = self.charges[intent["latest_charge"]]
            _need(intent["status"] == "processing", f"the payment of {session_id} is {intent['status']}")
            if succeeded:
                session["payment_status"] = "paid"
            _conclude(intent, charge, "succeeded" if succeeded else "failed")
        ended = "succeeded" if succeeded else "failed"
        self._happened(f"checkout.session.async_payment_{ended}", session)
        return session

    def expire(self, session_id: str) -> Document:
        """Nobody can pay there any more. Returns the session."""
        with self._lock:
            session = self.sessions[session_id]
            _need(session["status"] == "open", f"{session_id} is {session['status']}")
            session |= {"status": "expired", "url": None}
        self._happened("checkout.session.expired", session)
        return session

    def expire_overdue(self) -> None:
        """Every open page whose time is up has expired."""
        with self._lock:
            open_ones = [each for each in self.sessions.values() if each["status"] == "open"]
            for session in open_ones:
                if session["expires_at"] <= self.now():
                    self.expire(session["id"])

    def _finish(
        self, session_id: str, *, method: str, amount: int | None = None, currency: str = "", email: str = ""
    ) -> Event:
        """The session is complete. Returns what is set once the endpoint was told of it."""
        with self._lock:
            session = self.sessions[session_id]
            _need(session["status"] == "open", f"{session_id} is {session['status']}")
            session |= {"status": "complete", "url": None, "currency": currency or session["currency"]}
            if amount is not None:
                session["amount_total"] = amount
            address = email or session["customer_email"] or "somebody@example.com"
            session["customer_details"] = _person(address)
            if session["amount_total"] == 0:
                session["payment_status"] = "no_payment_required"
            else:
                self._take_payment(session, method)
            return self._happened("checkout.session.completed", session)

    def _take_payment(self, session: Document, method: str) -> None:
        intent = {
            "id": new_id("pi"),
            "object": "payment_intent",
            "amount": session["amount_total"],
            "amount_received": 0,
            "currency": session["currency"],
            "created": int(self.now()),
            "livemode": False,
            "customer": None,
            "metadata": self._intent_metadata[session["id"]],
            "receipt_email": session["customer_details"]["email"],
        }
        charge = {
            "id": new_id("ch"),
            "object": "charge",
            "amount": intent["amount"],
            "amount_refunded": 0,
            "refunded": False,
            "disputed": False,
            "currency": intent["currency"],
            "payment_intent": intent["id"],
            "created": intent["created"],
            "livemode": False,
            "metadata": dict(intent["metadata"]),
            "billing_details": session["customer_details"],
            "payment_method_details": {"type": "card", "card": {"brand": "visa", "last4": "4242", "exp_year": 2031}},
        }
        intent["latest_charge"] = charge["id"]
        _conclude(intent, charge, "pending" if method == "delayed" else "succeeded")
        self.intents[intent["id"]], self.charges[charge["id"]] = intent, charge
        session |= {
            "payment_intent": intent["id"],
            "payment_status": "unpaid" if method == "delayed" else "paid",
            "payment_method_types": ["sepa_debit" if method == "delayed" else "card"],
        }

    # Money that goes back

    def remaining(self, payment_intent: str) -> int:
        """What of a payment can still be given back."""
        charge = self.charge_of(payment_intent)
        return int(charge["amount"] - charge["amount_refunded"])

    def charge_of(self, payment_intent: str) -> Document:
        """The charge of a payment."""
        return self.charges[self.intents[payment_intent]["latest_charge"]]

    def give_back(self, payment_intent: str, amount: int, metadata: Mapping[str, str], status: str) -> Document:
        """A refund of what remains, or of less."""
        with self._lock:
            charge = self.charge_of(payment_intent)
            _need(0 < amount <= self.remaining(payment_intent), "more than there is")
            refund = {
                "id": new_id("re"),
                "object": "refund",
                "amount": amount,
                "currency": charge["currency"],
                "charge": charge["id"],
                "payment_intent": payment_intent,
                "status": status,
                "reason": None,
                "metadata": dict(metadata),
                "created": int(self.now()),
                "receipt_number": None,
            }
            self.refunds[refund["id"]] = refund
            self._count_refunds(charge)
        self._happened("refund.created", refund)
        self._happened("charge.refunded", charge)
        return refund

    def refund_by_hand(self, payment_intent: str, amount: int | None = None) -> Document:
        """Somebody gave money back in Stripe's own pages: all that remains, or ``amount``. Returns the refund."""
        return self.give_back(payment_intent, amount or self.remaining(payment_intent), {}, "succeeded")

    def fail_refund(self, refund_id: str) -> Document:
        """The bank did not take the money: the charge has it again. Returns the refund."""
        return self._end_refund(refund_id, "failed", failure_reason="expired_or_canceled_card")

    def finish_refund(self, refund_id: str) -> Document:
        """A pending refund has arrived. Returns it."""
        return self._end_refund(refund_id, "succeeded")

    def _end_refund(self, refund_id: str, status: str, **more: str) -> Document:
        with self._lock:
            refund = self.refunds[refund_id]
            refund |= {"status": status, **more}
            self._count_refunds(self.charges[refund["charge"]])
        self._happened("refund.updated", refund)
        if status == "failed":
            self._happened("refund.failed", refund)
        return refund

    def _count_refunds(self, charge: Document) -> None:
        kept = [each for each in self.refunds.values() if each["charge"] == charge["id"]]
        charge["amount_refunded"] = sum(each["amount"] for each in kept if each["status"] not in {"failed", "canceled"})
        charge["refunded"] = charge["amount_refunded"] == charge["amount"]

    # Money that is taken back

    def dispute(self, payment_intent: str) -> Document:
        """The customer's bank takes the money back until it has decided. Returns the dispute."""
        with self._lock:
            charge = self.charge_of(payment_intent)
            charge["disputed"] = True
            dispute = {
                "id": new_id("du"),
                "object": "dispute",
                "amount": charge["amount"],
                "currency": charge["currency"],
                "charge": charge["id"],
                "payment_intent": payment_intent,
                "reason": "fraudulent",
                "status": "needs_response",
                "is_charge_refundable": False,
                "created": int(self.now()),
                "livemode": False,
                "metadata": {},
                "evidence": {"customer_name": "Ana Planted", "customer_email_address": "planted@example.com"},
            }
            self.disputes[dispute["id"]] = dispute
        self._happened("charge.dispute.created", dispute)
        self._happened("charge.dispute.funds_withdrawn", dispute)
        return dispute

    def close_dispute(self, payment_intent: str, outcome: Literal["won", "lost"]) -> Document:
        """The bank has decided: ``won`` gives the money to the shop. The charge stays marked as disputed."""
        with self._lock:
            dispute = next(each for each in self.disputes.values() if each["payment_intent"] == payment_intent)
            dispute["status"] = outcome
        if outcome == "won":
            self._happened("charge.dispute.funds_reinstated", dispute)
        self._happened("charge.dispute.closed", dispute)
        return dispute


def _need(condition: bool, otherwise: str) -> None:  # noqa: FBT001 - reads as a sentence
    """Tests ask only for what can happen."""
    if not condition:
        raise ValueError(otherwise)


def _conclude(intent: Document, charge: Document, how: str) -> None:
    """``succeeded``, ``failed``, or ``pending`` until the bank has spoken."""
    charge |= {"status": how, "paid": how == "succeeded"}
    intent["status"] = {"succeeded": "succeeded", "pending": "processing", "failed": "requires_payment_method"}[how]
    intent["amount_received"] = intent["amount"] if how == "succeeded" else 0


def _person(email: str) -> Document:
    return {
        "email": email,
        "name": "Ana Planted",
        "phone": None,
        "address": {"line1": "1 Planted Street", "city": "Planted", "country": "HU"},
        "tax_exempt": "none",
        "tax_ids": [],
    }
