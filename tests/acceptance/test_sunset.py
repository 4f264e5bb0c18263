"""The shop is closed for good: everybody who paid gets a page or the money, once, and nobody can pay any more."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from conftest import environment
from fakes.smtp import FakeSmtp, MailFault
from fakes.stripe import FakeStripe
from served import at_checkout, core, jobs, serving, shop_environment

from downstream.heartbeat import read_heartbeat
from downstream.holds import DISPUTED, REFUNDED, Hold, hold, hold_restored
from downstream.shop import errands
from downstream.shop.reconcile import reconcile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from matrix import Program

    from downstream.shop.shop import Shop

    Run = Callable[..., subprocess.CompletedProcess[str]]

KILLED_AT = (
    "after POST /v1/checkout/sessions/*/expire",
    "before receipt intent refund",
    "after receipt intent refund",
    "after POST /v1/refunds",
    "before receipt outcome refund",
    "after receipt intent letter.refunded",
    "after receipt outcome letter.refunded",
    "after SMTP DATA",
)
"""Each in a run of its own. A letter is lost once at most: of one that is lost twice only a person can tell."""


@dataclass
class Evening:
    """A shop with an order of every kind."""

    home: Path
    shop: Shop
    account: FakeStripe
    mail: FakeSmtp
    settings: dict[str, str]
    ids: dict[str, str]
    sessions: dict[str, str]

    def sunset(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "downstream", "--home", str(self.home), "sunset", *arguments]
        env = environment(**self.settings)
        return subprocess.run(command, capture_output=True, text=True, env=env, input="", timeout=120, check=False)

    def refunds(self) -> list[int]:
        return [one["amount"] for one in self.account.refunds.values()]

    def subjects(self) -> list[str]:
        return sorted(str(letter.message["Subject"]).partition(":")[0] for letter in self.mail.letters)


@pytest.fixture
def evening(home: Path, run: Run) -> Iterator[Evening]:
    with FakeStripe() as account, FakeSmtp() as mail:
        settings = shop_environment(account, mail)
        shop = core(home, settings)
        ids, sessions = {}, {}
        for kind in ("waiting", "failed", "disputed", "page open", "delivered"):
            order, sessions[kind] = at_checkout(shop)
            ids[kind] = order.stream_id
            if kind != "page open":
                account.pay(sessions[kind])
        reconcile(shop)
        run("process", **settings)  # sends the letters; there is nobody to make the pages
        mail.letters.clear()
        run("cancel", ids["failed"], "--reason", "the service refuses it", **settings)
        hold(home, Hold(ids["disputed"], DISPUTED, "the customer's bank wants it back", datetime.now(UTC).isoformat()))
        done = home / "jobs" / "pending" / f"{ids['delivered']}.json"
        done.rename(home / "jobs" / "completed" / done.name)
        yield Evening(home, shop, account, mail, settings, ids, sessions)
        assert account.violations == []


def test_it_shows_what_is_owed_and_changes_nothing_until_it_may(evening: Evening) -> None:
    before = jobs(evening.home)

    ended = evening.sunset()

    assert ended.returncode == 1  # nobody said yes
    for way, kind in (("finish", "waiting"), ("refund", "failed"), ("decide", "disputed")):
        assert f"{way:<7} {evening.ids[kind]}  49.00 EUR  jobs/" in ended.stdout
    assert "failed: the service refuses it" in ended.stdout
    assert "1 payment page(s) are open and will be closed" in ended.stdout
    assert evening.ids["delivered"] not in ended.stdout
    assert jobs(evening.home) == before
    assert evening.refunds() == []
    assert not read_heartbeat(evening.home, datetime.now(UTC)).is_sunset


def test_the_shop_closes_what_failed_is_refunded_and_the_rest_is_finished(evening: Evening, run: Run) -> None:
    ended = evening.sunset("--yes")

    assert ended.returncode == 7
    assert "1 payment page(s) closed, 1 order(s) refunded" in ended.stdout
    assert evening.refunds() == [4900]
    assert evening.subjects() == ["Your money is on its way back"]
    assert evening.account.sessions[evening.sessions["page open"]]["status"] == "expired"
    assert jobs(evening.home)[evening.ids["waiting"]] == ["pending"]
    assert "SUNSET" in run("heartbeat", "renew", **evening.settings).stdout
    run("heartbeat", "pause", **evening.settings)
    assert "SUNSET" in run("heartbeat", "resume", **evening.settings).stdout
    with serving(evening.home, evening.settings) as served:
        assert 'name="title"' not in served.ask("GET", "/").text

    again = evening.sunset("--yes", "--refund", evening.ids["disputed"], "--refund", "all")
    assert again.returncode == 0
    last = evening.sunset()

    assert evening.refunds() == [4900, 4900, 4900]
    assert last.returncode == 0
    assert "nothing is owed to anybody" in last.stdout
    assert "remove the webhook endpoint" in last.stdout
    assert "active" in run("heartbeat", "resume", "--reopen", **evening.settings).stdout


def change(evening: Evening, kind: str, target: str, **fields: object) -> None:
    """The order of that kind lies in another folder, with other facts in its file."""
    path = evening.home / "jobs" / "pending" / f"{evening.ids[kind]}.json"
    job = json.loads(path.read_bytes())
    path.write_text(json.dumps({**job, **fields}))
    path.rename(evening.home / "jobs" / target / path.name)


def test_a_revision_that_failed_is_no_reason_to_give_the_money_back(evening: Evening) -> None:
    mailed = {"at": datetime.now(UTC).isoformat(), "who": "review", "what": "mailed"}
    failure = {"kind": "rejected", "reason": "bad clip", "at": datetime.now(UTC).isoformat()}
    change(evening, "waiting", "failed", history=[mailed], failure=failure)

    ended = evening.sunset("--yes")

    assert f"decide  {evening.ids['waiting']}  49.00 EUR" in ended.stdout
    assert "its page is delivered, only a revision failed" in ended.stdout
    assert evening.refunds() == [4900]  # the one that really failed


def test_vouchers_and_files_that_cannot_be_read_are_not_forgotten(evening: Evening) -> None:
    change(evening, "waiting", "pending", paid_amount=0)
    change(evening, "disputed", "failed", format=99)

    ended = evening.sunset("--yes")

    assert f"finish  {evening.ids['waiting']}  0.00 EUR" in ended.stdout
    assert f"decide  {evening.ids['disputed']}  unknown" in ended.stdout
    assert "written by a later version" in ended.stdout
    assert ended.returncode == 7
    assert "nothing is owed" not in ended.stdout


def test_who_pays_in_the_last_moment_is_served(evening: Evening) -> None:
    evening.account.pay(evening.sessions["page open"])

    ended = evening.sunset("--yes")

    assert f"{evening.ids['page open']} was paid for before its page could be closed" in ended.stdout
    assert jobs(evening.home)[evening.ids["page open"]] == ["pending"]


def test_an_unknown_order_is_told_before_anything_happens(evening: Evening) -> None:
    ended = evening.sunset("--yes", "--refund", "nobody")

    assert ended.returncode == 4
    assert "nobody: no such paid order is open" in ended.stderr
    assert evening.refunds() == []


def test_killed_again_and_again_and_run_twice_at_once_money_goes_back_once(
    evening: Evening, program: Program, tmp_path: Path
) -> None:
    arguments = ["--yes", "--refund", "all"]
    command = ["--home", str(evening.home), "sunset", *arguments]
    for moment in KILLED_AT:
        ended = program.ended(command, environment(**evening.settings), tmp_path / "output.txt", f"{moment} #1")
        assert ended["code"] == -signal.SIGKILL, (moment, ended)

    with ThreadPoolExecutor(2) as operators:
        list(operators.map(lambda _: evening.sunset(*arguments), range(2)))
    evening.sunset(*arguments)

    assert evening.refunds() == [4900, 4900]
    assert set(evening.subjects()) == {"Your money is on its way back"}
    # The customer whose letter was accepted when nobody could note it has it twice, and can tell that it is one.
    assert sorted(Counter(letter.message["Message-ID"] for letter in evening.mail.letters).values()) == [1, 2]
    assert evening.account.sessions[evening.sessions["page open"]]["status"] == "expired"


def test_a_refund_that_was_cut_off_is_carried_on(evening: Evening) -> None:
    at = datetime.now(UTC).isoformat()
    hold(evening.home, Hold(evening.ids["waiting"], REFUNDED, "its payment is refunded", at))  # and no more was done

    ended = evening.sunset("--yes")

    assert f"refund  {evening.ids['waiting']}" in ended.stdout
    assert evening.refunds() == [4900, 4900]


def test_while_a_letter_waits_it_does_not_say_that_nothing_is_owed(evening: Evening) -> None:
    evening.mail.fail_next(MailFault.refuse("MAIL", "451 4.3.0 Try again later"))
    evening.sunset("--yes", "--refund", "all", "--refund", evening.ids["disputed"])

    again = evening.sunset()

    assert len(evening.subjects()) == 2
    assert again.returncode == 7
    (waits,) = again.stdout.splitlines()[1:]
    assert "refunded: downstream process tries again" in waits


def test_a_letter_of_a_restored_order_waits_for_the_operator(evening: Evening) -> None:
    errands.put(evening.home, evening.ids["delivered"], errands.CONFIRM, datetime.now(UTC))
    hold_restored(evening.home, evening.ids["delivered"], "2026-12-01 03:00 UTC", datetime.now(UTC))
    open_orders = [evening.ids[kind] for kind in ("waiting", "failed", "disputed")]

    ended = evening.sunset("--yes", *(word for one in open_orders for word in ("--refund", one)))

    assert ended.returncode == 7
    assert f"downstream release {evening.ids['delivered']}" in ended.stdout
