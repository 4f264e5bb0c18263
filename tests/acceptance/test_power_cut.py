"""The power fails thirty times while orders are paid, made and delivered: what was acknowledged is there, once.

The outside world (the services, and what they billed) goes on as it does in life; the disk falls back to what had
reached it. See ``tests/power.py`` for how.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from conftest import environment
from fakes.gemini import FakeGemini
from fakes.replicate import FakeReplicate
from fakes.services import Services
from fakes.stripe import FakeStripe
from live import answer
from power import disk_with_power
from served import Served, at_checkout, core, jobs

from downstream.files import write_durably
from downstream.installation import lay_out
from downstream.receipts import Phase, Receipts

if TYPE_CHECKING:
    from pathlib import Path

    from power import Disk

    from downstream.receipts import Attempt

ORDERS = 14
CUTS = 30
CUT_OFF = "body: None is not of type 'object'"
"""What a service says of a request whose sender's power failed before its end."""
MOST_ROUNDS = 90
TINY = {
    "CLIP_WIDTH": "112",
    "CLIP_HEIGHT": "62",
    "CLIP_SECONDS": "0.5",
    "SEGMENTS_AT_ONCE": "1",
    "JOBS_AT_ONCE": "2",
    "GEMINI_PER_MINUTE": "6000",
    "REPLICATE_PER_MINUTE": "600",
    "DISK_RESERVE_MB": "1",
}
WANTED = {"gemini text": 4, "gemini keyframe": 6, "replicate clip": 5}
"""What an order costs."""
STANDS = {
    "paid": {"pending", "processing", "review", "completed", "failed"},
    "review": {"review", "completed", "failed"},
    "completed": {"completed"},
}
"""What was told to whom is outside, to where the job may lie from then on; the operator hears of ``failed``."""


