"""What the operator must hear is mailed, once, and a mail server that is down delays it and does not swallow it."""

from __future__ import annotations

import errno
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from fakes.smtp import FakeSmtp, MailFault

from downstream import outbox
from downstream.settings import Settings, read_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SENTENCES = ["order-1 failed: the story is too long", "2 pages wait for your review"]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSmtp]:
    """A mail server whose certificate this process trusts."""
    with FakeSmtp() as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.authority))
        yield server


@pytest.fixture
def settings(server: FakeSmtp) -> Settings:
    """Settings that send to that server."""
    sender = "DownStream <stories@example.com>"
    given = {"SMTP_URL": server.url, "OPERATOR_EMAIL": "operator@example.com", "MAIL_FROM": sender}
    return read_settings(given)


def test_what_was_put_is_mailed_once(home: Path, settings: Settings, server: FakeSmtp) -> None:
    outbox.put(home, settings, SENTENCES, NOW)
    outbox.send(home, settings)
    outbox.send(home, settings)

    (letter,) = server.letters
    assert letter.recipients == ("operator@example.com",)
    body = letter.message.get_content()
    assert all(sentence in body for sentence in SENTENCES)
    assert outbox.is_empty(home)


@pytest.mark.parametrize(
    "fault", [MailFault.refuse("DATA", "451 try later"), MailFault.drop("MAIL"), MailFault.refuse("AUTH", "535 no")]
)
def test_a_server_in_trouble_delays_it(home: Path, settings: Settings, server: FakeSmtp, fault: MailFault) -> None:
    server.fail_next(fault)
    outbox.put(home, settings, SENTENCES, NOW)
    outbox.send(home, settings)
    assert not outbox.is_empty(home)
    assert server.letters == []

    outbox.send(home, settings)

    assert len(server.letters) == 1
    assert outbox.is_empty(home)


def test_a_lost_acceptance_is_sent_again_under_the_same_id(home: Path, settings: Settings, server: FakeSmtp) -> None:
    server.fail_next(MailFault.drop_after_data())
    outbox.put(home, settings, SENTENCES, NOW)
    outbox.send(home, settings)
    outbox.send(home, settings)

    first, second = server.letters
    assert first.message["Message-ID"] == second.message["Message-ID"]
    assert outbox.is_empty(home)


def test_an_address_that_is_refused_is_kept_beside_and_not_tried_for_ever(
    home: Path, settings: Settings, server: FakeSmtp
) -> None:
    server.fail_next(MailFault.refuse("RCPT", "550 5.1.1 no such user"))
    outbox.put(home, settings, SENTENCES, NOW)
    outbox.send(home, settings)

    assert outbox.is_empty(home)
    assert len(list((home / "logs/outbox").glob("*.refused"))) == 1


def test_without_an_operator_or_a_server_nothing_is_kept(home: Path) -> None:
    outbox.put(home, read_settings({"OPERATOR_EMAIL": "operator@example.com"}), SENTENCES, NOW)
    outbox.put(home, read_settings({"SMTP_URL": "smtps://a:b@mail.example.com"}), SENTENCES, NOW)

    assert outbox.is_empty(home)
    assert not (home / "logs/outbox").exists()


# --- what goes wrong here stays here -----------------------------------------------------------------------------


def test_an_unforeseen_fault_of_the_mailer_ends_nothing_and_loses_nothing(
    home: Path, settings: Settings, server: FakeSmtp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(*_: object) -> str:
        raise ZeroDivisionError("planted-words")

    outbox.put(home, settings, SENTENCES, NOW)
    with monkeypatch.context() as patched:
        patched.setattr("downstream.providers.smtp.SmtpMail.send", fault)
        outbox.send(home, settings)

    log = (home / "logs/outbox.log").read_text()
    assert "ZeroDivisionError" in log
    assert "planted-words" not in log
    outbox.send(home, settings)
    assert len(server.letters) == 1


def test_on_a_disk_that_cannot_be_written_to_an_alarm_is_mailed_all_the_same(
    home: Path, settings: Settings, server: FakeSmtp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(outbox, "write_durably", full)
        outbox.put(home, settings, SENTENCES, NOW)
        assert not outbox.is_empty(home)
        outbox.send(home, settings)

    (letter,) = server.letters
    assert all(sentence in letter.message.get_content() for sentence in SENTENCES)
    outbox.send(home, settings)
    assert len(server.letters) == 1
    assert outbox.is_empty(home)


def test_what_the_shop_leaves_is_said_once_by_the_next_command_where_nobody_mails_it(home: Path) -> None:
    said: list[str] = []
    nobody = read_settings({})
    outbox.leave(home, SENTENCES[:1], NOW)
    outbox.leave(home, SENTENCES[1:], NOW + timedelta(seconds=1))

    outbox.send(home, nobody)
    outbox.hand_over(home, nobody, said.append)
    outbox.hand_over(home, nobody, said.append)

    assert said == SENTENCES
    assert outbox.is_empty(home)


def test_what_the_shop_leaves_is_mailed_where_somebody_mails_it(
    home: Path, settings: Settings, server: FakeSmtp
) -> None:
    said: list[str] = []
    outbox.leave(home, SENTENCES, NOW)

    outbox.hand_over(home, settings, said.append)
    assert said == []
    outbox.send(home, settings)

    assert len(server.letters) == 1
