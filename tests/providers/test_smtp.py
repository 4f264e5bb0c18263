"""Letters over SMTP: under TLS or not at all, accepted or said why not."""

from __future__ import annotations

import traceback
from email.message import EmailMessage
from typing import TYPE_CHECKING, Literal

import pytest
from fakes.smtp import FakeSmtp, MailFault, Stage

from downstream.domain.errors import DownstreamError, Misconfigured, PersonDecides, TryAgain, Unknown
from downstream.providers import smtp
from downstream.providers.smtp import SmtpMail, check_login

if TYPE_CHECKING:
    from collections.abc import Iterator

SENDER = "DownStream <stories@example.com>"
READER = "planted.reader@example.com"


def letter(to: str = READER) -> EmailMessage:
    message = EmailMessage()
    message["From"] = SENDER
    message["To"] = to
    message["Subject"] = "Az ünnep készen áll"
    message["Message-ID"] = "<order.delivered.1@example.com>"
    message.set_content("Szép nap.\n.\nVége.\n")
    return message


@pytest.fixture(params=["implicit", "starttls"])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSmtp]:
    with FakeSmtp(security=request.param) as fake:
        monkeypatch.setenv("SSL_CERT_FILE", str(fake.authority))
        yield fake


@pytest.fixture
def implicit(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSmtp]:
    """A server with TLS from the first byte."""
    with FakeSmtp() as fake:
        monkeypatch.setenv("SSL_CERT_FILE", str(fake.authority))
        yield fake


def caught_sending(mail: SmtpMail, message: EmailMessage | None = None) -> DownstreamError:
    """The error of a letter that did not go; it tells neither the address nor the password."""
    with pytest.raises(DownstreamError) as caught:
        mail.send("order", message or letter())
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert "planted" not in told
    return caught.value


def test_a_letter_arrives_as_it_was_written_and_the_servers_word_is_returned(server: FakeSmtp) -> None:
    accepted = SmtpMail(server.url, SENDER).send("order", letter())

    assert accepted == "250 2.0.0 OK: queued"
    arrived = server.letters[0]
    assert (arrived.sender, arrived.recipients) == ("stories@example.com", (READER,))
    assert arrived.message["Subject"] == "Az ünnep készen áll"
    assert arrived.message["Message-ID"] == "<order.delivered.1@example.com>"
    assert arrived.message["Resend-Idempotency-Key"] is None
    assert arrived.message.get_content() == "Szép nap.\n.\nVége.\n"


def test_a_password_with_any_character_logs_in(server: FakeSmtp) -> None:
    assert set(":@/") < set(server.password)

    check_login(server.url)

    assert server.letters == []


def test_a_wrong_password_is_a_matter_of_the_settings(server: FakeSmtp) -> None:
    url = server.url.replace("word", "wort")

    assert "SMTP_URL (535" in str(caught_sending(SmtpMail(url, SENDER)))
    with pytest.raises(Misconfigured):
        check_login(url)


@pytest.mark.parametrize("security", ["implicit", "starttls"])
def test_a_server_that_cannot_prove_who_it_is_gets_no_letter(security: Literal["implicit", "starttls"]) -> None:
    # The client breaks off in the middle, which the server takes for its own fault unless it ends with the error.
    with pytest.raises(Misconfigured, match="certificate"), FakeSmtp(security=security) as server:
        SmtpMail(server.url, SENDER).send("order", letter())

    assert server.letters == []


def test_without_tls_nobody_logs_in(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeSmtp(security="starttls") as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.authority))
        server.fail_next(MailFault.no_starttls(), times=2)

        error = caught_sending(SmtpMail(server.url, SENDER))

        assert isinstance(error, Misconfigured)
        assert "STARTTLS" in str(error)
        assert (server.refused_logins, server.letters) == (0, [])


@pytest.mark.parametrize(
    ("stage", "reply", "kind", "words"),
    [
        ("AUTH", "535 5.7.8 no", Misconfigured, "SMTP_URL"),
        ("MAIL", f"451 4.3.0 {READER} later", TryAgain, r"sender, MAIL_FROM, for now \(451 4\.3\.0\)"),
        ("MAIL", "553 5.1.8 no", Misconfigured, r"refuses MAIL_FROM \(553 5\.1\.8\): set"),
        ("RCPT", f"450 4.2.1 {READER} is busy", TryAgain, r"the address of order for now \(450 4\.2\.1\)"),
        ("RCPT", f"550 5.1.1 {READER} unknown", PersonDecides, r"refuses the address of order \(550 5\.1\.1\)"),
        ("RCPT", f"550 {READER} unknown", PersonDecides, r"refuses the address of order \(550\)"),
        ("DATA", "451 4.3.0 later", TryAgain, r"the letter of order for now \(451 4\.3\.0\)"),
        ("DATA", "554 5.7.1 spam", PersonDecides, r"refuses the letter of order \(554 5\.7\.1\)"),
    ],
)
def test_a_no_at_any_stage_says_what_happens_next(
    implicit: FakeSmtp, stage: Stage, reply: str, kind: type[DownstreamError], words: str
) -> None:
    implicit.fail_next(MailFault.refuse(stage, reply))

    error = caught_sending(SmtpMail(implicit.url, SENDER))

    with pytest.raises(kind, match=words):
        raise error
    assert (error.nothing_sent, implicit.letters) == (True, [])


@pytest.mark.parametrize("stage", ["CONNECT", "MAIL", "RCPT"])
def test_a_connection_that_breaks_before_the_letter_is_for_another_run(server: FakeSmtp, stage: Stage) -> None:
    server.fail_next(MailFault.drop(stage))

    error = caught_sending(SmtpMail(server.url, SENDER))

    assert type(error) is TryAgain
    assert error.nothing_sent


