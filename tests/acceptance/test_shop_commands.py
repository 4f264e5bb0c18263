"""The operator's verbs on a paid order, as commands: what they print, what they do once, and what they refuse."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from conftest import environment
from fakes.smtp import FakeSmtp
from fakes.stripe import FakeStripe
from served import at_checkout, core, jobs, shop_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def account() -> Iterator[FakeStripe]:
    with FakeStripe() as running:
        yield running
        assert running.violations == []


@pytest.fixture
def mail() -> Iterator[FakeSmtp]:
    with FakeSmtp() as running:
        yield running


@pytest.fixture
def settings(account: FakeStripe, mail: FakeSmtp) -> dict[str, str]:
    return shop_environment(account, mail)


@pytest.fixture
def paid(home: Path, account: FakeStripe, settings: dict[str, str]) -> str:
    """An order that was paid for; nobody has told the shop."""
    order, session = at_checkout(core(home, settings))
    account.pay(session)
    return order.stream_id


def test_process_finds_a_payment_whose_webhook_never_came(
    home: Path, run: Run, settings: dict[str, str], paid: str, mail: FakeSmtp
) -> None:
    (home / "jobs" / ".reconcile.begun").unlink()  # a quarter of an hour has passed
    (home / "jobs" / ".reconcile.begun").touch()
    run("process", **settings)
    assert jobs(home) == {}  # not yet
    set_back(home)

    ended = run("process", **settings)

    assert f"{paid} was paid for and nobody told us; it is a job now" in ended.stderr
    assert jobs(home) == {paid: ["pending"]}
    assert [str(letter.message["Subject"]) for letter in mail.letters] == ["We have your order: The harbour"]
    set_back(home)
    assert "nobody told us" not in run("process", **settings).stderr
    assert len(mail.letters) == 1


def set_back(home: Path) -> None:
    """The last look at the payment service is twenty minutes ago."""
    import os
    import time

    os.utime(home / "jobs" / ".reconcile.begun", (time.time() - 1200,) * 2)


def test_a_refund_shows_what_it_will_do_and_asks_once(
    home: Path, run: Run, settings: dict[str, str], paid: str, account: FakeStripe, mail: FakeSmtp
) -> None:
    assert "1 without a job" in run("reconcile", **settings).stdout

    refused = run("refund", paid, stdin="n\n", **settings)
    assert "jobs/pending: 49.00 EUR was paid, 0.00 EUR went back, 49.00 EUR is left" in refused.stdout
    assert "Give back 49.00 EUR and close the order?" in refused.stderr
    assert account.refunds == {}
    assert jobs(home) == {paid: ["pending"]}

    done = run("refund", paid, stdin="y\n", **settings)
    assert done.returncode == 0
    assert "49.00 EUR is on its way back" in done.stdout
    assert jobs(home) == {paid: ["failed"]}
    assert str(mail.letters[-1].message["Subject"]) == "Your money is on its way back: 49.00 EUR"

    again = run("refund", paid, **settings)
    assert (again.returncode, len(account.refunds), len(mail.letters)) == (0, 1, 2)
    assert "all of it had gone back before" in again.stdout
    assert run("retry", paid, **settings).returncode == 7


def test_two_operators_at_once_refund_once(
    home: Path, run: Run, settings: dict[str, str], paid: str, account: FakeStripe, mail: FakeSmtp
) -> None:
    run("reconcile", **settings)
    command = [sys.executable, "-m", "downstream", "--home", str(home), "refund", paid, "--yes"]
    operators = [
        subprocess.Popen(command, env=environment(**settings), stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]

    said = [operator.communicate(timeout=120)[0] for operator in operators]

    assert [operator.returncode for operator in operators] == [0, 0]
    assert sum("is on its way back" in words for words in said) == 1
    assert len(account.refunds) == 1
    assert [str(letter.message["Subject"]) for letter in mail.letters].count(
        "Your money is on its way back: 49.00 EUR"
    ) == 1


def test_an_order_that_was_not_sold_here_cannot_be_refunded(
    drop: Callable[..., Path], run: Run, settings: dict[str, str]
) -> None:
    drop("by-hand", paid_amount=49, paid_at="2026-01-06T14:00:00Z")

    ended = run("refund", "by-hand", "--yes", **settings)

    assert (ended.returncode, ended.stderr) == (
        4,
        "not done: by-hand was not paid for in this shop: there is no payment to give back\n",
    )
    assert run("refund", "by-hand", "--yes").returncode == 6  # no key


@pytest.mark.parametrize("missing", ["STRIPE_API_KEY", "STRIPE_WEBHOOK_SECRET"])
def test_the_shop_does_not_open_with_half_of_its_secrets(run: Run, settings: dict[str, str], missing: str) -> None:
    ended = run("serve", "--port", "0", **{**settings, missing: ""})

    assert ended.returncode == 6
    assert f"{missing} is not set" in ended.stderr


def test_what_is_exported_is_what_is_held_and_what_is_forgotten_is_gone(
    home: Path, run: Run, settings: dict[str, str], paid: str, tmp_path: Path
) -> None:
    run("reconcile", **settings)
    assert run("forget", paid, "--yes", **settings).returncode == 4  # paid, and not delivered
    assert run("export", paid, "--to", str(tmp_path / "all.zip"), **settings).returncode == 0
    assert (tmp_path / "all.zip").stat().st_size > 1000
    run("refund", paid, "--yes", **settings)

    ended = run("forget", paid, "--yes", **settings)

    assert ended.returncode == 0, ended.stderr
    assert jobs(home) == {}
    assert not (home / "streams" / paid).exists()
    proof = json.loads((home / "logs" / "forgotten" / f"{paid}.json").read_bytes())
    assert proof["status"] == "done"
    set_back(home)
    run("reconcile", **settings)
    assert jobs(home) == {}
