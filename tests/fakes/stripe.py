"""Stands for Stripe: its interface, the page customers pay at, and the events it tells the shop's endpoint."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs

from fakes.http_server import Answer, Request
from fakes.service import Call, FakeService, Fault
from fakes.stripe_account import LONGEST_SECONDS, Account, Document
from fakes.stripe_forms import FormContract
from fakes.stripe_page import missing_page, onward, page
from fakes.stripe_webhooks import new_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

CREATE_SESSION = "PostCheckoutSessions"
CREATE_REFUND = "PostRefunds"
PAGE = "page"
_SHORTEST_SECONDS = 30 * 60
_LEAST_AMOUNT = 50
_LONGEST_METADATA_NAME = 40
_TYPES = {402: "card_error"}
_CODES = {402: "card_declined", 404: "resource_missing", 409: "idempotency_key_in_use", 429: "rate_limit"}
_REMEMBERED_ERRORS = frozenset({402, 424})
"""Besides 5xx: errors that come up once the work has begun, so that they are repeated for the same key."""


def pending_refund() -> Fault:
    """The next refund is not there at once (``finish_refund``, ``fail_refund``)."""
    return Fault(outcome="pending", operations=frozenset({CREATE_REFUND}))


def key_in_use() -> Fault:
    """Another call with the same idempotency key is under way."""
    return Fault(refused=409)


@dataclass(frozen=True, slots=True)
class _Remembered:
    """What was asked under an idempotency key, and what was answered."""

    asked: str
    status: int
    body: bytes


class FakeStripe(Account, FakeService):
    """The interface, and on a second port the page customers pay at. ``now`` are seconds since 1970.

    What tests do to the account is in ``Account``, what they do with events in ``Webhooks``.
    ``page_patience_seconds``: the page holds the customer until the endpoint was told, but no longer than that.
    """

    name = "stripe"
    main_operations = frozenset({CREATE_SESSION, CREATE_REFUND})

    def __init__(
        self,
        *,
        key: str = "sk_test_planted_stripe_key",
        webhook_url: str = "",
        webhook_secret: str = "whsec_planted_stripe_secret",  # noqa: S107 - obviously no secret
        page_patience_seconds: float = 10.0,
        now: Callable[[], float] = time.time,
    ) -> None:
        Account.__init__(self, webhook_url=webhook_url, webhook_secret=webhook_secret, now=now)
        FakeService.__init__(self)
        self.contract: FormContract = FormContract(self.name)
        self.key = key
        self.restricted_key = "rk_test_planted_restricted_key"
        """A key that the account knows and that may do nothing."""
        self.page_patience_seconds = page_patience_seconds
        self.page_visits: list[str] = []
        """``GET`` or ``POST`` and the session, for every visit of a payment page."""
        self._pages = self.beside(PAGE, self._page)
        self._remembered: dict[str, _Remembered] = {}
        self.handlers = {
            CREATE_SESSION: self._once(self._create_session),
            "GetCheckoutSessions": self._list_sessions,
            "GetCheckoutSessionsSession": self._get_session,
            "PostCheckoutSessionsSessionExpire": self._once(self._expire_session),
            "GetPaymentIntentsIntent": self._get_intent,
            CREATE_REFUND: self._once(self._create_refund),
            "GetRefunds": self._list_refunds,
            "GetRefundsRefund": lambda call: self._one(self.refunds, call.parameters["refund"], "refund"),
            "GetEvents": self._list_events,
            "GetEventsId": self._get_event,
        }

    def __enter__(self) -> Self:
        self.page_url = f"http://{self._pages.open_port()}"
        return super().__enter__()

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._stop_delivering()
        self._pages.stop()
        super().__exit__(kind, *rest)

    # Checks

    def read_body(self, request: Request) -> Any:
        operation = self.contract.find(request.method, request.path)
        return self.contract.read_body(operation, request.body.decode()) if operation and request.body else {}

    def stranger(self, call: Call) -> Answer | None:
        given = call.request.headers.get("authorization", "")
        if given == f"Bearer {self.key}":
            return None
        if given == f"Bearer {self.restricted_key}":
            return self.error(403, message="The provided key does not have the required permissions for this endpoint.")
        return self.error(401, message="Invalid API Key provided: sk_test_****")

    def further_problems(self, call: Call) -> Iterator[str]:
        if call.request.method == "POST" and not call.request.headers.get("idempotency-key"):
            yield "there is no Idempotency-Key"
        if call.operation == CREATE_SESSION:
            yield from self._session_problems(call.document)

    def _session_problems(self, form: Mapping[str, Any]) -> Iterator[str]:
        known = self.contract.document["components"]["schemas"]["CreateSessionForm"]["properties"]
        yield from (f"Received unknown parameter: {name}" for name in sorted(form.keys() - known.keys()))
        if "success_url" not in form:
            yield "Missing required param: success_url"
        for item in form["line_items"]:
            if not {"unit_amount", "product_data"} <= item.get("price_data", {}).keys() or "quantity" not in item:
                yield "line_items need a price_data with unit_amount and product_data, and a quantity"
        for metadata in (form.get("metadata", {}), form.get("payment_intent_data", {}).get("metadata", {})):
            yield from (f"{name} is too long" for name in metadata if len(name) > _LONGEST_METADATA_NAME)

    def error(
        self, status: int, message: str = "", kind: str = "", code: str = "", param: str = "", retry_after: str = ""
    ) -> Answer:
        """Stripe's error body."""
        kind = kind or ("api_error" if status >= 500 or status == 424 else _TYPES.get(status, "invalid_request_error"))
        said = {"code": code or _CODES.get(status, ""), "message": message or "Not today.", "param": param}
        document = {"error": {"type": kind} | {name: text for name, text in said.items() if text}}
        hint = {"retry_after": retry_after} if retry_after else {}
        return Answer.of_json(status, document, request_id=new_id("req"), **hint)

    # Idempotency

    def _once(self, handler: Callable[[Call], Answer]) -> Callable[[Call], Answer]:
        """The same key and parameters get the same answer, an error too; other parameters are refused."""

        def handle(call: Call) -> Answer:
            kept = self._remembered.get(call.request.headers["idempotency-key"])
            if kept is None:
                answer = handler(call)
                self._remember(call, answer)
                return answer
            if kept.asked != _asked(call):
                message = (
                    "Keys for idempotent requests can only be used with the same parameters they were first used with."
                )
                return self.error(400, message=message, kind="idempotency_error")
            document = json.loads(kept.body)
            return Answer.of_json(kept.status, document, request_id=new_id("req"), idempotent_replayed="true")

        return handle

    def _answer(self, call: Call) -> Answer:
        answer = super()._answer(call)
        if call.fault.refused >= 500 or call.fault.refused in _REMEMBERED_ERRORS:
            self._remember(call, answer)
        return answer

    def _remember(self, call: Call, answer: Answer) -> None:
        key = call.request.headers.get("idempotency-key")
        if key:
            self._remembered.setdefault(key, _Remembered(_asked(call), answer.status, answer.body))

    # Checkout

    def _create_session(self, call: Call) -> Answer:
        form = call.document
        refusal = self._session_refusal(form)
        return refusal or Answer.of_json(200, self.open_session(form))

    def _session_refusal(self, form: Mapping[str, Any]) -> Answer | None:
        amount = form["line_items"][0]["price_data"]["unit_amount"]
        seconds = form.get("expires_at", self.now() + LONGEST_SECONDS) - int(self.now())
        email = form.get("customer_email")
        if 0 < amount < _LEAST_AMOUNT:
            return self.error(400, code="amount_too_small", message="The amount must be at least 50 cents.")
        if not _SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
            return self.error(400, param="expires_at", message="expires_at must be 30 minutes to 24 hours from now.")
        if email is not None and "@" not in email:
            return self.error(400, code="email_invalid", message=f"Invalid email address: {email}")
        return None

    def _list_sessions(self, call: Call) -> Answer:
        self.expire_overdue()
        query = self._query(call)
        chosen = [each for each in self.sessions.values() if _matches(each, query, ("status", "payment_intent"))]
        return self._listed("/v1/checkout/sessions", chosen, query)

    def _get_session(self, call: Call) -> Answer:
        self.expire_overdue()
        return self._one(self.sessions, call.parameters["session"], "checkout.session", param="session")

    def _expire_session(self, call: Call) -> Answer:
        self.expire_overdue()
        session = self.sessions.get(call.parameters["session"])
        if session is None:
            return self._get_session(call)
        if session["status"] != "open":
            message = (
                f'Only Checkout Sessions with a status in ["open"] can be expired. This one is {session["status"]}.'
            )
            return self.error(400, message=message)
        return Answer.of_json(200, self.expire(session["id"]))

    def _get_intent(self, call: Call) -> Answer:
        intent = self.intents.get(call.parameters["intent"])
        if intent and "latest_charge" in self._query(call).get("expand", []):
            return Answer.of_json(200, intent | {"latest_charge": self.charges[intent["latest_charge"]]})
        return self._one(self.intents, call.parameters["intent"], "payment_intent", param="intent")

    # Refunds

    def _create_refund(self, call: Call) -> Answer:
        form = call.document
        intent = self.intents.get(form.get("payment_intent", ""))
        if intent is None:
            return self._one(self.intents, form.get("payment_intent", ""), "payment_intent")
        charge, remaining = self.charge_of(intent["id"]), self.remaining(intent["id"])
        amount = form.get("amount", remaining)
        if charge["status"] != "succeeded":
            return self.error(400, code="charge_not_refundable", message="There is no successful charge to refund.")
        if self._is_taken_back(intent["id"]):
            return self.error(400, code="charge_disputed", message=f"Charge {charge['id']} has been charged back.")
        if not remaining:
            message = f"Charge {charge['id']} has already been refunded."
            return self.error(400, code="charge_already_refunded", message=message)
        if amount > remaining:
            return self.error(400, param="amount", message=f"Refund amount ({amount}) is greater than {remaining}.")
        status = call.fault.outcome or "succeeded"
        return Answer.of_json(200, self.give_back(intent["id"], amount, form.get("metadata", {}), status))

    def _is_taken_back(self, payment_intent: str) -> bool:
        found = [each for each in self.disputes.values() if each["payment_intent"] == payment_intent]
        return any(each["status"] != "won" for each in found)

    def _list_refunds(self, call: Call) -> Answer:
        query = self._query(call)
        chosen = [each for each in self.refunds.values() if _matches(each, query, ("payment_intent", "charge"))]
        return self._listed("/v1/refunds", chosen, query)

    # Events

    def _list_events(self, call: Call) -> Answer:
        query = self._query(call)
        kinds = [query["type"]] if "type" in query else query.get("types", [])
        chosen = [each for each in self.events if _matches(each, query, ()) and (not kinds or each["type"] in kinds)]
        if "delivery_success" in query:
            chosen = [each for each in chosen if (each["pending_webhooks"] == 0) == query["delivery_success"]]
        return self._listed("/v1/events", chosen, query)

    def _get_event(self, call: Call) -> Answer:
        return self._one(self._kept, call.parameters["id"], "event", param="id")

    # What all operations share

    def _query(self, call: Call) -> dict[str, Any]:
        operation = self.contract.find(call.request.method, call.request.path)
        return self.contract.read_query(operation, call.request.query) if operation else {}

    def _one(self, things: Mapping[str, Document], thing_id: str, what: str, param: str = "") -> Answer:
        if thing_id not in things:
            return self.error(404, message=f"No such {what}: '{thing_id}'", param=param or what)
        return Answer.of_json(200, things[thing_id])

    def _listed(self, path: str, things: Iterable[Document], query: Mapping[str, Any]) -> Answer:
        """One page of a list, newest first."""
        newest = list(things)[::-1]
        ids, limit = [each["id"] for each in newest], query.get("limit", 10)
        start, last = query.get("starting_after"), query.get("ending_before")
        if any(known and known not in ids for known in (start, last)):
            return self.error(400, message=f"No such object: {start or last}", param="starting_after")
        first = ids.index(start) + 1 if start else max(0, ids.index(last) - limit) if last else 0
        end = min(first + limit, ids.index(last) if last else len(ids))
        document = {"object": "list", "data": newest[first:end], "has_more": end < len(ids), "url": path}
        return Answer.of_json(200, document)

    # The page customers pay at

    def _page(self, call: Call) -> Answer:
        session_id = call.request.path.removeprefix("/c/pay/")
        self.page_visits.append(f"{call.request.method} {session_id}")
        self.expire_overdue()
        session = self.sessions.get(session_id)
        if session is None:
            return missing_page()
        if call.request.method != "POST":
            return page(session)
        how = parse_qs(call.request.body.decode()).get("how", ["card"])[0]
        with self._lock:  # two clicks at once pay once
            told = self._finish(session_id, method=how) if session["status"] == "open" else None
        if told:
            told.wait(self.page_patience_seconds)
        return onward(session) if session["status"] == "complete" else page(session)


def _asked(call: Call) -> str:
    return json.dumps([call.request.path, call.document], sort_keys=True)


def _matches(thing: Mapping[str, Any], query: Mapping[str, Any], names: tuple[str, ...]) -> bool:
    created = query.get("created", {})
    bounds = {"gte": created, "lte": created} if isinstance(created, int) else created
    tests = {"gt": int.__gt__, "gte": int.__ge__, "lt": int.__lt__, "lte": int.__le__}
    in_time = all(tests[name](thing["created"], bound) for name, bound in bounds.items())
    return in_time and all(name not in query or thing[name] == query[name] for name in names)
