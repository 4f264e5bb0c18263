"""The fake Stripe, driven by Stripe's own client, and its payment page, opened by a customer."""

from __future__ import annotations

import json
import re
import time
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import pytest
import requests
import stripe as sdk

from fakes import stripe as faults
from fakes.contract import Contract
from fakes.http_server import Answer, HttpServer, Request
from fakes.service import Fault
from fakes.services import Services
from fakes.stripe import FakeStripe
from fakes.stripe_forms import read_fields
from fakes.stripe_webhooks import encoded

if TYPE_CHECKING:
    from collections.abc import Iterator

SUCCESS = "https://shop.example/thanks?s={CHECKOUT_SESSION_ID}"
OTHER_SECRET = "whsec_planted_other"  # noqa: S105 - obviously no secret
CANCEL = "https://shop.example/order?a=1&b=2"


class Endpoint:
    """A shop's webhook; ``statuses`` are its next answers, 200 afterwards."""

    def __init__(self) -> None:
        self.heard: list[Request] = []
        self.statuses: list[int] = []
        self.open = Event()
        self.open.set()
        self.server = HttpServer(self._answer)
        self.url = f"http://{self.server.open_port()}/stripe/webhook"

    def _answer(self, request: Request) -> Answer:
        self.open.wait(10)
        self.heard.append(request)
        return Answer(self.statuses.pop(0) if self.statuses else 200)

    @property
    def kinds(self) -> list[str]:
        return sorted(json.loads(request.body)["type"] for request in self.heard)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    found = Endpoint()
    yield found
    found.open.set()
    found.server.stop()


@pytest.fixture
def stripe() -> Iterator[FakeStripe]:
    with FakeStripe() as fake:
        fake.retry_seconds = 0.01
        yield fake


@pytest.fixture
def api(stripe: FakeStripe) -> Any:
    return client(stripe).v1


def client(stripe: FakeStripe, key: str = "") -> sdk.StripeClient:
    return sdk.StripeClient(key or stripe.key, base_addresses={"api": stripe.base_url}, max_network_retries=0)


def form(**changes: Any) -> Any:
    price = {"currency": "eur", "unit_amount": 4900, "product_data": {"name": "A page"}}
    return {
        "mode": "payment",
        "line_items": [{"quantity": 1, "price_data": price}],
        "client_reference_id": "order",
        "customer_email": "ana@example.com",
        "metadata": {"stream_id": "order"},
        "payment_intent_data": {"metadata": {"stream_id": "order"}},
        "expires_at": int(time.time()) + 3600,
        "success_url": SUCCESS,
        "cancel_url": CANCEL,
        **changes,
    }


def opened(api: Any, **changes: Any) -> Any:
    return api.checkout.sessions.create(form(**changes))


def paid(stripe: FakeStripe, api: Any) -> str:
    """A payment's id."""
    return str(stripe.pay(opened(api).id)["payment_intent"])


def kinds(stripe: FakeStripe) -> list[str]:
    return [event["type"] for event in stripe.events]


def test_the_examples_in_the_contract_satisfy_it() -> None:
    contract = Contract("stripe")
    schemas = contract.document["components"]["schemas"]
    examples = {key: schema["example"] for key, schema in schemas.items() if "example" in schema}
    assert examples
    assert [problem for key, value in examples.items() for problem in contract.schema_problems(key, value)] == []


def test_a_session_is_open_with_an_address_until_it_is_paid(stripe: FakeStripe, api: Any) -> None:
    session = opened(api)
    assert (session.status, session.payment_status, session.payment_intent) == ("open", "unpaid", None)
    assert session.url.startswith(f"{stripe.page_url}/c/pay/cs_test_")

    stripe.pay(session.id, email="other@example.com")

    session = api.checkout.sessions.retrieve(session.id)
    assert (session.status, session.payment_status, session.url) == ("complete", "paid", None)
    assert (session.customer_details.email, session.customer_email) == ("other@example.com", "ana@example.com")
    intent = api.payment_intents.retrieve(session.payment_intent, {"expand": ["latest_charge"]})
    assert (intent.status, intent.amount_received, intent.metadata.stream_id) == ("succeeded", 4900, "order")
    assert (intent.latest_charge.paid, intent.latest_charge.disputed) == (True, False)
    assert isinstance(api.payment_intents.retrieve(session.payment_intent).latest_charge, str)
    assert stripe.violations == []


