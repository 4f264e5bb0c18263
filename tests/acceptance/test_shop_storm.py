"""A thousand events ten times each, in any order, 32 at once, the server killed twice: one job for each payment."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conftest import environment
from fakes.stripe import FakeStripe
from fakes.stripe_webhooks import encoded, new_id
from live import STORY
from served import (
    AT_ONCE,
    Caller,
    Served,
    at_checkout,
    core,
    half_written,
    jobs,
    serving,
    shop_environment,
    signed,
)

from downstream.alerts import told
from downstream.holds import find_hold
from downstream.queue import Queue
from downstream.shop.checkout import go_to_pay

if TYPE_CHECKING:
    from collections.abc import Callable

    from downstream.shop.shop import Shop

EVENTS = 1000
TIMES = 10
KILLED_AFTER = (300, 1500)
"""So many acknowledged deliveries; by then some 250 and 800 of the thousand events have been heard of."""
FATES = {
    "paid": 50,
    "settled": 200,
    "failed": 30,
    "free": 10,
    "expired": 10,
    "expired, then paid": 10,
    "another amount": 10,
    "refunded": 40,
    "refunded in part": 20,
    "disputed": 50,
    "never finished": 10,
    "of another product": 10,
}
MADE = {"paid", "settled", "free", "expired, then paid", "refunded in part", "disputed"}
"""What lies in ``pending`` in the end, some of it held."""


@dataclass
class Customer:
    """One order and what became of it at the payment service."""

    fate: str
    number: int
    stream_id: str = ""
    session_id: str = ""

    @property
    def title(self) -> str:
        return f"Harbour number {self.number}"

    @property
    def text(self) -> str:
        return f"{STORY}\n\nThis was tale {self.number}."

    @property
    def email(self) -> str:
        return f"reader.{self.number}@customer.example"


def live_through(shop: Shop, account: FakeStripe, customer: Customer) -> None:
    """Everything that happens to an order at the payment service; the shop is told of nothing."""
    if customer.fate == "of another product":
        account.pay(account.session_of_another_product()["id"])
        return
    order, page = at_checkout(shop, title=customer.title, text=customer.text, email=customer.email)
    if customer.fate == "expired, then paid":
        account.expire(page)
        go_to_pay(shop, order)
        page = shop.orders.read(order.stream_id).checkouts[-1].session_id  # type: ignore[union-attr]
    customer.stream_id, customer.session_id = order.stream_id, page
    _HAPPENS.get(customer.fate, _pay)(account, page)


def _pay(account: FakeStripe, page: str) -> str:
    return str(account.pay(page)["payment_intent"])


def _settle(account: FakeStripe, page: str, *, succeeded: bool = True) -> None:
    account.pay(page, method="delayed")
    account.settle(page, succeeded=succeeded)


def _dispute(account: FakeStripe, page: str) -> None:
    payment = _pay(account, page)
    account.dispute(payment)
    account.close_dispute(payment, "won")


_HAPPENS: dict[str, Callable[[FakeStripe, str], Any]] = {
    "settled": _settle,
    "failed": lambda account, page: _settle(account, page, succeeded=False),
    "free": lambda account, page: account.pay(page, amount=0),
    "expired": lambda account, page: account.expire(page),
    "another amount": lambda account, page: account.pay(page, amount=100),
    "refunded": lambda account, page: account.refund_by_hand(_pay(account, page)),
    "refunded in part": lambda account, page: account.refund_by_hand(_pay(account, page), 1000),
    "disputed": _dispute,
    "never finished": lambda _account, _page: None,
}


@dataclass(frozen=True)
class Letter:
    """Something that is sent to the webhook, and what has to be answered."""

    body: bytes
    sign: Callable[[bytes], str]
    expected: int = 200
    event: dict[str, Any] | None = None
    """What it tells, when that is true."""


def not_to_be_believed(account: FakeStripe, unpaid: Customer) -> list[Letter]:
    """All that says that an order is paid for which is not, or says nothing that can be understood."""
    secret, now = account.webhook_secret, time.time()
    paid = {**account.sessions[unpaid.session_id], "status": "complete", "payment_status": "paid"}
    event = account.event("checkout.session.completed", paid)
    body = encoded(event)
    rightly: Callable[[bytes], str] = lambda data: signed(data, secret)  # noqa: E731
    return [
        Letter(body, lambda data: signed(data, "whsec_of_somebody_else"), 400),
        Letter(body, lambda data: signed(data, secret, now - 301), 400),
        Letter(body, lambda data: signed(data, secret, now + 3600), 400),
        Letter(body, lambda _: signed(body + b" ", secret), 400),
        Letter(body, lambda _: "", 400),
        Letter(body[:-20], rightly, 400),
        Letter(b"", rightly, 400),
        Letter(b"[]", rightly, 400),
        Letter(encoded({**event, "object": "list"}), rightly, 400),
        Letter(encoded({**event, "data": {"object": {**paid, "id": "../../cs_1"}}}), rightly, 400),
        Letter(encoded({**event, "id": "../evt_1"}), rightly, 400),
        Letter(encoded({**event, "id": new_id("evt"), "padding": "x" * 2_000_000}), rightly, 413),
    ]


@dataclass
class Storm:
    """Every letter is sent until it is answered, by many at once; what is acknowledged is looked for on the disk."""

    served: Served
    queue: Queue
    waiting: deque[Letter]
    acknowledged: int = 0
    unanswered: int = 0
    answers: Counter[tuple[int, int]] = field(default_factory=Counter)
    """What was to be answered, and what was."""
    looked_for: Counter[str] = field(default_factory=Counter)
    """How many acknowledged events of each type were looked for on the disk."""
    not_there: list[str] = field(default_factory=list)
    """Acknowledged, and not on the disk at that moment."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    further: threading.Event = field(default_factory=threading.Event)

    def blow(self, killed_after: tuple[int, ...]) -> None:
        """All is delivered; the server is killed and started again on the way."""
        with ThreadPoolExecutor(AT_ONCE) as callers:
            running = [callers.submit(self._deliver) for _ in range(AT_ONCE)]
            for count in killed_after:
                self._wait_for(count)
                self.served.kill()
                self.served.start()
            for each in running:
                each.result()

    def _wait_for(self, count: int) -> None:
        while self.acknowledged < count:
            self.further.clear()
            assert self.further.wait(60), "nothing is answered any more"

    def _deliver(self) -> None:
        caller = self.served.caller()
        while True:
            try:
                letter = self.waiting.popleft()
            except IndexError:
                caller.close()
                return
            if not self._send(caller, letter):
                self.waiting.append(letter)
                time.sleep(0.05)  # while the server is away

    def _send(self, caller: Caller, letter: Letter) -> bool:
        reply = caller.tell(letter.body, letter.sign(letter.body))
        told = letter.event if letter.event and _order_of(letter.event) and 200 <= reply.status < 300 else None
        missing = self._missing(told) if told else []
        with self.lock:
            self.not_there += missing
            self.looked_for.update([told["type"]] if told else [])
            if reply.status == 0:
                self.unanswered += 1
                return False
            self.answers[letter.expected, reply.status] += 1
            if reply.status >= 500:
                return False
            self.acknowledged += 200 <= reply.status < 300
            self.further.set()
            return True

    def _missing(self, event: dict[str, Any]) -> list[str]:
        """What an acknowledged event promised and what is not so."""
        thing, home = event["data"]["object"], self.served.home
        stream_id, found = _order_of(event), []
        if (
            event["type"].startswith("checkout.")
            and thing["payment_status"] != "unpaid"
            and not self._is_job(stream_id)
        ):
            found.append(f"the job of {stream_id}")
        if event["type"] == "charge.refunded" and find_hold(home, stream_id) is None:
            found.append(f"the hold of {stream_id}")
        if not list(home.glob(f"logs/stripe/*/{event['id']}.json")):
            found.append(event["id"])
        return found

    def _is_job(self, stream_id: str) -> bool:
        """A job that moves just now is looked for again."""
        return any(self.queue.find(stream_id) is not None for _ in range(3))


