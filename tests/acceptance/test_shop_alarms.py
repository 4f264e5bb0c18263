"""What the shop has to say to its operator reaches somebody, also where no mail to the operator is set up."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from conftest import environment
from fakes.smtp import FakeSmtp
from fakes.stripe import FakeStripe
from served import at_checkout, core, serving, shop_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@pytest.fixture
def account() -> Iterator[FakeStripe]:
    """The payment service."""
    with FakeStripe() as running:
        yield running


def disputed(home: Path, account: FakeStripe, settings: Mapping[str, str]) -> str:
    """An order that was paid for, and whose customer's bank takes the money back; the shop was told of both."""
    order, session = at_checkout(core(home, settings))
    account.pay(session)
    account.dispute(str(account.sessions[session]["payment_intent"]))
    with serving(home, settings) as served:
        assert {served.tell(event).status for event in account.events} == {200}
    return order.stream_id


def process(home: Path, settings: Mapping[str, str]) -> str:
    """What a run under cron prints."""
    command = [sys.executable, "-m", "downstream", "--home", str(home), "process"]
    ended = subprocess.run(command, env=environment(**settings), capture_output=True, text=True, check=False)
    return ended.stdout + ended.stderr


def test_without_an_operators_address_the_next_run_under_cron_prints_it_once(home: Path, account: FakeStripe) -> None:
    settings = shop_environment(account)
    stream_id = disputed(home, account, settings)

    first, second = process(home, settings), process(home, settings)

    assert f"{stream_id} is disputed" in first
    assert "is disputed" not in second


def test_with_an_operators_address_it_is_mailed_and_not_printed(home: Path, account: FakeStripe) -> None:
    with FakeSmtp() as mail:
        settings = shop_environment(account, mail) | {"OPERATOR_EMAIL": "operator@shop.example"}
        stream_id = disputed(home, account, settings)

        said = process(home, settings)

        mine = [letter for letter in mail.letters if letter.recipients == ("operator@shop.example",)]
        assert "is disputed" not in said
        assert sum(f"{stream_id} is disputed" in letter.message.get_content() for letter in mine) == 1