def test_a_sessions_metadata_is_not_copied_to_its_payment(stripe: FakeStripe, api: Any) -> None:
    session = opened(api, payment_intent_data={"description": "x"})

    intent = stripe.pay(session.id)["payment_intent"]

    assert stripe.intents[intent]["metadata"] == {}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"expires_at": int(time.time()) + 60}, None),
        ({"expires_at": int(time.time()) + 90_000}, None),
        ({"customer_email": "nobody"}, "email_invalid"),
    ],
)
def test_values_out_of_range_are_refused(api: Any, changes: Any, code: str | None) -> None:
    with pytest.raises(sdk.InvalidRequestError) as caught:
        opened(api, **changes)
    assert (caught.value.http_status, caught.value.code) == (400, code)


@pytest.mark.parametrize(
    "changes",
    [
        {"colour": "red"},
        {"metadata": {"x" * 41: "y"}},
        {"metadata": {"story": "y" * 501}},
        {"line_items": [{"quantity": 0, "price": "p"}]},
        {"line_items": [{"price_data": {"currency": "EUR", "unit_amount": 1, "product_data": {"name": "x"}}}]},
        {"mode": "gift"},
    ],
)
def test_what_the_document_does_not_allow_is_a_violation(stripe: FakeStripe, api: Any, changes: Any) -> None:
    with pytest.raises(sdk.InvalidRequestError):
        opened(api, **changes)
    assert stripe.violations
    assert stripe.sessions == {}


def test_wrong_and_restricted_keys_are_told_apart(stripe: FakeStripe) -> None:
    with pytest.raises(sdk.AuthenticationError):
        client(stripe, "sk_test_other").v1.checkout.sessions.list()
    with pytest.raises(sdk.PermissionError):
        client(stripe, stripe.restricted_key).v1.checkout.sessions.list()


def test_lists_are_newest_first_in_pages_and_by_status_and_time(stripe: FakeStripe, api: Any) -> None:
    made = [opened(api).id for _ in range(5)]
    stripe.pay(made[1])
    stripe.sessions[made[0]]["created"] -= 1000
    lately = {"gte": int(time.time()) - 500}

    first = api.checkout.sessions.list({"limit": 2, "created": lately})
    rest = api.checkout.sessions.list({"limit": 100, "created": lately, "starting_after": first.data[-1].id})

    assert [each.id for each in first.data] == [made[4], made[3]]
    assert [each.id for each in rest.data] == [made[2], made[1]]
    assert (first.has_more, rest.has_more) == (True, False)
    assert [each.id for each in api.checkout.sessions.list({"status": "complete"}).data] == [made[1]]
    before = api.checkout.sessions.list({"limit": 2, "ending_before": made[2]})
    assert [each.id for each in before.data] == [made[4], made[3]]
    with pytest.raises(sdk.InvalidRequestError):
        api.checkout.sessions.list({"limit": 101})


def test_only_an_open_session_expires(stripe: FakeStripe, api: Any) -> None:
    session, other = opened(api), opened(api)
    stripe.pay(other.id)

    assert api.checkout.sessions.expire(session.id).status == "expired"

    for each in (session, other):
        with pytest.raises(sdk.InvalidRequestError):
            api.checkout.sessions.expire(each.id)
    with pytest.raises(sdk.InvalidRequestError, match="No such"):
        api.checkout.sessions.expire("cs_test_none")
    assert kinds(stripe) == ["checkout.session.completed", "checkout.session.expired"]


