"""The restore drill: a shop with orders in every state is backed up while it works, lost, and restored elsewhere.

Nothing that was finished is paid for, published or mailed again; what was not is held, and once it is let go every
order comes to its end once, and the books agree with the bills.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from fakes.gemini import FakeGemini
from fakes.replicate import FakeReplicate
from fakes.services import Services
from fakes.stripe import FakeStripe
from live import CUSTOMER, Shop
from served import Served, at_checkout, core, jobs, serving

from downstream.holds import RESTORED, find_hold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TINY = {"CLIP_WIDTH": "112", "CLIP_HEIGHT": "62", "CLIP_SECONDS": "0.5", "SEGMENTS_AT_ONCE": "1"}
UNFINISHED = {"pending", "processing", "review"}


def working_services() -> Services:
    """The services, each call taking as long as makes it likely that a backup falls into it."""
    return Services(
        gemini=FakeGemini(picture_size=(112, 63), keyframe_latency_seconds=0.15, text_latency_seconds=0.15),
        replicate=FakeReplicate(
            clip_size=(112, 62),
            clip_seconds=0.5,
            clip_frames_per_second=12,
            smallest_side=60,
            clip_latency_seconds=0.4,
        ),
        stripe=FakeStripe(),
    )


@dataclass
class House:
    """The installation that will be lost: its shop door, the customers, and the place of its backups."""

    shop: Shop
    served: Served
    place: Path
    paid: list[str] = field(default_factory=list)

    @property
    def account(self) -> FakeStripe:
        assert self.shop.services.stripe
        return self.shop.services.stripe

    @property
    def home(self) -> Path:
        return self.shop.home

    def draft(self) -> tuple[str, str]:
        """An order at the payment page, and the page's id."""
        order, session = at_checkout(core(self.home, self.shop.environment()))
        return order.stream_id, session

    def order(self) -> str:
        """A paid order that the shop was told of."""
        stream_id, session = self.draft()
        self.account.pay(session)
        assert self.served.tell(self.account.events[-1]).status == 200
        self.paid.append(stream_id)
        return stream_id

    def do(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """A command that goes well."""
        ended = self.shop.run(*arguments, **settings)
        assert ended.returncode in {0, 3}, ended.stderr
        return ended

    def begin(self, *arguments: str) -> subprocess.Popen[bytes]:
        """A command that runs on beside the test."""
        command = [sys.executable, "-m", "downstream", "--home", str(self.home), *arguments]
        return subprocess.Popen(command, env=self.shop.environment(), start_new_session=True)

    def letters_are_out(self) -> None:
        """No letter waits any more."""
        wait_until(lambda: not list((self.home / "jobs" / ".errands").glob("*.json")))


def wait_until(is_so: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def house(home: Path, tmp_path: Path) -> Iterator[House]:
    with working_services() as services:
        settings = TINY | {"PUBLIC_URL": "https://stories.example"}
        shop = Shop(home, services, settings)
        with serving(home, shop.environment()) as served:
            yield House(shop, served, tmp_path / "backups")
        assert services.violations == []


def letters(services: Services) -> Counter[str]:
    """The letters to customers, by their Message-ID: the same letter has the same."""
    found = [letter for letter in services.smtp.letters if CUSTOMER in letter.recipients]
    return Counter(str(letter.message["Message-ID"]) for letter in found)


def restored(house: House, backup: Path, home: Path, *options: str) -> Shop:
    """The installation that is laid out from a backup, with its heart beating again."""
    shop = Shop(home, house.shop.services, house.shop.settings)
    ended = shop.run("restore", str(backup), *options)
    assert ended.returncode == 0, ended.stderr
    assert shop.run("process").returncode == 5  # paused until somebody has read what it printed
    assert shop.run("heartbeat", "resume").returncode == 0
    return shop


def states(home: Path) -> dict[str, str]:
    """Stream id to state; every job lies in one folder."""
    found = jobs(home)
    assert {stream_id for stream_id, folders in found.items() if len(folders) != 1} == set()
    return {stream_id: folders[0] for stream_id, folders in found.items()}


def check_nothing_is_done(shop: Shop) -> None:
    """Whatever was not finished is held: nothing is bought, published or mailed."""
    before = (len(shop.services.bill), len(shop.services.vercel.deployments), letters(shop.services))
    for stage in ("process", "review", "process"):
        assert shop.run(stage).returncode in {3, 4, 7}
    assert (len(shop.services.bill), len(shop.services.vercel.deployments), letters(shop.services)) == before


def paid_outcomes(home: Path, stream_id: str) -> Counter[tuple[str, str]]:
    """The paid calls that came to an end, by call and inputs."""
    path = home / "streams" / stream_id / "receipts.jsonl"
    lines = [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []
    return Counter(
        (one["call"], one["inputs"]) for one in lines if one["phase"] == "outcome" and one.get("cost_micros")
    )


def check_books(home: Path) -> None:
    """Every paid call in an order's receipts is in the ledger at the same price, and nothing is open.

    The ledger may know more: what the lost machine paid for while the orders were copied, and the ledger was not yet.
    """
    books: dict[tuple[str, ...], int] = {}
    for path in sorted((home / "logs" / "ledger").glob("*.jsonl")):
        lines = [json.loads(line) for line in path.read_bytes().splitlines()]
        last = {(one["stream"], one["call"], one["inputs"], one["attempt"]): one for one in lines}
        assert {one["what"] for one in last.values()} == {"settled"}
        books |= {key: one["micros"] for key, one in last.items()}
    for stream_id in states(home):
        receipts = home / "streams" / stream_id / "receipts.jsonl"
        for one in map(json.loads, receipts.read_bytes().splitlines() if receipts.exists() else ()):
            if one.get("cost_micros"):
                assert books[stream_id, one["call"], one["inputs"], one["attempt"]] == one["cost_micros"], one


@dataclass
class Orders:
    """One order in every state."""

    delivered: list[str]
    given_up: str
    refunded: str
    reviewed: str
    asleep: str
    """A draft that nobody pays for."""
    late: str
    """A draft that is paid for once the machine is lost."""
    late_session: str


def in_every_state(house: House) -> Orders:
    """The orders of a shop that has been open for a while; three more wait to be made."""
    delivered = [house.order(), house.order()]
    house.do("process")
    house.do("review")
    given_up, refunded, reviewed = house.order(), house.order(), house.order()
    house.do("cancel", given_up)
    house.do("refund", refunded, "--yes")
    house.do("process")
    asleep, _ = house.draft()
    late, late_session = house.draft()
    for _ in range(3):
        house.order()
    return Orders(delivered, given_up, refunded, reviewed, asleep, late, late_session)


def backed_up_at_work(house: House, dice: random.Random) -> list[Path]:
    """Backups at random instants while orders are made and customers pay, the last one just before the machine dies."""
    made: list[Path] = []
    process = house.begin("process")

    def back_up() -> None:
        house.do("backup", str(house.place), "--keep", "100")
        made.append(max(path for path in house.place.iterdir() if path.name[0] != "."))

    paying = threading.Thread(target=lambda: [pause(dice) or house.order() for _ in range(3)])
    paying.start()
    while paying.is_alive() or len(made) < 3:
        pause(dice)
        back_up()
    paying.join()
    process.wait()
    for _ in range(3):
        house.order()
    house.letters_are_out()
    process = house.begin("process")
    begun = dice.randrange(5, 30)
    wait_until(lambda: receipts_in_work(house.home) > begun)
    back_up()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    house.served.kill()
    return made


def pause(dice: random.Random) -> None:
    time.sleep(dice.uniform(0, 0.6))


def receipts_in_work(home: Path) -> int:
    """How many lines the orders that are being made have."""
    paths = [home / "streams" / path.stem / "receipts.jsonl" for path in home.glob("jobs/processing/*.json")]
    return sum(path.read_bytes().count(b"\n") for path in paths if path.exists())


def check_does_nothing(house: House, backup: Path, home: Path, orders: Orders) -> None:
    """A shop restored from any of the backups has every order once, and does nothing by itself."""
    shop = restored(house, backup, home)
    found = states(shop.home)
    assert {found[one] for one in orders.delivered} == {"completed"}
    assert (found[orders.given_up], found[orders.refunded], found[orders.reviewed]) == ("failed", "failed", "review")
    assert found.keys() - {orders.asleep, orders.late} <= set(house.paid)
    check_nothing_is_done(shop)


def check_each_is_held(shop: Shop) -> set[str]:
    """Every order that was not finished, and no other; returns them."""
    in_backup = states(shop.home)
    held = {stream_id for stream_id, state in in_backup.items() if state in UNFINISHED}
    assert {stream_id for stream_id in in_backup if find_hold_kind(shop.home, stream_id) == RESTORED} == held
    assert "processing" in in_backup.values()
    return held


def let_go_on(shop: Shop, held: set[str], lost: dict[str, str]) -> None:
    """The operator has looked at each order; what the lost machine delivered after the backup is not made again."""
    for stream_id in sorted(held):
        was_delivered = lost.get(stream_id) == "completed"
        how = ["--delivered", "https://pages.example/"] if was_delivered else []
        assert shop.run("release", stream_id, *how).returncode == 0
    for stage in ("process", "review") * 3:
        shop.run(stage)


def test_a_lost_machine_is_restored_and_every_order_comes_to_its_end_once(house: House, tmp_path: Path) -> None:
    orders = in_every_state(house)
    dice = random.Random(5)
    backups = backed_up_at_work(house, dice)
    lost = states(house.home)
    for number, backup in enumerate(dice.sample(backups[:-1], 3)):
        check_does_nothing(house, backup, tmp_path / f"restored-{number}", orders)

    # The last one goes on. A customer who has paid since is found, and waits for the operator, too.
    shop, services = restored(house, house.place, tmp_path / "restored"), house.shop.services
    made = {stream_id: paid_outcomes(shop.home, stream_id) for stream_id in states(shop.home)}
    assert made.keys() == set(house.paid)
    held = check_each_is_held(shop)
    check_nothing_is_done(shop)
    house.account.pay(orders.late_session)
    assert "1 without a job" in shop.run("reconcile").stdout
    assert find_hold_kind(shop.home, orders.late) == RESTORED
    check_nothing_is_done(shop)
    billed = len(services.bill)
    let_go_on(shop, held | {orders.late}, lost)

    ends = dict.fromkeys([*house.paid, orders.late], "completed")
    assert states(shop.home) == ends | dict.fromkeys((orders.given_up, orders.refunded), "failed")
    sent = letters(services)
    assert set(sent.values()) == {1}
    assert {f"<{one}.delivered.1@example.com>" for one in [*orders.delivered, orders.reviewed, orders.late]} <= set(
        sent
    )
    finished = {stream_id: paid_outcomes(shop.home, stream_id) for stream_id in ends}
    assert max(count for each in finished.values() for count in each.values()) == 1
    assert all(made.get(stream_id, Counter()) <= each for stream_id, each in finished.items())
    new = sum(each.total() for each in finished.values()) - sum(each.total() for each in made.values())
    # What was begun before the backup, and fetched after it, was billed then.
    assert 0 < len(services.bill) - billed <= new
    check_books(shop.home)


def find_hold_kind(home: Path, stream_id: str) -> str:
    found = find_hold(home, stream_id)
    return found.kind if found else ""


def test_a_planned_move_holds_nothing_and_goes_on_where_it_was(house: House, tmp_path: Path) -> None:
    first, second = house.order(), house.order()
    house.do("process")
    house.letters_are_out()
    sent, billed = letters(house.shop.services), len(house.shop.services.bill)

    house.do("backup", str(house.place))
    refused = Shop(tmp_path / "new", house.shop.services, house.shop.settings).run(
        "restore", str(house.place), "--resume"
    )
    assert refused.returncode == 6
    assert "heartbeat pause" in refused.stderr
    assert not (tmp_path / "new").exists()

    assert house.shop.run("heartbeat", "pause").returncode == 0
    house.do("backup", str(house.place))
    shop = restored(house, house.place, tmp_path / "new", "--resume")
    assert shop.run("review").returncode == 0

    assert states(shop.home) == {first: "completed", second: "completed"}
    assert letters(house.shop.services) - sent == Counter(f"<{one}.delivered.1@example.com>" for one in (first, second))
    # Only the look at the finished pages is new.
    assert re.fullmatch("(text,?)*", ",".join(charge.what for charge in house.shop.services.bill[billed:]))
    check_books(shop.home)
