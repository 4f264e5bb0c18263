"""Seventy-two simulated hours of business with everything that goes wrong: nobody is forgotten, and the books balance.

The machine is off for ten hours, its clock is set back and forward again, summer time ends, the power fails, services
fail in all their ways, the heartbeat is overdue, money goes back. The seed decides what happens when.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from conftest import SMALL_CLIPS
from fakes.gemini import FakeGemini, daily_quota, finished, prompt_blocked
from fakes.replicate import FakeReplicate, failed, stuck
from fakes.service import FOR_EVER, Fault
from fakes.services import Services
from fakes.smtp import MailFault
from fakes.stripe import FakeStripe
from fakes.stripe_webhooks import encoded
from fakes.vercel import blocked, build_error
from live import answer
from served import shop_environment
from simulated import TICK, Clock, Cron, House, moment

from downstream.domain.errors import DownstreamError
from downstream.domain.job import Job
from downstream.domain.state import State
from downstream.heartbeat import write_heartbeat
from downstream.holds import DISPUTED, find_hold, let_go
from downstream.installation import lay_out
from downstream.ledger import Caps, Ledger
from downstream.queue import Busy, Queue
from downstream.receipts import Attempt, Phase, Receipts
from downstream.retry import retry
from downstream.shop.events import receive
from downstream.shop.refund import refund
from downstream.shop.withdraw import TooLate, withdraw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fakes.service import Call, FakeService

START = moment("2025-10-25T06:00")
HOURS = 72
ZONE = "Europe/Bratislava"
"""Its summer time ends on 26 October 2025 at 01:00 UTC, which is hour 19."""
OFF = (38.5, 48.5)
"""The hours for which the machine is off; it misses the bell of the second day."""
SET_BACK = (15.5, 18.6)
"""Between these hours its clock is three hours slow: the bell of the first day rings twice."""
OVERDUE = (50, 55)
"""The hours for which nobody has renewed the heartbeat."""
CALM = 62
"""From this hour on nothing new goes wrong, and nobody orders."""
ORDERS = 25
PER_MINUTE = {"GEMINI_PER_MINUTE": "12", "REPLICATE_PER_MINUTE": "8"}
CAP_PER_DAY_CENTS = 1300
TINY = {"CLIP_WIDTH": "112", "CLIP_HEIGHT": "62", "CLIP_SECONDS": "0.5"}
GIVEN_BACK = {"refunded", "withdrawn"}


def hour(number: float) -> datetime:
    """That many hours after the beginning, truly."""
    return START + timedelta(hours=number)


@dataclass
class Customer:
    """One order, and what its customer and the payment service do."""

    number: int
    at: float
    told_by: str
    """``webhook``, ``late`` (the machine was told hours later), ``twice``, or ``nobody``."""
    then: str = ""
    """What comes of it: ``withdraws``, ``disputes``, ``refunded`` by the operator, or nothing unusual."""
    stream_id: str = ""
    session_id: str = ""
    payment_intent: str = ""


@dataclass
class Happening:
    """Something that somebody does at a time; ``needs_machine`` when it waits until the machine is on."""

    at: datetime
    do: Callable[[], None]
    needs_machine: bool = False


@dataclass
class Days:
    """The three days, as the seed has them."""

    house: House
    services: Services
    stripe: FakeStripe
    chance: random.Random
    customers: list[Customer] = field(default_factory=list)
    happenings: list[Happening] = field(default_factory=list)
    calls: dict[str, list[datetime]] = field(default_factory=lambda: defaultdict(list))
    """When each service was asked for something that counts, truly."""
    asked_again: Counter[str] = field(default_factory=Counter)

    # --- what happens --------------------------------------------------------------------------------------------

    def plan(self) -> None:
        """Everything that will happen is known; when, only the seed knows."""
        self._record_calls()
        self._plan_customers()
        self._plan_faults()
        self.at(START + timedelta(hours=OVERDUE[0]), lambda: self._renew(moment("2025-09-20T00:00").date()))
        self.at(hour(OVERDUE[1]), lambda: self._renew(hour(OVERDUE[1]).date()))
        self.at(hour(SET_BACK[0]), lambda: self._set_clock(timedelta(hours=-3)))
        self.at(hour(SET_BACK[1]), lambda: self._set_clock(timedelta()))
        for number in range(0, HOURS, 2):
            self.at(hour(number + 1), self._look_after_failed)
        self.at(hour(5), self._drop_test_job)

    def at(self, when: datetime, do: Callable[[], None], *, needs_machine: bool = True) -> None:
        """That will be done then."""
        self.happenings.append(Happening(when, do, needs_machine))

    def run(self) -> None:
        """The three days pass."""
        clock, cron, was_off = self.house.clock, Cron(self.house), False
        clock.go_on(START)
        while clock.true < hour(HOURS):
            clock.go_on(_next_tick(clock.true))
            is_off = hour(OFF[0]) <= clock.true < hour(OFF[1])
            self._let_happen(is_off=is_off)
            if is_off or was_off:
                cron.forget()
            was_off = is_off
            if not is_off:
                self._tick(cron)

    def _tick(self, cron: Cron) -> None:
        is_calm = self.house.clock.true > hour(CALM)
        if not is_calm and self.chance.random() < 0.3 and not self.house.is_idle:
            self.house.clock.arm(self.chance.randrange(5, 400))
        if self.chance.random() < 0.05:
            self.house.at_once(*cron.due(), "process", "review")
        else:
            cron.tick()
        if self.house.clock.disarm():
            self.house.clock.go_on(self.house.clock.true + timedelta(minutes=2))

    def _let_happen(self, *, is_off: bool) -> None:
        now = self.house.clock.true
        due = [each for each in self.happenings if each.at <= now and not (is_off and each.needs_machine)]
        for each in sorted(due, key=lambda one: one.at):
            self.happenings.remove(each)
            each.do()

    # --- customers -----------------------------------------------------------------------------------------------

    def _plan_customers(self) -> None:
        fates = ["withdraws", "disputes", "refunded", "refunded"]
        for number in range(ORDERS):
            told_by = self.chance.choices(["webhook", "late", "twice", "nobody"], [6, 2, 2, 4])[0]
            customer = Customer(number, self.chance.uniform(0.2, CALM - 6), told_by)
            if number < len(fates):
                customer.then = fates[number]
            if number in {len(fates), len(fates) + 1}:  # these pay while the machine is off
                customer.at, customer.told_by = OFF[0] - 0.3, "nobody"
            self.customers.append(customer)
            self.at(hour(customer.at), lambda one=customer: self._order(one))

    def _order(self, customer: Customer) -> None:
        if not self.house.takes_orders:
            self.at(self.house.clock.true + timedelta(hours=1), lambda: self._order(customer))
            return
        customer.stream_id, customer.session_id = self.house.begin_order(title=f"The harbour {customer.number}")
        pays_in = 4.0 if customer.at == OFF[0] - 0.3 else self.chance.uniform(0.01, 0.5)
        self.at(self.house.clock.true + timedelta(hours=pays_in), lambda: self._pay(customer), needs_machine=False)

    def _pay(self, customer: Customer) -> None:
        heard = len(self.stripe.events)
        customer.payment_intent = self.stripe.pay(customer.session_id)["payment_intent"]
        events = self.stripe.events[heard:]
        waits = {"webhook": [0.0], "twice": [0.0, 1.0], "late": [3.0], "nobody": []}[customer.told_by]
        for hours in waits:
            self.at(self.house.clock.true + timedelta(hours=hours), lambda: self._tell(events))
        later = timedelta(hours=self.chance.uniform(0.2, 3))
        if customer.then == "withdraws":
            self.at(self.house.clock.true, lambda: self._withdraw(customer))
        elif customer.then == "disputes":
            self.at(self.house.clock.true + later, lambda: self._dispute(customer), needs_machine=False)
        elif customer.then == "refunded":
            self.at(self.house.clock.true + later, lambda: self._refund(customer))

    def _tell(self, events: list[dict[str, Any]]) -> None:
        for event in events:
            body = encoded(event)
            receive(self.house.shop, body, self.stripe.sign(body, at=time.time()))

    def _withdraw(self, customer: Customer) -> None:
        order = self.house.shop.orders.read(customer.stream_id)
        assert order is not None
        if Queue(self.house.home).find(customer.stream_id) is None:  # nobody has heard of the payment yet
            self.at(self.house.clock.true + TICK, lambda: self._withdraw(customer))
            return
        with suppress(TooLate):
            withdraw(self.house.shop, order)

    def _dispute(self, customer: Customer) -> None:
        heard = len(self.stripe.events)
        self.stripe.dispute(customer.payment_intent)
        events = self.stripe.events[heard:]
        self.at(self.house.clock.true, lambda: self._tell(events))
        self.at(self.house.clock.true + timedelta(hours=9), lambda: self._win(customer))

    def _win(self, customer: Customer) -> None:
        heard = len(self.stripe.events)
        self.stripe.close_dispute(customer.payment_intent, "won")
        self._tell(self.stripe.events[heard:])
        held = find_hold(self.house.home, customer.stream_id)
        if held is not None and held.kind == DISPUTED:
            let_go(self.house.home, customer.stream_id)

    def _refund(self, customer: Customer) -> None:
        try:
            refund(self.house.shop, customer.stream_id)
        except (DownstreamError, Busy):  # not heard of, or the service is in trouble: the operator tries again
            self.at(self.house.clock.true + timedelta(hours=1), lambda: self._refund(customer))

    # --- the operator --------------------------------------------------------------------------------------------

    def _look_after_failed(self) -> None:
        """What failed is tried again, twice; then its money goes back, or it stays as it is."""
        queue = Queue(self.house.home)
        for job in list(queue.jobs(State.FAILED)):
            assert isinstance(job, Job), job
            is_over = job.is_given_back or (job.failure and job.failure.kind in GIVEN_BACK)
            if is_over or find_hold(self.house.home, job.stream_id):
                continue
            if self.asked_again[job.stream_id] < 2:
                self.asked_again[job.stream_id] += 1
                retry(queue, job.stream_id, step=None, segment_id=None, now=self.house.clock.now(), cleared=True)
            elif self.chance.random() < 0.5:
                with suppress(DownstreamError):
                    refund(self.house.shop, job.stream_id)

    def _renew(self, day: date) -> None:
        write_heartbeat(self.house.home, status="ACTIVE", renewed=day, renew_days=30)

    def _set_clock(self, offset: timedelta) -> None:
        self.house.clock.offset = offset

    def _drop_test_job(self) -> None:
        path = self.house.home / "jobs" / "pending" / "test.json"
        path.write_text(json.dumps({"stream_id": "test", "customer_email": "test@test.com"}))

    # --- the services --------------------------------------------------------------------------------------------

    def _record_calls(self) -> None:
        for service in (self.services.gemini, self.services.replicate):

            def note(_: Call, name: str = service.name) -> bool:
                self.calls[name].append(self.house.clock.true)
                return False

            service.fail_next(Fault(), note, times=FOR_EVER)

    def _plan_faults(self) -> None:
        services, chance = self.services, self.chance
        self._during(services.gemini, 3, 10, Fault.status(429, retry_delay="40s"))
        self._during(services.gemini, 8, 20, Fault.status(500), share=0.3)
        self._during(services.gemini, 11, 60, Fault.status(402))
        self._during(services.gemini, 22.9, 126, daily_quota())  # until midnight in California
        self._during(services.gemini, 53, 15, Fault.status(503), share=0.3)
        self._during(services.replicate, 6, 60, Fault.status(402))
        self._during(services.replicate, 21, 15, Fault.status(429, retry_after="20"))
        self._during(services.replicate, 26, 20, Fault.status(500), share=0.3)
        self._during(services.vercel, 24, 60, blocked())
        self._during(services.vercel, 56, 40, Fault.status(503))
        self._during(self.stripe, 28, 100, Fault.status(503), operations={"GetEvents", "GetCheckoutSessions"})
        for fault in (prompt_blocked(), prompt_blocked(), finished("IMAGE_SAFETY"), finished("NO_IMAGE")):
            self._once(services.gemini, fault)
        for fault in (Fault.lose_reply(), Fault.drop(), Fault.cut()):
            self._once(services.gemini, fault)
            self._once(services.replicate, fault)
        for fault in (failed(), failed("E005 flagged as sensitive"), stuck()):
            self._once(services.replicate, fault)
        self._once(services.vercel, build_error())
        down = chance.uniform(22, 25)
        self.at(hour(down), lambda: services.smtp.fail_next(MailFault.refuse("MAIL", "451 4.3.0 Not now"), times=9999))
        self.at(hour(down + 4), services.smtp.clear_faults)
        self.at(hour(chance.uniform(1, 20)), lambda: services.smtp.fail_next(MailFault.drop_after_data()))

    def _during(
        self,
        service: FakeService,
        begins: float,
        minutes: float,
        fault: Fault,
        *,
        share: float = 1.0,
        operations: set[str] | None = None,
    ) -> None:
        """The service fails for a time, by the true clock; ``share`` of the calls."""
        start = hour(begins)
        chance = random.Random(self.chance.random())

        def is_meant(_: Call) -> bool:
            return start <= self.house.clock.true < start + timedelta(minutes=minutes) and chance.random() < share

        service.fail_next(fault, is_meant, times=FOR_EVER, operations=operations)

    def _once(self, service: FakeService, fault: Fault) -> None:
        """The first call after some moment fails."""
        after = hour(self.chance.uniform(0.5, CALM - 6))
        service.fail_next(fault, lambda _: self.house.clock.true >= after)


def _next_tick(now: datetime) -> datetime:
    return datetime.fromtimestamp((now.timestamp() // TICK.total_seconds() + 1) * TICK.total_seconds(), UTC)


@pytest.fixture
def open_days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], Days]]:
    """The house, its services and its customers, as a seed has them."""
    home = tmp_path / "home"
    lay_out(home, today=START.date(), program="downstream")
    clock = Clock(START - timedelta(seconds=1), home)
    services = Services(
        gemini=FakeGemini(picture_size=(112, 63)),
        replicate=FakeReplicate(
            clip_size=(112, 62),
            clip_seconds=0.5,
            clip_frames_per_second=12,
            smallest_side=60,
            now=clock.at_the_services,
        ),
        stripe=FakeStripe(now=clock.at_the_services),
    )
    with services:
        services.gemini.text_answer = answer
        assert services.stripe is not None
        stripe = services.stripe
        monkeypatch.setenv("SSL_CERT_FILE", str(services.smtp.authority))
        settings = {**SMALL_CLIPS, **TINY, **services.environment(), **shop_environment(stripe), **PER_MINUTE}
        settings |= {"TIMEZONE": ZONE, "CAP_PER_DAY_CENTS": str(CAP_PER_DAY_CENTS), "JOBS_AT_ONCE": "2"}

        def days(seed: int) -> Days:
            found = Days(House(home, settings, clock), services, stripe, random.Random(seed))
            found.plan()
            return found

        yield days


@pytest.mark.parametrize("seed", [20251025])
def test_in_three_days_of_trouble_every_order_comes_to_an_end_and_the_books_balance(
    open_days: Callable[[int], Days], seed: int
) -> None:
    days = open_days(seed)

    days.run()

    home = days.house.home
    assert days.house.clock.cuts >= 3
    assert every_payment_is_one_job(days) == []
    assert what_has_not_ended(home) == []
    assert wrong_books(home, days.services) == []
    assert wrong_letters(home, days) == []
    assert wrong_reports(home) == []
    assert days_over_the_cap(home) == {}
    assert minutes_over_the_pace(days) == []
    assert days.services.violations == []


def every_payment_is_one_job(days: Days) -> list[str]:
    """The payments that are not just one job, and jobs that nobody paid for."""
    paid = sorted(each.stream_id for each in days.customers if each.payment_intent)
    assert len(paid) == ORDERS
    found = sorted(path.stem for path in days.house.home.glob("jobs/[a-z]*/*.json") if path.stem != "test")
    return sorted((Counter(paid) - Counter(found)) + (Counter(found) - Counter(paid)))


def what_has_not_ended(home: Path) -> list[str]:
    """The orders that are neither delivered nor failed with a reason."""
    open_ones = [path for state in ("pending", "processing", "review") for path in home.glob(f"jobs/{state}/*.json")]
    without = [
        path for path in home.glob("jobs/failed/*.json") if not json.loads(path.read_bytes())["failure"]["reason"]
    ]
    return [f"{path.parent.name}/{path.read_text()}" for path in (*open_ones, *without)]


def wrong_books(home: Path, services: Services) -> list[str]:
    """Where ledger, receipts and the services' bills disagree by more than is written down as unknown or assumed."""
    attempts = {path.parent.name: Receipts(path).attempts for path in home.glob("streams/s*/receipts.jsonl")}
    ledger: Counter[str] = Counter()
    still_open = []
    for entry in entries(home):
        ledger[entry.stream_id] += entry.micros
        still_open += [f"{entry.stream_id} {entry.call} is open"] if entry.is_open else []
    wrong = [
        f"{stream_id}: ledger {ledger[stream_id]}, receipts {spent(made)}"
        for stream_id, made in attempts.items()
        if ledger[stream_id] != spent(made)
    ]
    billed, booked = sum(charge.micro_dollars for charge in services.bill), sum(ledger.values())
    doubtful = sum(one.spent_micros for made in attempts.values() for one in made if one.phase is not Phase.OUTCOME)
    if not billed <= booked <= billed + doubtful:
        wrong.append(f"booked {booked}, billed {billed}, in doubt {doubtful}")
    return still_open + wrong