def test_a_session_expires_when_its_time_is_up() -> None:
    clock = [time.time()]
    with FakeStripe(now=lambda: clock[0]) as stripe:
        session = opened(client(stripe).v1)
        clock[0] += 3601
        assert client(stripe).v1.checkout.sessions.retrieve(session.id).status == "expired"
        assert kinds(stripe) == ["checkout.session.expired"]


def test_a_delayed_payment_is_complete_long_before_it_is_paid(stripe: FakeStripe, api: Any) -> None:
    good, bad = opened(api).id, opened(api).id
    for each in (good, bad):
        session = stripe.pay(each, method="delayed")
        assert (session["status"], session["payment_status"]) == ("complete", "unpaid")
        assert api.payment_intents.retrieve(session["payment_intent"]).status == "processing"

    stripe.settle(good)
    stripe.settle(bad, succeeded=False)

    assert [stripe.sessions[each]["payment_status"] for each in (good, bad)] == ["paid", "unpaid"]
    assert kinds(stripe)[2:] == [
        "checkout.session.async_payment_succeeded",
        "checkout.session.async_payment_failed",
    ]
    with pytest.raises(sdk.InvalidRequestError, match="no successful charge"):
        api.refunds.create({"payment_intent": stripe.sessions[bad]["payment_intent"]})


def test_a_voucher_needs_no_payment(stripe: FakeStripe, api: Any) -> None:
    session = stripe.pay(opened(api).id, amount=0)

    assert (session["payment_status"], session["payment_intent"]) == ("no_payment_required", None)
    assert stripe.intents == {}


def test_a_session_of_another_product_has_nothing_of_ours(stripe: FakeStripe, api: Any) -> None:
    session = stripe.pay(stripe.session_of_another_product()["id"])

    found = api.checkout.sessions.retrieve(session["id"])

    assert (found.metadata.to_dict(), found.payment_status, found.amount_total) == ({}, "paid", 990)


def test_the_same_key_with_the_same_parameters_is_done_once(stripe: FakeStripe, api: Any) -> None:
    first = api.checkout.sessions.create(form(expires_at=int(time.time()) + 4000), {"idempotency_key": "one"})

    again = api.checkout.sessions.create(form(expires_at=first.expires_at), {"idempotency_key": "one"})

    assert again.id == first.id
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    with pytest.raises(sdk.IdempotencyError):
        api.checkout.sessions.create(form(customer_email="b@example.com"), {"idempotency_key": "one"})
    assert len(stripe.sessions) == 1


def test_failures_are_remembered_with_their_key_and_throttling_is_not(stripe: FakeStripe, api: Any) -> None:
    asked = form()
    for fault, key in ((Fault.status(500), "broken"), (Fault.status(429, retry_after="2"), "throttled")):
        stripe.fail_next(fault)
        with pytest.raises(sdk.StripeError):
            api.checkout.sessions.create(asked, {"idempotency_key": key})

    with pytest.raises(sdk.APIError) as caught:
        api.checkout.sessions.create(asked, {"idempotency_key": "broken"})
    assert caught.value.headers["Idempotent-Replayed"] == "true"
    assert api.checkout.sessions.create(asked, {"idempotency_key": "throttled"}).status == "open"


def test_a_lost_reply_is_found_again_under_its_key(stripe: FakeStripe, api: Any) -> None:
    stripe.fail_next(Fault.lose_reply())
    asked = form()
    with pytest.raises(sdk.APIConnectionError):
        api.checkout.sessions.create(asked, {"idempotency_key": "one"})

    assert api.checkout.sessions.create(asked, {"idempotency_key": "one"}).id in stripe.sessions
    assert len(stripe.sessions) == 1