@dataclass
class World:
    """The installation on its disk, and everybody outside who remembers what happened."""

    disk: Disk
    services: Services
    settings: dict[str, str]
    events: dict[str, dict[str, Any]]
    """Stream id to what Stripe tells about its payment."""
    acknowledged: dict[str, str] = field(default_factory=dict)
    """Stream id to the furthest of ``STANDS`` that somebody outside was told of."""
    given_up: list[str] = field(default_factory=list)
    """Why orders went to ``failed``, where the operator sent them round again."""
    _served: Served | None = None
    _worker: subprocess.Popen[bytes] | None = None
    _stage: int = 0

    @property
    def home(self) -> Path:
        return self.disk.folder / "home"

    def live(self, seconds: float, *, until_told: bool = False) -> list[subprocess.Popen[bytes]]:
        """The shop was open and cron at work for that long; returns the processes, which go on.

        With ``until_told`` that ends as soon as anybody is told of anything.
        """
        served = Served(self.home, self.settings)
        self._served = served
        served.start()
        teller = threading.Thread(target=self._tell, args=(served,), daemon=True)
        teller.start()
        deadline, known = time.monotonic() + seconds, dict(self.acknowledged)
        while time.monotonic() < deadline and not (until_told and self.acknowledged != known):
            self._tick()
            time.sleep(0.005)
        return self.running

    @property
    def running(self) -> list[subprocess.Popen[bytes]]:
        """The processes of the installation."""
        started = [self._served._process if self._served else None, self._worker]
        return [process for process in started if process is not None]

    def end(self) -> None:
        """Nothing of it runs any more."""
        for process in self.running:
            process.kill()
            process.wait()

    def _tell(self, served: Served) -> None:
        """Stripe calls until it gets its 200, one order after the other."""
        for stream_id, event in self.events.items():
            if stream_id in self.acknowledged:
                continue
            answered = served.tell(event)
            if answered.status == 200:
                self.acknowledged[stream_id] = "paid"
            elif not answered.status:
                return  # the server is gone
            time.sleep(0.15)

    def _tick(self) -> None:
        """When a stage has ended, what it did counts as told, and the next is begun."""
        if self._worker is None:
            self._stage += 1
            stage = ("process", "review")[self._stage % 2]
            command = [sys.executable, "-m", "downstream", "--home", str(self.home), stage]
            self._worker = subprocess.Popen(
                command, env=environment(**self.settings), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        elif self._worker.poll() is not None:
            assert self._worker.returncode in {0, 3, 4, 7}, self._worker.returncode
            self._worker = None
            self.acknowledged |= {
                stream_id: state for stream_id, (state,) in jobs(self.home).items() if state in {"review", "completed"}
            }

    def cut(self, running: list[subprocess.Popen[bytes]]) -> None:
        """The power failed; what had been acknowledged is there."""
        self.disk.cut(running)
        self._worker = None
        found = jobs(self.home)
        assert {stream_id for stream_id, states in found.items() if len(states) != 1} == set()
        behind = {
            stream_id: (state, found.get(stream_id))
            for stream_id, state in self.acknowledged.items()
            if not STANDS[state].issuperset(found.get(stream_id, ["nowhere"]))
        }
        assert behind == {}
        assert torn(self.home) == []

    def send_on(self) -> None:
        """Nobody waits: put-off orders may be taken up, and the operator sends round again what was given up."""
        for path in self.home.glob("jobs/[a-z]*/*.json"):
            job = json.loads(path.read_bytes())
            if path.parent.name == "failed":
                self.given_up.append(job["failure"]["reason"])
                subprocess.run(
                    [sys.executable, "-m", "downstream", "--home", str(self.home), "retry", path.stem],
                    env=environment(**self.settings),
                    check=True,
                    stdout=subprocess.DEVNULL,
                )
                self.acknowledged[path.stem] = "paid"
            elif job.pop("not_before", None):
                write_durably(path, json.dumps(job).encode())

    @property
    def is_done(self) -> bool:
        return jobs(self.home) == {stream_id: ["completed"] for stream_id in self.events}


def torn(home: Path) -> list[str]:
    """JSON files under names that count and that are not whole."""
    found = []
    for path in home.rglob("*.json"):
        if not path.name.startswith(".") and path.parent.name != ".limits":  # the pace of calls begins anew
            with suppress(FileNotFoundError):
                try:
                    json.loads(path.read_bytes())
                except ValueError:
                    found.append(str(path.relative_to(home)))
    return found


def opened(tmp_path: Path, disk: Disk, services: Services) -> World:
    """A shop with customers who have paid and of whom nobody has told it."""
    assert services.stripe is not None
    services.gemini.text_answer = answer
    settings = services.environment() | TINY
    plain = tmp_path / "plain"
    lay_out(plain, today=datetime.now(UTC).date(), program="downstream")
    shop, events = core(plain, settings), {}
    for _ in range(ORDERS):
        order, session = at_checkout(shop)
        services.stripe.pay(session)
        events[order.stream_id] = services.stripe.events[-1]
    shutil.copytree(plain, disk.folder / "home")
    subprocess.run(["sync", "-f", disk.folder], check=True)
    return World(disk, services, settings, events)


def attempts(home: Path, stream_id: str, name: str = "receipts.jsonl") -> list[Attempt]:
    return list(Receipts(home / "streams" / stream_id / name).attempts)


def test_what_was_acknowledged_survives_every_power_cut_and_is_paid_for_once(tmp_path: Path) -> None:
    chance = random.Random(7)
    services = Services(
        gemini=FakeGemini(picture_size=(112, 63)),
        replicate=FakeReplicate(clip_size=(112, 62), clip_seconds=0.5, clip_frames_per_second=12, smallest_side=60),
        stripe=FakeStripe(),
    )
    with disk_with_power(tmp_path) as disk, services, ExitStack() as stack:
        world, rounds, reached = opened(tmp_path, disk, services), 0, Counter[str]()
        stack.callback(world.end)
        while rounds < CUTS or not world.is_done:
            assert rounds < MOST_ROUNDS, jobs(world.home)
            world.cut(world.live(chance.uniform(0.2, 5.0), until_told=rounds % 3 == 2))
            world.send_on()
            reached.update(states[0] for states in jobs(world.home).values())
            rounds += 1
        check_books(world)

    # The instants fell into all of it.
    assert {"pending", "processing", "review", "completed"} <= set(reached), reached
    assert [one for one in services.violations if CUT_OFF not in one] == []


def check_books(world: World) -> None:
    """Everything was delivered once, and what was billed stands in the receipts."""
    unknown: Counter[str] = Counter()
    spent = 0
    for stream_id in world.events:
        for one in attempts(world.home, stream_id):
            unknown[one.provider] += one.phase is Phase.UNKNOWN
            spent += one.spent_micros
    bill = Counter(f"{charge.service} {charge.what}" for charge in world.services.bill)
    wanted = Counter({kind: count * ORDERS for kind, count in WANTED.items()})
    assert wanted - bill == Counter()
    extra = bill - wanted
    assert extra["replicate clip"] == 0
    assert extra.total() <= unknown["gemini"], (extra, unknown)
    assert sum(charge.micro_dollars for charge in world.services.bill) <= spent
    assert len(world.services.vercel.deployments) == ORDERS
    check_ledger(world, spent)
    check_letters(world, unknown["smtp"])


def check_ledger(world: World, spent: int) -> None:
    books = {}
    for path in sorted((world.home / "logs" / "ledger").glob("*.jsonl")):
        for line in map(json.loads, path.read_bytes().splitlines()):
            books[line["stream"], line["call"], line["attempt"], line["inputs"]] = line["micros"]
    assert sum(books.values()) == spent


def check_letters(world: World, unknown: int) -> None:
    """One letter of each kind to each customer; one that came twice says that it is the same."""
    letters = [one for one in world.services.smtp.letters if one.recipients[0].endswith("customer.example")]
    distinct = {one.message["Message-ID"] for one in letters}
    assert len(distinct) == 2 * ORDERS
    assert len(letters) - len(distinct) <= unknown + CUTS