@pytest.mark.parametrize("arrives", ["kept", "lost"])
def test_a_connection_that_breaks_after_the_letter_leaves_it_open_whether_it_went(
    implicit: FakeSmtp, arrives: str
) -> None:
    implicit.fail_next(MailFault.drop_after_data() if arrives == "kept" else MailFault.drop("DATA"))
    mail = SmtpMail(implicit.url, SENDER)

    error = caught_sending(mail)
    mail.send("order", letter())

    assert type(error) is Unknown
    assert not error.nothing_sent
    assert {one.message["Message-ID"] for one in implicit.letters} == {"<order.delivered.1@example.com>"}
    assert len(implicit.letters) == (2 if arrives == "kept" else 1)


@pytest.mark.parametrize(("stage", "kind"), [("CONNECT", TryAgain), ("RCPT", TryAgain), ("DATA", Unknown)])
def test_a_server_that_says_nothing_is_not_waited_for_without_end(
    implicit: FakeSmtp, monkeypatch: pytest.MonkeyPatch, stage: Stage, kind: type[DownstreamError]
) -> None:
    monkeypatch.setattr(smtp, "TIMEOUT_SECONDS", 2.0)
    implicit.fail_next(MailFault.silence(stage, 30.0))

    assert type(caught_sending(SmtpMail(implicit.url, SENDER))) is kind


@pytest.mark.parametrize("fault", [MailFault.drop("QUIT"), MailFault.refuse("QUIT", "500 5.0.0 no")])
def test_a_quarrel_at_the_goodbye_changes_nothing(implicit: FakeSmtp, fault: MailFault) -> None:
    implicit.fail_next(fault)

    assert SmtpMail(implicit.url, SENDER).send("order", letter()) == "250 2.0.0 OK: queued"
    assert implicit.faults_left == 0


def test_the_servers_word_is_kept_without_the_address(implicit: FakeSmtp) -> None:
    implicit.fail_next(MailFault("DATA", reply=f"250 2.0.0 queued for {READER}", keeps=True))

    assert SmtpMail(implicit.url, SENDER).send("order", letter()) == "250 2.0.0 queued for (address)"


def test_a_server_that_knows_the_letter_by_its_key_sends_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeSmtp(resend=True) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.authority))
        mail = SmtpMail(server.url, SENDER, idempotent_hosts=("0.0.1",))
        server.fail_next(MailFault.drop_after_data())
        caught_sending(mail)

        mail.send("order", letter())

        assert (len(server.letters), len(server.swallowed)) == (1, 1)
        assert server.letters[0].message["Resend-Idempotency-Key"] == "order.delivered.1@example.com"


@pytest.mark.parametrize(
    ("host", "is_idempotent"),
    [("smtp.resend.com", True), ("RESEND.com", True), ("notresend.com", False), ("resend.com.example.net", False)],
)
def test_only_resend_is_given_resends_header(host: str, *, is_idempotent: bool) -> None:
    assert SmtpMail(f"smtps://resend:planted@{host}:465", SENDER)._is_idempotent is is_idempotent


@pytest.mark.parametrize("header", ["To", "Subject", "Reply-To"])
@pytest.mark.parametrize("line_end", ["\n", "\r", "\r\n"])
def test_no_header_can_bring_along_another(header: str, line_end: str) -> None:
    message = EmailMessage()

    with pytest.raises(ValueError, match="linefeed"):
        message[header] = f"reader@example.com{line_end}Bcc: victim@example.com"


@pytest.mark.parametrize("to", ["reader@example.com, other@example.com", "reader", "", "@example.com", "a@b@c"])
def test_a_letter_goes_to_exactly_one_address(implicit: FakeSmtp, to: str) -> None:
    assert isinstance(caught_sending(SmtpMail(implicit.url, SENDER), letter(to)), PersonDecides)
    assert implicit.letters == []


def test_an_address_that_is_not_ascii_needs_a_server_that_can_write_it(implicit: FakeSmtp) -> None:
    error = caught_sending(SmtpMail(implicit.url, SENDER), letter("planted.olvasó@example.com"))

    assert isinstance(error, PersonDecides)
    assert "not ASCII" in str(error)


def test_a_domain_that_is_not_ascii_is_written_in_ascii(implicit: FakeSmtp) -> None:
    SmtpMail(implicit.url, SENDER).send("order", letter("reader@bücher.example"))

    arrived = implicit.letters[0]
    assert arrived.recipients == ("reader@xn--bcher-kva.example",)
    assert arrived.message["To"] == "reader@xn--bcher-kva.example"


def test_a_quoted_address_stays_quoted(implicit: FakeSmtp) -> None:
    SmtpMail(implicit.url, SENDER).send("order", letter('"the reader"@example.com'))

    assert implicit.letters[0].recipients == ('"the reader"@example.com',)


def test_a_sender_that_is_not_ascii_is_a_matter_of_the_settings() -> None:
    with pytest.raises(Misconfigured, match="MAIL_FROM"):
        SmtpMail("smtps://user:planted@example.com", "DownStream <történet@example.com>")


def test_nobody_there_is_for_another_run() -> None:
    error = caught_sending(SmtpMail("smtp://user:planted@127.0.0.1:9", SENDER))

    assert type(error) is TryAgain
    with pytest.raises(TryAgain):
        check_login("smtps://user:planted@127.0.0.1:9")


def test_what_a_server_is_shows_no_password() -> None:
    assert "planted" not in repr(SmtpMail("smtps://user:planted@example.com", SENDER)._server)