def test_a_refund_gives_back_all_that_is_left(stripe: FakeStripe, api: Any) -> None:
    intent = paid(stripe, api)
    stripe.refund_by_hand(intent, 900)
    assert stripe.charge_of(intent)["refunded"] is False

    refund = api.refunds.create({"payment_intent": intent, "metadata": {"stream_id": "order"}})

    assert (refund.amount, refund.status, refund.metadata.stream_id) == (4000, "succeeded", "order")
    assert stripe.charge_of(intent)["refunded"] is True
    with pytest.raises(sdk.InvalidRequestError) as caught:
        api.refunds.create({"payment_intent": intent})
    assert caught.value.code == "charge_already_refunded"
    assert [each.amount for each in api.refunds.list({"payment_intent": intent}).data] == [4000, 900]
    assert api.refunds.retrieve(refund.id).amount == 4000
    assert kinds(stripe)[1:] == ["refund.created", "charge.refunded"] * 2


def test_a_refund_can_be_pending_and_fail(stripe: FakeStripe, api: Any) -> None:
    first, second = paid(stripe, api), paid(stripe, api)
    stripe.fail_next(faults.pending_refund(), times=2)
    refunds = [api.refunds.create({"payment_intent": each}) for each in (first, second)]
    assert [each.status for each in refunds] == ["pending", "pending"]

    stripe.fail_refund(refunds[0].id)
    stripe.finish_refund(refunds[1].id)

    assert [stripe.remaining(each) for each in (first, second)] == [4900, 0]
    assert kinds(stripe)[-3:] == ["refund.updated", "refund.failed", "refund.updated"]


def test_a_disputed_payment_cannot_be_refunded_until_it_is_won(stripe: FakeStripe, api: Any) -> None:
    intent = paid(stripe, api)
    stripe.dispute(intent)
    with pytest.raises(sdk.InvalidRequestError) as caught:
        api.refunds.create({"payment_intent": intent})
    assert caught.value.code == "charge_disputed"

    stripe.close_dispute(intent, "won")

    assert api.refunds.create({"payment_intent": intent}).amount == 4900
    assert "charge.dispute.closed" in kinds(stripe)


def test_events_are_delivered_signed_and_again_until_they_are_taken(
    stripe: FakeStripe, api: Any, endpoint: Endpoint
) -> None:
    stripe.webhook_url = endpoint.url
    endpoint.statuses = [503, 302]

    session = stripe.pay(opened(api).id)
    stripe.wait_for_deliveries()

    assert [delivery.status for delivery in stripe.deliveries] == [503, 302, 200]
    assert len({request.body for request in endpoint.heard}) == 1
    request = endpoint.heard[-1]
    event = sdk.Webhook.construct_event(request.body, request.headers["stripe-signature"], stripe.webhook_secret)
    assert (event.type, event.data.object.id) == ("checkout.session.completed", session["id"])


def test_events_wait_in_the_list_until_they_are_delivered(stripe: FakeStripe, api: Any, endpoint: Endpoint) -> None:
    stripe.webhook_url, stripe.delivers = endpoint.url, False
    intent = paid(stripe, api)
    stripe.refund_by_hand(intent)
    assert endpoint.heard == []

    stripe.deliver(stripe.events[0], times=2)

    assert endpoint.kinds == ["checkout.session.completed"] * 2
    waiting = api.events.list({"delivery_success": False, "types": ["charge.refunded", "checkout.session.completed"]})
    assert [each.type for each in waiting.data] == ["charge.refunded"]
    assert [each.type for each in api.events.list({"delivery_success": True}).data] == ["checkout.session.completed"]
    assert api.events.retrieve(stripe.events[1]["id"]).type == "refund.created"


def test_an_event_shows_its_object_as_it_was(stripe: FakeStripe, api: Any) -> None:
    session = opened(api).id
    stripe.pay(session, method="delayed")
    stripe.settle(session)

    shown = [event["data"]["object"]["payment_status"] for event in stripe.events]

    assert shown == ["unpaid", "paid"]


def test_a_built_event_is_neither_kept_nor_delivered(stripe: FakeStripe, endpoint: Endpoint) -> None:
    stripe.webhook_url = endpoint.url
    storm = [stripe.event("checkout.session.completed", {"id": "cs_1"}) for _ in range(1000)]

    assert len({event["id"] for event in storm}) == 1000
    assert (stripe.events, endpoint.heard) == ([], [])


