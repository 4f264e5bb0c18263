"""The power fails right after somebody was told something: when it is back, that is so."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import pytest
from conftest import environment
from fakes.smtp import FakeSmtp
from fakes.stripe import FakeStripe
from live import STORY
from power import disk_with_power
from served import Served, at_checkout, core, half_written, jobs, shop_environment

from downstream.files import write_durably
from downstream.heartbeat import Pulse, read_heartbeat
from downstream.holds import find_hold
from downstream.installation import lay_out

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from power import Disk

FORM = {"Content-Type": "application/x-www-form-urlencoded", "Host": "stories.example"}


@dataclass
class Outage:
    """A shop on a disk whose power fails when a test wants; the payment and the mail service go on."""

    disk: Disk
    account: FakeStripe
    smtp: FakeSmtp
    settings: dict[str, str]
    served: Served
    stream_id: str
    """An order whose customer has paid, of which nobody has told the shop."""
    paid: dict[str, Any]
    """What Stripe tells about it."""

    @property
    def home(self) -> Path:
        return self.disk.folder / "home"

    def happens(self) -> None:
        """Now; and the server is started again."""
        process = self.served._process
        assert process is not None
        self.disk.cut([process])
        self.served.start()

    def run(self, *arguments: str) -> None:
        """A command that says that it is done; then the power fails."""
        self.tick(*arguments)
        self.happens()

    def tick(self, *arguments: str) -> None:
        """A command that ends well."""
        command = [sys.executable, "-m", "downstream", "--home", str(self.home), *arguments]
        ended = subprocess.run(
            command, env=environment(**self.settings), capture_output=True, text=True, timeout=60, check=False
        )
        assert ended.returncode in {0, 3}, ended.stderr

    def job(self) -> str:
        """The order lies in ``pending``, to be made some other day."""
        assert self.served.tell(self.paid).status == 200
        path = self.home / "jobs" / "pending" / f"{self.stream_id}.json"
        write_durably(path, json.dumps(json.loads(path.read_bytes()) | {"not_before": "2099-01-01T00:00:00Z"}).encode())
        return self.stream_id


@pytest.fixture
def outage(tmp_path: Path) -> Iterator[Outage]:
    """An open shop."""
    with disk_with_power(tmp_path) as disk, FakeStripe() as account, FakeSmtp() as smtp:
        settings = shop_environment(account, smtp) | {"DISK_RESERVE_MB": "1"}
        plain, home = tmp_path / "home", disk.folder / "home"
        lay_out(plain, today=datetime.now(UTC).date(), program="downstream")
        order, session = at_checkout(core(plain, settings))
        account.pay(session)
        shutil.copytree(plain, home)
        subprocess.run(["sync", "-f", home], check=True)
        served = Served(home, settings).start()
        yield Outage(disk, account, smtp, settings, served, order.stream_id, account.events[-1])
        served.kill()
        # What was being written at that instant lies under names that do not count; the pace of calls begins anew.
        assert [one for one in half_written(home) if not one.startswith("jobs/.limits/") and "/." not in one] == []


def test_the_disk_of_these_tests_forgets_what_was_not_synced(tmp_path: Path) -> None:
    with disk_with_power(tmp_path) as disk:
        write_durably(disk.folder / "synced", b"old")
        (disk.folder / "synced").with_name("new").write_bytes(b"new")
        (disk.folder / "rewritten").write_bytes(b"new")
        (disk.folder / "rewritten").replace(disk.folder / "synced")

        disk.cut([])

        assert {path.name: path.read_bytes() for path in disk.folder.iterdir() if path.is_file()} == {"synced": b"old"}


def test_a_draft_that_was_saved_is_there(outage: Outage) -> None:
    form = urlencode({"title": "Kept", "text": STORY, "then": "save"}).encode()
    saved = outage.served.ask("POST", "/", form, FORM)
    assert saved.status == 303
    outage.happens()

    shown = outage.served.ask("GET", urlsplit(saved.headers["location"]).path, headers={"Host": "stories.example"})

    assert shown.status == 200
    assert STORY.splitlines()[0] in shown.text


def test_a_payment_that_was_acknowledged_is_a_job_with_its_story_and_its_letter_goes_out(outage: Outage) -> None:
    stream_id = outage.stream_id
    assert outage.served.tell(outage.paid).status == 200
    outage.happens()

    assert jobs(outage.home) == {stream_id: ["pending"]}
    story = json.loads((outage.home / "streams" / stream_id / "input.json").read_bytes())
    assert story["text"] == STORY
    assert outage.served.tell(outage.paid).status == 200
    assert jobs(outage.home) == {stream_id: ["pending"]}
    outage.tick("hold", stream_id)
    outage.tick("process")
    assert len({letter.message["Message-ID"] for letter in outage.smtp.letters}) == 1


def test_money_that_is_said_to_be_on_its_way_back_goes_once(outage: Outage) -> None:
    stream_id = outage.job()
    outage.run("refund", stream_id, "--yes")

    assert jobs(outage.home) == {stream_id: ["failed"]}
    held = find_hold(outage.home, stream_id)
    assert held is not None
    assert held.kind == "refunded"
    for event in list(outage.account.events):
        assert outage.served.tell(event).status == 200
    outage.tick("refund", stream_id, "--yes")
    outage.tick("process")
    assert len(outage.account.refunds) == 1
    assert jobs(outage.home) == {stream_id: ["failed"]}
    assert len({letter.message["Message-ID"] for letter in outage.smtp.letters}) == 2


def test_a_refund_that_stripe_tells_of_holds_the_order(outage: Outage) -> None:
    stream_id = outage.job()
    outage.account.refund_by_hand(next(iter(outage.account.intents)))
    (event,) = [one for one in outage.account.events if one["type"] == "charge.refunded"]
    assert outage.served.tell(event).status == 200

    outage.happens()

    assert find_hold(outage.home, stream_id) is not None


def test_what_the_operator_does_with_an_order_is_done(outage: Outage) -> None:
    stream_id = outage.job()
    outage.run("hold", stream_id)
    assert find_hold(outage.home, stream_id) is not None
    outage.run("release", stream_id)
    assert find_hold(outage.home, stream_id) is None
    outage.run("cancel", stream_id)
    assert jobs(outage.home) == {stream_id: ["failed"]}
    outage.run("retry", stream_id)
    assert jobs(outage.home) == {stream_id: ["pending"]}
    outage.run("refund", stream_id, "--yes")
    outage.run("forget", stream_id, "--yes")
    assert jobs(outage.home) == {}
    assert not (outage.home / "streams" / stream_id / "input.json").exists()
    assert json.loads((outage.home / "logs" / "forgotten" / f"{stream_id}.json").read_bytes())["status"] == "done"


def test_a_killswitch_that_was_pressed_stays_so_and_a_report_that_was_written_is_there(outage: Outage) -> None:
    outage.run("daily")
    assert len(list(outage.home.glob("logs/reviews/daily-*.md"))) == 1
    assert len(list(outage.home.glob("triggers/daily-*.done"))) == 1

    outage.run("heartbeat", "pause")

    assert read_heartbeat(outage.home, datetime.now(UTC)).pulse is Pulse.PAUSED
