"""``downstream forget``: nothing is left of a customer but what tax law asks for, whatever happens in between."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from fakes.service import Fault
from fakes.services import Services
from fakes.vercel import FakeVercel
from live import CUSTOMER
from live import Shop as LiveShop

from downstream.domain.errors import Misconfigured, PersonDecides, TryAgain
from downstream.domain.job import Entry, What
from downstream.domain.money import Money
from downstream.domain.order import Checkout, Typed
from downstream.domain.payment import CheckoutSession, EventKind, PaymentEvent
from downstream.domain.state import State
from downstream.holds import DISPUTED, Hold, held_orders, hold
from downstream.job_file import Unreadable
from downstream.locks import Lock
from downstream.log import open_log
from downstream.providers.vercel import VercelHosting
from downstream.queue import Busy, NoSuchJob, Queue
from downstream.receipts import Receipts
from downstream.settings import Settings
from downstream.shop import errands
from downstream.shop.agreements import consents
from downstream.shop.counter import work_off
from downstream.shop.events import carry_out, keep, replay
from downstream.shop.forget import forget, look, others_of, tell
from downstream.shop.fulfil import fulfil
from downstream.shop.proofs import is_forgotten, read_proof, unfinished
from downstream.shop.reconcile import reconcile
from downstream.shop.refund import refund
from downstream.shop.shop import Shop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import Counter

    from downstream.domain.order import Order
    from downstream.domain.ports import Hosting

NOW = datetime(2026, 1, 6, 12, tzinfo=UTC)
TITLE = "The lamplighter of Szentendre"
TYPED = Typed(title=TITLE, text="It was late. " * 400, language="en", email=CUSTOMER)


def nobody() -> None:
    """No host has keys."""


class OpenGate:
    """Lets everybody through."""

    def run(self, send: Callable[[], Any], *, creates: bool = True) -> Any:  # noqa: ARG002
        """As ``Gate.run``."""
        return send()


@pytest.fixture
def shop(home: Path) -> Shop:
    """The shop door of an installation without keys."""
    told: list[str] = []
    made = Shop(
        home,
        Settings(),
        Queue(home),
        None,
        lambda _: None,
        open_log(home, "shop"),
        lambda _, sentence: told.append(sentence),
        clock=lambda: NOW,
    )
    made.told = told  # type: ignore[attr-defined]
    return made


def session(order: Order, session_id: str = "cs_1", **changes: Any) -> CheckoutSession:
    """A payment page of that order, paid."""
    fields: dict[str, Any] = {
        "status": "complete",
        "is_paid": True,
        "amount": Money("eur", 4900),
        "payment_intent": f"pi_{session_id}",
        "created_at": NOW - timedelta(hours=1),
        "expires_at": NOW + timedelta(hours=20),
    }
    return CheckoutSession(session_id=session_id, stream_id=order.stream_id, **{**fields, **changes})


def draft(shop: Shop, **checkout: Any) -> Order:
    """A draft with a payment page that was opened an hour ago."""
    order = shop.orders.begin(TYPED, NOW - timedelta(hours=2))
    opened = Checkout(
        session_id="cs_1",
        address="https://pay.example/cs_1",
        amount_minor=4900,
        currency="eur",
        opened_at=NOW - timedelta(hours=1),
        expires_at=NOW + timedelta(hours=20),
    ).model_copy(update=checkout)
    with shop.orders.changing(order.stream_id):
        offered = order.model_copy(update={"offered": TYPED, "consents": consents(NOW), "checkouts": (opened,)})
        shop.orders.save(offered)
    return offered


def paid(shop: Shop) -> Order:
    """An order that was paid for and waits."""
    order = draft(shop)
    assert fulfil(shop, session(order), "webhook")
    return order


def moved(shop: Shop, stream_id: str, target: State, *history: Entry) -> None:
    """The job lies in another folder, with that history."""
    claim = shop.queue.claim(stream_id, *State)
    with claim:
        job = claim.job.evolve(history=(*claim.job.history, *history))
        if claim.state is target:
            claim.save(job)
        else:
            claim.advance(job, target, at=NOW, who="test")


def delivered(shop: Shop) -> Order:
    """An order that was made and mailed, with everything an order leaves behind."""
    order = paid(shop)
    home, root = shop.home, shop.home / "streams" / order.stream_id
    moved(shop, order.stream_id, State.COMPLETED, Entry(at=NOW, who="review", what=What.MAILED))
    receipts = Receipts(root / "receipts.jsonl")
    receipts.settle(receipts.intend("plan", "i", "gemini"))
    (root / "production.json").write_text("{}")
    for name in (
        "keyframes/01.png",
        "clips/01.mp4",
        "frames/01/001.webp",
        "page/index.html",
        "published/v1/index.html",
    ):
        path = root / name
        path.parent.mkdir(parents=True)
        path.write_text(TITLE)
    (root / "public").symlink_to("published/v1")
    (root / f".{order.stream_id}.tmp").write_text("half")
    for name in (f"{order.stream_id}.2.json", f"{order.stream_id}.2.json.reason.txt"):
        (home / "jobs/failed" / name).write_text(CUSTOMER)
    (home / "jobs/review" / f".{order.stream_id}.json.tmp").write_text(CUSTOMER)
    rehearsed = home / "streams/.rehearsals/2026-01-06T000000.0"
    (rehearsed / "streams" / order.stream_id).mkdir(parents=True)
    (rehearsed / "streams" / order.stream_id / "input.json").write_text(TITLE)
    (rehearsed / "jobs/completed").mkdir(parents=True, exist_ok=True)
    (rehearsed / "jobs/completed" / f"{order.stream_id}.json").write_text(CUSTOMER)
    hold(home, Hold(order.stream_id, "operator", "looked at", NOW.isoformat()))
    shop.queue.waiting()
    return order


def traces(home: Path, *words: str) -> list[str]:
    """The files in which one of the words stands, and those whose path has one."""
    return [
        str(path.relative_to(home))
        for path in sorted(home.rglob("*"))
        if any(
            word in path.name or (path.is_file() and not path.is_symlink() and word.encode() in path.read_bytes())
            for word in words
        )
    ]


# --- what goes, what stays -------------------------------------------------------------------------------------------


def test_nothing_of_the_customer_is_left_and_other_orders_stay(home: Path, shop: Shop) -> None:
    other = delivered(shop)
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file() and other.stream_id in str(path)}
    order = delivered(shop)

    proof = forget(shop, order.stream_id, nobody)

    assert proof.status == "done"
    assert traces(home, order.secret, order.stream_id) == [f"logs/forgotten/{order.stream_id}.json", "logs/shop.log"]
    assert {path for path in home.rglob("*") if path.is_file() and other.stream_id in str(path)} == set(before)
    assert all(path.read_bytes() == content for path, content in before.items())
    assert Queue(home).find(other.stream_id) is State.COMPLETED


def test_of_the_only_order_not_a_word_is_left_anywhere(home: Path, shop: Shop) -> None:
    order = delivered(shop)

    forget(shop, order.stream_id, nobody)

    assert traces(home, CUSTOMER, TITLE, order.secret, "It was late") == []


def test_the_proof_tells_what_was_erased_and_keeps_the_payment_for_ten_years(home: Path, shop: Shop) -> None:
    order = delivered(shop)

    forget(shop, order.stream_id, nobody)

    document = json.loads((home / f"logs/forgotten/{order.stream_id}.json").read_bytes())
    assert document["erased"]["job"]["files"] == 4
    assert document["erased"]["published"] == {"files": 1, "size_bytes": len(TITLE)}
    assert {"input.json", "order.json", "hold", "errands", "payment index", "rehearsals"} <= set(document["erased"])
    assert document["kept"] == [
        {
            "amount_minor": 4900,
            "currency": "eur",
            "paid_at": "2026-01-06T11:00:00Z",
            "session_id": "cs_1",
            "payment_intent": "pi_cs_1",
        }
    ]
    assert document["kept_until"] == "2036-12-31"
    assert set(document["outside"]) == {"gemini", "stripe"}
    assert "mentioned_in" not in document
    assert document["files_searched"] > 0
    assert (home / f"logs/forgotten/{order.stream_id}.json").stat().st_mode & 0o077 == 0


def test_refunds_are_in_the_proof(home: Path, shop: Shop) -> None:
    order = paid(shop)
    entry = Entry(at=NOW, who="shop", what=What.REFUNDED, evidence={"amount_minor": 4900, "currency": "eur"})
    moved(shop, order.stream_id, State.FAILED, entry)

    (payment,) = forget(shop, order.stream_id, nobody).kept

    assert (payment.refunded_minor, payment.refunded_at) == (4900, NOW)


def test_an_address_that_stands_in_a_log_is_found_and_named(home: Path, shop: Shop) -> None:
    order = delivered(shop)
    (home / "logs/odd.log").write_text(f"x\n{CUSTOMER.upper()}\n")
    (home / "logs/reviews/odd.md").write_text(TITLE)
    (home / "logs/link.log").write_text(order.secret)

    proof = forget(shop, order.stream_id, nobody)

    assert proof.mentioned_in == ("logs/link.log", "logs/odd.log", "logs/reviews/odd.md")


def test_a_title_that_json_has_escaped_is_found_too(home: Path, shop: Shop, hand_in: Callable[..., Path]) -> None:
    hand_in("story", "Once.", title="Az őszi lámpagyújtogató")
    (home / "logs/odd.log").write_text(json.dumps({"title": "Az őszi lámpagyújtogató"}))

    assert forget(shop, "story", nobody).mentioned_in == ("logs/odd.log",)


def test_an_unpaid_order_leaves_a_proof_without_a_payment(home: Path, shop: Shop, drop: Callable[..., Path]) -> None:
    drop("test")

    proof = forget(shop, "test", nobody)

    assert (proof.kept, proof.kept_until, proof.kept_because, proof.outside) == ((), None, "", {})
    assert Queue(home).find("test") is None


def test_a_draft_goes_too(home: Path, shop: Shop) -> None:
    order = draft(shop, ended="expired")

    forget(shop, order.stream_id, nobody)

    assert traces(home, CUSTOMER, TITLE, order.secret) == []
    assert shop.orders.find(order.secret) is None


def test_a_story_in_a_folder_that_is_nobodys_goes_and_another_orders_stays(
    home: Path, shop: Shop, drop: Callable[..., Path], hand_in: Callable[..., Path]
) -> None:
    loose = hand_in("letters-from-ana", "Once.")
    drop("order", input_path="/streams/letters-from-ana/input.json")
    anothers = hand_in("other", "Once.")
    drop("other")
    drop("copy", input_path="/streams/other/input.json")

    forget(shop, "order", nobody)
    forget(shop, "copy", nobody)

    assert not loose.exists()
    assert anothers.exists()


def test_the_other_orders_of_an_address_are_named(home: Path, shop: Shop, drop: Callable[..., Path]) -> None:
    drop("stranger")
    first, second, third = delivered(shop), paid(shop), draft(shop)

    assert others_of(home, look(shop, first.stream_id)) == sorted([second.stream_id, third.stream_id])


def test_the_index_of_what_waits_does_not_name_it_any_more(home: Path, shop: Shop, drop: Callable[..., Path]) -> None:
    drop("ana-kovacs-story")
    drop("stays")
    shop.queue.waiting()
    assert b"ana-kovacs-story" in (home / "jobs/.order.json").read_bytes()

    forget(shop, "ana-kovacs-story", nobody)

    assert list(json.loads((home / "jobs/.order.json").read_bytes())) == ["stays.json"]


def test_what_will_go_is_told_before_it_goes(shop: Shop) -> None:
    order = delivered(shop)

    lines = list(tell(look(shop, order.stream_id)))

    assert lines[0] == f"{order.stream_id} in jobs/completed"
    assert f"  erased: published (1 file(s), {len(TITLE)} bytes)" in lines
    assert lines[-1] == "  kept for tax: 49.00 EUR paid, 0.00 EUR given back"


# --- what may not be forgotten ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [State.PENDING, State.PROCESSING, State.REVIEW, State.FAILED])
def test_a_paid_order_that_is_owed_is_kept_with_the_next_step(home: Path, shop: Shop, state: State) -> None:
    order = paid(shop)
    if state is not State.PENDING:
        moved(shop, order.stream_id, state)

    with pytest.raises(PersonDecides, match=f"downstream refund {order.stream_id}"):
        forget(shop, order.stream_id, nobody)

    assert Queue(home).find(order.stream_id) is state
    assert not is_forgotten(home, order.stream_id)


def test_a_refund_in_part_settles_nothing(shop: Shop) -> None:
    order = paid(shop)
    entry = Entry(at=NOW, who="shop", what=What.REFUNDED, evidence={"amount_minor": 4899})
    moved(shop, order.stream_id, State.FAILED, entry)

    with pytest.raises(PersonDecides):
        look(shop, order.stream_id)


def test_an_order_that_was_delivered_once_may_go_while_it_is_made_anew(shop: Shop) -> None:
    order = delivered(shop)
    moved(shop, order.stream_id, State.PENDING)

    assert forget(shop, order.stream_id, nobody).status == "done"


def test_a_voucher_that_was_given_up_may_go(shop: Shop) -> None:
    order = draft(shop)
    fulfil(shop, session(order, amount=Money("eur", 0), payment_intent=""), "webhook")
    with pytest.raises(PersonDecides):
        look(shop, order.stream_id)
    moved(shop, order.stream_id, State.FAILED)

    assert forget(shop, order.stream_id, nobody).kept[0].amount_minor == 0


@pytest.mark.parametrize("kind", [errands.REFUND, errands.REFUNDED])
def test_a_refund_under_way_is_waited_for(home: Path, shop: Shop, kind: str) -> None:
    order = delivered(shop)
    errands.put(home, order.stream_id, kind, NOW)

    with pytest.raises(TryAgain, match="downstream process"):
        forget(shop, order.stream_id, nobody)


def test_a_disputed_payment_keeps_its_evidence(home: Path, shop: Shop) -> None:
    order = delivered(shop)
    hold(home, Hold(order.stream_id, DISPUTED, "the bank", NOW.isoformat()))

    with pytest.raises(PersonDecides, match=f"downstream release {order.stream_id}"):
        forget(shop, order.stream_id, nobody)


def test_a_payment_at_the_bank_is_waited_for(shop: Shop) -> None:
    order = draft(shop, ended="pending")

    with pytest.raises(PersonDecides, match="at the bank"):
        forget(shop, order.stream_id, nobody)


def test_a_payment_page_that_cannot_be_closed_is_waited_for(home: Path, shop: Shop) -> None:
    order = draft(shop)

    with pytest.raises(Misconfigured, match="STRIPE_API_KEY"):
        forget(shop, order.stream_id, nobody)

    shop.clock = lambda: NOW + timedelta(days=1)
    assert forget(shop, order.stream_id, nobody).status == "done"


def test_a_paid_order_whose_job_is_missing_is_healed_first(home: Path, shop: Shop) -> None:
    order = paid(shop)
    shop.queue.path(State.PENDING, order.stream_id).unlink()

    with pytest.raises(PersonDecides, match="downstream reconcile"):
        look(shop, order.stream_id)


def test_an_order_that_is_worked_on_is_left_alone(home: Path, shop: Shop) -> None:
    order = delivered(shop)

    with Lock.wait(home / "streams" / order.stream_id / "lock"), pytest.raises(Busy):
        forget(shop, order.stream_id, nobody)

    assert not is_forgotten(home, order.stream_id)
    assert Queue(home).find(order.stream_id) is State.COMPLETED


def test_a_file_that_is_no_job_is_not_taken_for_unpaid(home: Path, shop: Shop) -> None:
    (home / "jobs/failed/odd.json").write_text("[]")

    with pytest.raises(Unreadable):
        forget(shop, "odd", nobody)


@pytest.mark.parametrize("name", ["nothing", "*", "../jobs", ".drafts", "a/b", "", "x" * 81])
def test_what_is_no_order_is_not_forgotten_and_leaves_nothing(home: Path, shop: Shop, name: str) -> None:
    before = sorted(home.rglob("*"))

    with pytest.raises(NoSuchJob):
        forget(shop, name, nobody)

    assert sorted(home.rglob("*")) == before


# --- what comes afterwards -------------------------------------------------------------------------------------------


def test_a_webhook_that_comes_again_makes_no_job_and_leaves_nothing(home: Path, shop: Shop) -> None:
    order = delivered(shop)
    forget(shop, order.stream_id, nobody)
    before = sorted(home.rglob("*"))

    assert not fulfil(shop, session(order), "reconcile")

    assert sorted(home.rglob("*")) == before


def orders_and_logs(home: Path) -> list[Path]:
    """Everything there is, but for the messages of the payment service."""
    messages = home / "logs" / "stripe"
    return sorted(path for path in home.rglob("*") if not path.is_relative_to(messages))


def test_money_news_of_a_forgotten_order_holds_nothing_up_and_only_what_matters_is_told(home: Path, shop: Shop) -> None:
    order = delivered(shop)
    forget(shop, order.stream_id, nobody)
    before = orders_and_logs(home)
    for number, kind in enumerate((EventKind.CHARGE_REFUNDED, EventKind.REFUND_CREATED, EventKind.DISPUTE_CREATED)):
        event = PaymentEvent(
            f"evt_{number}", kind, NOW, stream_id=order.stream_id, amount=Money("eur", 4900), is_full=True
        )
        keep(shop, event)
        carry_out(shop, event, "webhook")

    assert orders_and_logs(home) == before
    (told,) = shop.told  # type: ignore[attr-defined]
    assert told.startswith(
        f"{order.stream_id} is forgotten, and the payment service says of its payment: charge.dispute"
    )


def test_another_payment_for_a_forgotten_order_still_reaches_a_person(home: Path, shop: Shop) -> None:
    order = delivered(shop)
    forget(shop, order.stream_id, nobody)

    assert fulfil(shop, session(order, "cs_2"), "webhook")
    assert not fulfil(shop, session(order, "cs_2"), "reconcile")

    ((name, state),) = [(path.stem, path.parent.name) for path in home.glob("jobs/[a-z]*/*.json")]
    assert name.startswith(f"{order.stream_id}-")
    assert state == "failed"


def test_a_second_payment_is_forgotten_by_itself_and_does_not_come_back(home: Path, shop: Shop) -> None:
    order = delivered(shop)
    fulfil(shop, session(order, "cs_2"), "webhook")
    (second,) = [path.stem for path in home.glob("jobs/failed/*-*.json")]
    entry = Entry(at=NOW, who="shop", what=What.REFUNDED, evidence={"amount_minor": 4900})
    moved(shop, second, State.FAILED, entry)

    forget(shop, second, nobody)

    assert not fulfil(shop, session(order, "cs_2"), "reconcile")
    assert Queue(home).find(second) is None
    assert Queue(home).find(order.stream_id) is State.COMPLETED


def test_a_name_used_again_keeps_both_payments_in_one_proof(home: Path, shop: Shop, drop: Callable[..., Path]) -> None:
    for amount in (49, 59):
        drop("again", paid_amount=amount, paid_at="2026-01-06T10:00:00Z")
        moved(shop, "again", State.COMPLETED)
        forget(shop, "again", nobody)

    proof = read_proof(home, "again")
    assert proof is not None
    assert [payment.amount_minor for payment in proof.kept] == [4900, 5900]
    assert proof.erased["job"].files == 2


# --- the host --------------------------------------------------------------------------------------------------------


@pytest.fixture
def vercel() -> Iterator[FakeVercel]:
    """A running Vercel, held to its contract."""
    with FakeVercel() as running:
        yield running
        assert running.violations == []


def published(shop: Shop, vercel: FakeVercel) -> tuple[Order, Hosting]:
    """A delivered order whose page stands at Vercel."""
    order = delivered(shop)
    hosting = VercelHosting(vercel.token, "", vercel.base_url, OpenGate(), poll_seconds=0.01)
    page = shop.home / "streams" / order.stream_id / "page"
    (page / "index.html").write_text(f"<!doctype html><title>{order.stream_id}</title>")
    receipts = Receipts(page.parent / "receipts.jsonl")
    attempt = receipts.intend("publish", "i", "vercel")
    shown = hosting.publish(order.stream_id, page, PaperCall())
    receipts.settle(attempt, result={"address": shown.address})
    evidence = {"address": shown.address, "version": shown.version}
    moved(shop, order.stream_id, State.REVIEW, Entry(at=NOW, who="review", what=What.PUBLISHED, evidence=evidence))
    moved(shop, order.stream_id, State.COMPLETED)
    return order, hosting


class PaperCall:
    """A call that nobody keeps."""

    def spent(self, cost_micros: int, *, exact: bool = True) -> None:
        """As ``Call.spent``."""

    def wait(self, seconds: float) -> None:
        """As ``Call.wait``."""


def test_the_page_is_taken_down_before_our_own_files_go(home: Path, shop: Shop, vercel: FakeVercel) -> None:
    order, hosting = published(shop, vercel)

    proof = forget(shop, order.stream_id, lambda: hosting)

    assert vercel.projects == {}
    assert proof.outside["vercel"].startswith("its project was deleted")


def test_where_the_host_does_not_answer_everything_is_still_there_for_the_next_run(
    home: Path, shop: Shop, vercel: FakeVercel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("downstream.providers.vercel.hosting.time.sleep", lambda _: None)
    order, hosting = published(shop, vercel)
    vercel.fail_next(Fault.drop(), times=4, operations={"deleteProject"})

    with pytest.raises(TryAgain):
        forget(shop, order.stream_id, lambda: hosting)

    assert Queue(home).find(order.stream_id) is State.COMPLETED
    assert unfinished(home) == [order.stream_id]
    assert forget(shop, order.stream_id, lambda: hosting).status == "done"
    assert unfinished(home) == []


def test_an_answer_that_got_lost_is_asked_for_again(
    home: Path, shop: Shop, vercel: FakeVercel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("downstream.providers.vercel.hosting.time.sleep", lambda _: None)
    order, hosting = published(shop, vercel)
    vercel.fail_next(Fault.lose_reply(), operations={"deleteProject"})

    assert "no project" in forget(shop, order.stream_id, lambda: hosting).outside["vercel"]
    assert vercel.projects == {}


def test_a_page_that_is_shown_all_the_same_is_not_called_gone(
    home: Path, shop: Shop, vercel: FakeVercel, monkeypatch: pytest.MonkeyPatch
) -> None:
    order, hosting = published(shop, vercel)
    monkeypatch.setattr(VercelHosting, "fetch", lambda *_: order.stream_id.encode())  # an edge that is behind

    with pytest.raises(TryAgain, match="shows the page still"):
        forget(shop, order.stream_id, lambda: hosting)

    assert Queue(home).find(order.stream_id) is State.COMPLETED


def test_without_its_keys_a_published_page_keeps_the_order(home: Path, shop: Shop, vercel: FakeVercel) -> None:
    order, _ = published(shop, vercel)

    with pytest.raises(Misconfigured, match="keys to take it down"):
        forget(shop, order.stream_id, nobody)

    assert not is_forgotten(home, order.stream_id)


def test_a_live_order_is_forgotten_here_and_at_the_host(home: Path) -> None:
    with Services() as services:
        shop = LiveShop(home, services)
        shop.order()
        assert shop.run("process").returncode == 0
        assert shop.run("review").returncode == 0
        assert shop.where() == "completed"
        assert [project.name for project in services.vercel.projects.values()]

        ended = shop.run("forget", "order-1", "--yes")

        assert ended.returncode == 0, ended.stderr
        assert services.vercel.projects == {}
        assert services.violations == []
    assert "vercel: its project was deleted" in ended.stdout
    assert {line.split(":")[0].strip() for line in ended.stdout.splitlines() if line.startswith("  ")} >= {
        "gemini",
        "minimax",
        "smtp",
        "vercel",
    }
    assert traces(home, CUSTOMER, "The harbour", "The heron came down") == []
    assert not (home / "streams/order-1").exists()


# --- with Stripe -----------------------------------------------------------------------------------------------------


def test_an_open_payment_page_is_closed_so_that_nobody_can_pay_for_nothing(counter: Counter) -> None:
    order, session_id = counter.at_checkout()

    forget(counter.shop, order.stream_id, nobody)

    assert counter.stripe.sessions[session_id]["status"] == "expired"
    counter.tell_all()
    assert counter.jobs() == {}
    assert traces(counter.home, CUSTOMER, order.secret) == []


def test_a_page_that_was_paid_a_moment_ago_makes_its_job_first(counter: Counter) -> None:
    order, session_id = counter.at_checkout()
    counter.stripe.pay(session_id)

    with pytest.raises(TryAgain, match="downstream reconcile"):
        forget(counter.shop, order.stream_id, nobody)

    counter.tell_all()
    assert counter.jobs() == {"pending": [order.stream_id]}


def test_a_refunded_order_is_forgotten_and_neither_webhooks_nor_reconciliation_bring_it_back(
    counter: Counter,
) -> None:
    order, session_id = counter.at_checkout()
    counter.stripe.pay(session_id)
    counter.tell_all()
    work_off(counter.shop)
    refund(counter.shop, order.stream_id)
    work_off(counter.shop)

    proof = forget(counter.shop, order.stream_id, nobody)
    counter.tell_all()
    reconcile(counter.shop)
    list(replay(counter.shop))
    work_off(counter.shop)

    assert counter.jobs() == {}
    assert [(one.amount_minor, one.refunded_minor) for one in proof.kept] == [(4900, 4900)]
    assert set(proof.outside) == {"smtp", "stripe"}
    assert held_orders(counter.home) == []
    assert errands.is_empty(counter.home)
    assert traces(counter.home, CUSTOMER, order.secret, "The heron came down") == []
    assert not (counter.home / "streams" / order.stream_id).exists()


# --- killed ----------------------------------------------------------------------------------------------------------


def killed_at(step: int) -> Callable[[str, tuple[Any, ...]], None]:
    """An audit hook that ends the process just before it writes, renames or removes for the n-th time."""
    seen = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event in {"os.rename", "os.remove", "os.rmdir"} or (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        ):
            seen += 1
            if seen == step:
                os.kill(os.getpid(), signal.SIGKILL)

    return hook


def test_killed_at_any_step_and_run_again_it_finishes(home: Path, shop: Shop, tmp_path: Path) -> None:
    order = delivered(shop)
    killed = 0
    for step in range(1, 200):
        copy = tmp_path / str(step)
        shutil.copytree(home, copy, symlinks=True)
        there = Shop(copy, Settings(), Queue(copy), None, nobody, shop.log, shop.tell, clock=lambda: NOW)  # type: ignore[arg-type]
        child = os.fork()
        if child == 0:
            sys.addaudithook(killed_at(step))
            forget(there, order.stream_id, nobody)
            os._exit(0)
        status = os.waitpid(child, 0)[1]

        if status:
            forget(there, order.stream_id, nobody)

        proof = read_proof(copy, order.stream_id)
        assert proof is not None
        assert (proof.status, proof.erased["job"].files, len(proof.kept)) == ("done", 4, 1), f"killed at {step}"
        assert traces(copy, CUSTOMER, TITLE, order.secret) == [], f"killed at {step}"
        shutil.rmtree(copy)
        if status == 0:
            break
        killed += 1
    assert status == 0
    assert killed > 20


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command_shows_asks_and_can_be_turned_down(home: Path, shop: Shop, run: Callable[..., Any]) -> None:
    order = delivered(shop)

    turned_down = run("forget", order.stream_id, stdin="n\n")
    done = run("forget", order.stream_id, "--yes")
    again = run("forget", order.stream_id, "--yes")

    assert turned_down.returncode == 1
    assert "kept for tax: 49.00 EUR paid" in turned_down.stdout
    assert (done.returncode, again.returncode) == (0, 3)
    assert f"{order.stream_id} is forgotten; the proof: logs/forgotten/{order.stream_id}.json" in done.stdout
    assert "privacy/redaction" in done.stdout
    assert "forgotten before" in again.stderr


def test_a_paused_house_forgets_nobody(home: Path, run: Callable[..., Any], drop: Callable[..., Path]) -> None:
    drop("test")
    run("heartbeat", "pause")

    assert run("forget", "test", "--yes").returncode == 5
    assert Queue(home).find("test") is State.PENDING