def test_signatures_can_be_forged_and_old(stripe: FakeStripe) -> None:
    body = encoded(stripe.event("checkout.session.completed", {"id": "cs_1"}))
    for header in (stripe.sign(body, secret=OTHER_SECRET), stripe.sign(body, at=time.time() - 301)):
        with pytest.raises(sdk.SignatureVerificationError):
            sdk.Webhook.construct_event(body, header, stripe.webhook_secret)
    theirs = sdk.WebhookSignature.generate_signature_header(body.decode(), OTHER_SECRET, 5)
    assert stripe.sign(body, secret=OTHER_SECRET, at=5) == theirs


def test_a_customer_pays_on_the_page_after_the_shop_was_told(stripe: FakeStripe, api: Any, endpoint: Endpoint) -> None:
    stripe.webhook_url = endpoint.url
    session = opened(api)
    shown = requests.get(session.url, timeout=5)
    assert (shown.status_code, "4900 eur" in shown.text, CANCEL.replace("&", "&amp;") in shown.text) == (
        200,
        True,
        True,
    )
    buttons = re.findall(r'name="how" value="(\w+)"', shown.text)

    answer = requests.post(session.url, {"how": buttons[0]}, timeout=15, allow_redirects=False)

    assert (answer.status_code, answer.headers["location"]) == (
        303,
        SUCCESS.replace("{CHECKOUT_SESSION_ID}", session.id),
    )
    assert endpoint.kinds == ["checkout.session.completed"]
    assert buttons == ["card", "delayed"]
    again = requests.post(session.url, {"how": "card"}, timeout=5, allow_redirects=False)
    assert (again.status_code, len(stripe.intents)) == (303, 1)
    assert "complete" in requests.get(session.url, timeout=5).text
    assert requests.get(f"{stripe.page_url}/c/pay/cs_none", timeout=5).status_code == 404


def test_the_page_does_not_hold_a_customer_for_ever(stripe: FakeStripe, api: Any, endpoint: Endpoint) -> None:
    stripe.webhook_url, stripe.page_patience_seconds = endpoint.url, 0.05
    endpoint.open.clear()
    session = opened(api)

    answer = requests.post(session.url, {"how": "delayed"}, timeout=5, allow_redirects=False)

    assert (answer.status_code, stripe.sessions[session.id]["payment_status"]) == (303, "unpaid")
    assert endpoint.heard == []
    endpoint.open.set()


def test_two_clicks_at_once_pay_once(stripe: FakeStripe, api: Any) -> None:
    session = opened(api)
    clicks = [
        Thread(target=requests.post, args=(session.url, {"how": "card"}), kwargs={"allow_redirects": False})
        for _ in range(4)
    ]
    for click in clicks:
        click.start()
    for click in clicks:
        click.join()
    assert (len(stripe.intents), kinds(stripe)) == (1, ["checkout.session.completed"])


@pytest.mark.parametrize("text", ["a[b]=1&a=2", "a=1&a[b]=2", "a=1&a=2", "a[]=1", "nothing"])
def test_a_form_that_says_two_things_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"twice|name|bad"):
        read_fields(text)


def test_brackets_become_structures() -> None:
    assert read_fields("a[b][0]=x&a[b][1]=y&c[d]=&e=%5B") == {"a": {"b": ["x", "y"]}, "c": {"d": ""}, "e": "["}


def test_with_stripe_all_the_services_have_its_settings() -> None:
    with Services(stripe=FakeStripe()) as services:
        settings = services.environment()
        api = sdk.StripeClient(settings["STRIPE_API_KEY"], base_addresses={"api": settings["STRIPE_BASE_URL"]}).v1
        assert api.events.list().data == []
        assert settings["STRIPE_WEBHOOK_SECRET"].startswith("whsec_")
    assert Services().environment().keys().isdisjoint({"STRIPE_API_KEY"})