def _order_of(event: dict[str, Any]) -> str:
    """The order that a page or a payment of ours names; empty for what is another product's, and for disputes."""
    return str((event["data"]["object"].get("metadata") or {}).get("stream_id", ""))


def snapshot(home: Path) -> dict[str, bytes]:
    """All that orders consist of, and which errands wait; when an errand is tried next is no matter."""
    found = {}
    for top in ("jobs", "streams", "logs/stripe"):
        for path in (home / top).rglob("*"):
            name = str(path.relative_to(home))
            if path.is_file() and not name.startswith(("jobs/.limits", "jobs/.reconcile")) and "lock" not in path.name:
                found[name] = b"" if ".errands" in name else path.read_bytes()
    return found


def program(home: Path, settings: dict[str, str], *arguments: str) -> str:
    """What the real program said, when all went well."""
    command = [sys.executable, "-m", "downstream", "--home", str(home), *arguments]
    ended = subprocess.run(
        command, capture_output=True, text=True, env=environment(**settings), timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def check_kept_its_word(storm: Storm) -> None:
    """Whatever was acknowledged lay on the disk at that moment, and that was really looked at, thousands of times."""
    assert storm.not_there == []
    assert storm.looked_for["checkout.session.completed"] > TIMES * FATES["paid"]
    assert storm.looked_for["checkout.session.async_payment_succeeded"] >= TIMES * FATES["settled"]
    assert storm.looked_for["charge.refunded"] >= TIMES * FATES["refunded"]


def check_swept_up(home: Path, shop: Shop) -> None:
    """What was being written when the server was killed lies under no name that counts, and does not stay."""
    assert all(Path(name).name.startswith(".") for name in half_written(home))
    shop.orders.expire(datetime.now(UTC) + timedelta(hours=2))
    assert half_written(home) == []


def test_each_paid_session_is_one_job_however_it_is_told_and_however_often_the_server_dies(home: Path) -> None:
    shuffled = random.Random(4)
    numbers = iter(range(1000))
    customers = [Customer(fate, next(numbers)) for fate, count in FATES.items() for _ in range(count)]
    with FakeStripe() as account:
        settings = shop_environment(account)
        shop = core(home, settings)
        with ThreadPoolExecutor(8) as many:
            list(many.map(lambda one: live_through(shop, account, one), customers))
        ours = {customer.stream_id: customer for customer in customers if customer.stream_id}
        letters = [
            Letter(encoded(one), lambda data: signed(data, account.webhook_secret), 200, one) for one in account.events
        ]
        assert len(letters) == EVENTS
        nonsense = [
            letter
            for customer in customers
            if customer.fate == "never finished"
            for letter in not_to_be_believed(account, customer)
        ]
        sent = letters * TIMES + nonsense
        shuffled.shuffle(sent)

        with serving(home, settings) as served:
            storm = Storm(served, Queue(home), deque(sent))
            storm.blow(KILLED_AFTER)
            assert served.stop() == 0
        compared = program(home, settings, "reconcile")
        before = snapshot(home)
        replayed = program(home, settings, "reconcile", "--replay")

        assert snapshot(home) == before
        assert account.violations == []

    # Every answer was the one to be given, and dying in the middle cut some off.
    assert all(expected == status for expected, status in storm.answers), storm.answers
    assert storm.answers.total() == len(sent)
    assert storm.unanswered > 0
    check_kept_its_word(storm)
    assert "Traceback" not in served.said

    check_swept_up(home, shop)

    # Paid is one job in one folder, everything else is none.
    by_fate = {fate: {one.stream_id for one in customers if one.fate == fate} for fate in FATES}
    pending = set().union(*(by_fate[fate] for fate in MADE))
    gone = by_fate["another amount"] | by_fate["refunded"]
    assert jobs(home) == {each: ["pending"] for each in pending} | {each: ["failed"] for each in gone}
    assert f"{len(pending | gone)} paid sessions of the last 4 days, 0 without a job" in compared
    assert set(shop.orders.drafts()) == ours.keys() - pending - gone

    # Each with its own words, and the errands that follow from it.
    for stream_id in pending | gone:
        story = json.loads((home / "streams" / stream_id / "input.json").read_bytes())
        (path,) = home.glob(f"jobs/[a-z]*/{stream_id}.json")
        job, customer = json.loads(path.read_bytes()), ours[stream_id]
        assert (story["title"], story["text"], job["customer_email"]) == (customer.title, customer.text, customer.email)
    confirmed = pending
    errands = {path.name for path in (home / "jobs/.errands").iterdir()}
    assert errands == {f"{each}.confirm.json" for each in confirmed} | {
        f"{each}.payment_failed.json" for each in by_fate["failed"]
    }

    # What was taken back stands still, and the operator knows of each.
    holds = {each: hold.kind for each in ours if (hold := find_hold(home, each))}
    assert holds == (
        dict.fromkeys(by_fate["refunded"], "refunded")
        | dict.fromkeys(by_fate["refunded in part"], "part_refunded")
        | dict.fromkeys(by_fate["disputed"], "disputed")
    )
    assert {one.split(".")[1] for one in told(home, "disputed.")} == by_fate["disputed"]
    assert {one.split(".")[1] for one in told(home, "refunded.")} == by_fate["refunded"] | by_fate["refunded in part"]
    assert len(told(home, "failed.")) == len(by_fate["another amount"])

    # What is kept of the events is enough to do it all again, and names nobody.
    kept = list(home.glob("logs/stripe/*/*.json"))
    assert f"{len(kept)} events carried out again" in replayed
    assert not any(b"customer.example" in path.read_bytes() for path in kept)