def spent(attempts: list[Attempt]) -> int:
    """What the receipts of one order add up to."""
    return sum(one.spent_micros for one in attempts)


def entries(home: Path) -> list[Any]:
    """Everything in the ledger."""
    caps = Caps(per_call_micros=0, per_day_micros=0, per_month_micros=0)
    ledger = Ledger(home, caps=caps, timezone=ZONE, clock=lambda: START)
    return [
        entry
        for path in home.glob("logs/ledger/*.jsonl")
        for entry in ledger.entries(date.fromisoformat(f"{path.stem}-01"))
    ]


def wrong_letters(home: Path, days: Days) -> list[str]:
    """Letters that are missing, or that came again without its being written down that nobody knows of the first."""
    sent = Counter(
        str(letter.message["Message-ID"]).strip("<").partition("@")[0] for letter in days.services.smtp.letters
    )
    wanted = {f"{one.stream_id}.confirmed" for one in days.customers}
    wanted |= {f"{path.stem}.delivered.1" for path in home.glob("jobs/completed/s*.json")}
    wanted |= {f"{one.stream_id}.refunded" for one in days.customers if one.then == "refunded"}
    lost = {
        name
        for name in sent
        if name.startswith("s") and not name.startswith(tuple(d.stream_id for d in days.customers))
    }
    again = {
        name: times
        for name, times in sent.items()
        if name.partition(".")[0] in {one.stream_id for one in days.customers}
        if times > 1 + lost_answers(home, *name.split(".")[:2]) or times > 2
    }
    return [*sorted(wanted - set(sent)), *sorted(lost), *(f"{name} {times} times" for name, times in again.items())]


