"""What can go wrong with mail, and what the order, the operator and the customer have of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fakes.gemini import prompt_blocked
from fakes.smtp import FakeSmtp, MailFault
from matrix import CUSTOMER, ECHO, IN_REVIEW, ORDER, Tick, content_of, services

if TYPE_CHECKING:
    from collections.abc import Callable

    from fakes.smtp import Stage
    from matrix import Row

    OpenRow = Callable[..., Row]

ONCE_MORE = ["intent", "failed", "intent", "outcome"]


@pytest.fixture
def talkative() -> str:
    """What a server adds to its codes."""
    return f"<{CUSTOMER}> {ECHO}"


# --- the customer's letter -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stage", "reply", "reason"),
    [
        ("MAIL", "451 4.3.0", "the mail server does not accept the sender, MAIL_FROM, for now (451 4.3.0)"),
        ("RCPT", "450 4.2.1", "the mail server does not accept the address of order-1 for now (450 4.2.1)"),
        ("DATA", "452 4.3.1", "the mail server does not accept the letter of order-1 for now (452 4.3.1)"),
    ],
)
def test_a_server_that_does_not_accept_it_now_is_asked_again(
    open_row: OpenRow, stage: Stage, reply: str, reason: str, talkative: str
) -> None:
    row = open_row("in review")
    row.services.smtp.fail_next(MailFault.refuse(stage, f"{reply} {talkative}"))

    assert row.tick("review") == Tick(7, "", ())

    assert (row.where(), row.waits_for()) == ("review", reason)
    assert row.letters == []
    row.finish(begun=IN_REVIEW)
    assert row.phases("mail") == ONCE_MORE
    assert len(row.letters) == 1


@pytest.mark.parametrize("stage", ["CONNECT", "MAIL", "RCPT"])
def test_a_connection_that_breaks_before_the_letter_is_for_another_run(open_row: OpenRow, stage: Stage) -> None:
    row = open_row("in review")
    row.services.smtp.fail_next(MailFault.drop(stage))

    assert row.tick("review") == Tick(7, "", ())

    assert row.where() == "review"
    assert row.waits_for().startswith(f"no conversation with the mail server 127.0.0.1:{row.services.smtp.port} (")
    row.finish(begun=IN_REVIEW)
    assert row.phases("mail") == ONCE_MORE
    assert len(row.letters) == 1


@pytest.mark.parametrize(
    ("stage", "reply", "reason"),
    [
        ("RCPT", "550 5.1.1", "the mail server refuses the address of order-1 (550 5.1.1)"),
        ("DATA", "554 5.7.1", "the mail server refuses the letter of order-1 (554 5.7.1)"),
    ],
)
def test_a_no_for_good_is_for_a_person(
    open_row: OpenRow, stage: Stage, reply: str, reason: str, talkative: str
) -> None:
    row = open_row("in review")
    row.services.smtp.fail_next(MailFault.refuse(stage, f"{reply} {talkative}"))

    given_up = row.tick("review")

    assert given_up.code == 4
    assert row.failure() == ("person_decides", reason)
    assert given_up.tells(f"{ORDER} failed: {reason}")
    assert row.letters == []

    assert row.tick("retry", ORDER).code == 0
    row.finish(begun=IN_REVIEW)
    assert len(row.letters) == 1


@pytest.mark.parametrize("was_kept", [True, False], ids=["after it was accepted", "before it was accepted"])
def test_a_letter_that_may_have_gone_is_written_down_as_unknown_and_sent_once_more_as_the_same_letter(
    open_row: OpenRow, *, was_kept: bool
) -> None:
    row = open_row("in review")
    row.services.smtp.fail_next(MailFault.drop_after_data() if was_kept else MailFault.drop("DATA"))

    assert row.tick("review") == Tick(7, "", ())

    assert (row.where(), row.waits_for()) == (
        "review",
        "the mail server was gone before it accepted the letter of order-1",
    )
    assert row.phases("mail") == ["intent", "unknown"]
    row.finish(begun=IN_REVIEW)
    assert row.phases("mail") == ["intent", "unknown", "intent", "outcome"]
    assert len(row.letters) == (2 if was_kept else 1)
    assert {letter.message["Message-ID"] for letter in row.letters} == {"<order-1.delivered.1@example.com>"}
    assert len({content_of(letter) for letter in row.letters}) == 1


def test_a_letter_that_was_lost_twice_is_for_a_person(open_row: OpenRow) -> None:
    row = open_row("in review")
    row.services.smtp.fail_next(MailFault.drop_after_data(), times=2)

    for _ in range(2):
        assert row.tick("review") == Tick(7, "", ())
        row.later()
    given_up = row.tick("review")

    assert given_up.code == 4
    kind, reason = row.failure()
    assert kind == "person_decides"
    assert reason.startswith("smtp was asked for mail 2 times, each answer was lost")
    assert len(row.letters) == 2

    assert row.tick("retry", ORDER).code == 0
    row.finish(begun=IN_REVIEW)
    assert len(row.letters) == 3


@pytest.mark.parametrize(
    ("smtp", "fault", "sentence"),
    [
        (FakeSmtp(), MailFault.refuse("AUTH", ""), "does not accept the user and password of SMTP_URL (535 5.7.8)"),
        (FakeSmtp(security="starttls"), MailFault.no_starttls(), "offers no STARTTLS; SMTP_URL needs a server with T"),
        (FakeSmtp(), MailFault.refuse("MAIL", "553 5.1.8 no"), "the mail server refuses MAIL_FROM (553 5.1.8)"),
    ],
    ids=["login refused", "no STARTTLS", "sender refused"],
)
def test_a_server_that_cannot_be_used_stops_the_run_and_leaves_the_order_in_review(
    open_row: OpenRow, smtp: FakeSmtp, fault: MailFault, sentence: str
) -> None:
    row = open_row("in review", services(smtp=smtp))
    row.services.smtp.fail_next(fault)

    stopped = row.tick("review")

    assert stopped.code == 6
    assert stopped.tells(sentence)
    assert row.where() == "review"
    assert row.job().keys().isdisjoint({"failure", "tries", "not_before", "held_by"})
    row.finish(begun=IN_REVIEW)
    assert len(row.letters) == 1


def test_a_letter_goes_over_starttls(open_row: OpenRow) -> None:
    row = open_row("in review", services(smtp=FakeSmtp(security="starttls")))

    assert row.tick("review") == Tick(0, "", ())
    row.finish(begun=IN_REVIEW)


# --- the operator's letters ----------------------------------------------------------------------------------------


def failing_order(row: Row) -> None:
    """The operator must hear of this order's failure."""
    row.services.gemini.fail_next(prompt_blocked())


