"""The fake mail service, driven by smtplib."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pytest

from fakes.smtp import FakeSmtp, MailFault, Stage

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=["implicit", "starttls"])
def smtp(request: pytest.FixtureRequest) -> Iterator[FakeSmtp]:
    with FakeSmtp(security=request.param) as service:
        yield service


def a_letter(key: str = "") -> EmailMessage:
    letter = EmailMessage()
    letter["From"], letter["To"], letter["Subject"] = "stories@example.com", "ana@example.com", "Für Ana"
    letter.set_content("Hello\n.\nThe end")
    letter.add_attachment(bytes(range(256)) * 40, maintype="application", subtype="zip", filename="page.zip")
    if key:
        letter["Resend-Idempotency-Key"] = key
    return letter


def connect(smtp: FakeSmtp, timeout_seconds: float = 30) -> smtplib.SMTP:
    """Connects and secures the connection, by the address in the settings."""
    address = urlsplit(smtp.url)
    context = ssl.create_default_context(cafile=str(smtp.authority))
    if address.scheme == "smtps":
        return smtplib.SMTP_SSL(address.hostname or "", address.port or 0, context=context, timeout=timeout_seconds)
    connection = smtplib.SMTP(address.hostname or "", address.port or 0, timeout=timeout_seconds)
    connection.starttls(context=context)
    return connection


def send(smtp: FakeSmtp, letter: EmailMessage | None = None, timeout_seconds: float = 30) -> smtplib.SMTP:
    address = urlsplit(smtp.url)
    connection = connect(smtp, timeout_seconds)
    connection.login(unquote(address.username or ""), unquote(address.password or ""))
    connection.send_message(letter or a_letter())
    return connection


def test_a_letter_is_kept_as_it_came_with_its_envelope(smtp: FakeSmtp) -> None:
    send(smtp).quit()
    (kept,) = smtp.letters
    assert (kept.sender, kept.recipients) == ("stories@example.com", ("ana@example.com",))
    assert kept.message["Subject"] == "Für Ana"
    _whole, text, attachment = kept.message.walk()
    assert text.get_content() == "Hello\n.\nThe end\n"
    assert attachment.get_content() == bytes(range(256)) * 40


def test_a_wrong_password_and_no_login_are_refused(smtp: FakeSmtp) -> None:
    connection = connect(smtp)
    with pytest.raises(smtplib.SMTPAuthenticationError):
        connection.login("downstream", "wrong")
    with pytest.raises(smtplib.SMTPSenderRefused):
        connect(smtp).send_message(a_letter())
    assert smtp.letters == []


def test_nothing_is_accepted_before_starttls() -> None:
    with FakeSmtp(security="starttls") as smtp:
        connection = smtplib.SMTP("127.0.0.1", smtp.port, timeout=0.5)
        with pytest.raises(smtplib.SMTPException):
            connection.login(smtp.user, smtp.password)
        with pytest.raises(smtplib.SMTPException):
            connection.send_message(a_letter())
        assert smtp.letters == []


def test_a_client_without_the_authority_does_not_trust_the_server() -> None:
    with FakeSmtp() as smtp, pytest.raises(ssl.SSLCertVerificationError):
        smtplib.SMTP_SSL("127.0.0.1", smtp.port, context=ssl.create_default_context(), timeout=0.5)


def test_only_resend_knows_a_letter_by_its_key() -> None:
    for resend, kept in ((True, 2), (False, 3)):
        with FakeSmtp(resend=resend) as smtp:
            for key in ("order-1", "order-1", "order-2"):
                send(smtp, a_letter(key)).quit()
            assert (len(smtp.letters), len(smtp.swallowed)) == (kept, 3 - kept)


@pytest.mark.parametrize(
    ("stage", "reply", "error"),
    [
        ("AUTH", "535 5.7.8 no", smtplib.SMTPAuthenticationError),
        ("MAIL", "451 4.3.0 later", smtplib.SMTPSenderRefused),
        ("MAIL", "550 5.7.1 never", smtplib.SMTPSenderRefused),
        ("RCPT", "450 4.2.1 later", smtplib.SMTPRecipientsRefused),
        ("RCPT", "550 5.1.1 unknown", smtplib.SMTPRecipientsRefused),
        ("DATA", "452 4.3.1 later", smtplib.SMTPDataError),
        ("DATA", "554 5.6.0 never", smtplib.SMTPDataError),
    ],
)
def test_every_stage_can_be_refused_once(
    smtp: FakeSmtp, stage: Stage, reply: str, error: type[smtplib.SMTPException]
) -> None:
    smtp.fail_next(MailFault.refuse(stage, reply))
    with pytest.raises(error) as refusal:
        send(smtp)
    assert reply[:3] in str(refusal.value)
    assert smtp.letters == []
    send(smtp).quit()
    assert (len(smtp.letters), smtp.faults_left) == (1, 0)


@pytest.mark.parametrize(
    ("fault", "kept"),
    [
        (MailFault.drop("CONNECT"), 0),
        (MailFault.drop("MAIL"), 0),
        (MailFault.drop("DATA"), 0),
        (MailFault.drop_after_data(), 1),
        (MailFault.silence("CONNECT", 60), 0),
        (MailFault.silence("MAIL", 60), 0),
        (MailFault.silence("DATA", 60), 1),
    ],
)
def test_a_connection_may_break_or_fall_silent(fault: MailFault, kept: int) -> None:
    with FakeSmtp() as smtp:
        smtp.fail_next(fault)
        with pytest.raises((OSError, smtplib.SMTPException)):
            send(smtp, timeout_seconds=2)
        assert len(smtp.letters) == kept


def test_an_error_at_quit_comes_after_the_letter_was_accepted(smtp: FakeSmtp) -> None:
    smtp.fail_next(MailFault.refuse("QUIT", "421 4.0.0 hm"))
    assert send(smtp).quit()[0] == 421
    assert len(smtp.letters) == 1


def test_starttls_may_be_missing() -> None:
    with FakeSmtp(security="starttls") as smtp:
        smtp.fail_next(MailFault.no_starttls())
        with pytest.raises(smtplib.SMTPNotSupportedError):
            connect(smtp)


def test_listeners_hear_of_a_letter_three_times(smtp: FakeSmtp) -> None:
    heard: list[str] = []
    smtp.on_request(lambda moment, letter: heard.append(f"{moment} {letter.message['To']}"))
    send(smtp).quit()
    assert heard == [f"{moment} ana@example.com" for moment in ("accepted", "before_reply", "after_reply")]