def lost_answers(home: Path, stream_id: str, letter: str) -> int:
    """How often nobody knew whether that letter had gone out."""
    name, call = ("receipts", "mail") if letter == "delivered" else ("shop", f"letter.{letter}".removesuffix("ed"))
    attempts = Receipts(home / "streams" / stream_id / f"{name}.jsonl").attempts
    return sum(1 for one in attempts if one.call.startswith(call) and one.phase is Phase.UNKNOWN)


def wrong_reports(home: Path) -> list[str]:
    """The days whose review was not written just once after their end."""
    lines = [json.loads(line) for line in (home / "logs" / "daily.log").read_text().splitlines()]
    final = Counter(line["review"] for line in lines if line["event"] == "review.written" and line["complete"])
    wanted = Counter(f"daily-2025-10-{day}.md" for day in (25, 26, 27))
    lying = Counter(path.name for path in home.glob("logs/reviews/daily-*.md"))
    return sorted((final - wanted) + (wanted - final) + (lying - wanted) + (wanted - lying))


def days_over_the_cap(home: Path) -> dict[date, int]:
    """The days on which more was spent than may be."""
    spent_on: Counter[date] = Counter()
    for entry in entries(home):
        spent_on[entry.at.date()] += entry.micros
    return {day: micros for day, micros in spent_on.items() if micros > CAP_PER_DAY_CENTS * 10_000}


def minutes_over_the_pace(days: Days) -> list[str]:
    """Calls that were one too many within a minute."""
    most = {"gemini": int(PER_MINUTE["GEMINI_PER_MINUTE"]), "replicate": int(PER_MINUTE["REPLICATE_PER_MINUTE"])}
    return [
        f"{name} at {last}"
        for name, calls in days.calls.items()
        for first, last in zip(calls, calls[most[name] :], strict=False)
        if last - first < timedelta(seconds=59.9)
    ]