@pytest.mark.parametrize(
    "fault",
    [MailFault.drop("CONNECT"), MailFault.refuse("AUTH", ""), MailFault.refuse("RCPT", "450 4.2.1 later")],
    ids=["nobody there", "login refused", "not now"],
)
def test_what_the_operator_must_hear_waits_until_it_can_be_mailed(open_row: OpenRow, fault: MailFault) -> None:
    row = open_row()
    failing_order(row)
    row.services.smtp.fail_next(fault)

    given_up = row.tick("process")
    next_tick = row.tick("process")

    assert (given_up.code, given_up.mailed) == (4, ())
    assert f"{ORDER} failed" in given_up.said
    assert (next_tick.code, next_tick.said) == (3, "")
    assert [f"{ORDER} failed" in letter for letter in next_tick.mailed] == [True]
    assert row.tick("process") == Tick(3, "", ())


def test_an_alert_that_may_have_gone_is_sent_once_more_as_the_same_letter(open_row: OpenRow) -> None:
    row = open_row()
    failing_order(row)
    row.services.smtp.fail_next(MailFault.drop_after_data())

    row.tick("process")
    row.tick("process")
    row.tick("process")

    first, second = row.alerts
    assert first.message["Message-ID"] == second.message["Message-ID"]


def test_an_alert_that_is_refused_for_good_is_kept_and_not_sent_again_and_again(open_row: OpenRow) -> None:
    row = open_row()
    failing_order(row)
    row.services.smtp.fail_next(MailFault.refuse("RCPT", f"550 5.1.1 {ECHO}"))

    row.tick("process")

    assert row.tick("process") == Tick(3, "", ())
    assert [path.suffix for path in (row.home / "logs" / "outbox").glob("[0-9]*")] == [".refused"]
    assert row.alerts == []


@pytest.mark.parametrize("spoilt", ["", "{", "[]", '{"at": 5}', '{"at": "2026-01-06T14:00:00Z", "sentences": 5}'])
def test_a_spoilt_note_to_the_operator_stops_neither_the_others_nor_the_work(open_row: OpenRow, spoilt: str) -> None:
    row = open_row()
    failing_order(row)
    row.services.smtp.fail_next(MailFault.drop("CONNECT"))
    row.tick("process")
    outbox = row.home / "logs" / "outbox"
    (outbox / "19700101T000000-spoilt.json").write_text(spoilt)

    after = row.tick("process")

    assert (after.code, after.said) == (3, "")
    assert [f"{ORDER} failed" in letter for letter in after.mailed] == [True]
    assert [path.name for path in outbox.glob("[0-9]*")] == ["19700101T000000-spoilt.refused"]
