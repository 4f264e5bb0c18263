"""What can go wrong at Vercel, and what the order, the operator and the customer have of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from fakes.service import FOR_EVER, Fault
from fakes.vercel import (
    FakeVercel,
    alias_error,
    blocked,
    build_canceled,
    build_error,
    file_missing,
    protected,
    stale_alias,
    wrong_page,
)
from matrix import ECHO, IN_REVIEW, ORDER, WRONG_KEY, Tick, services

from downstream.site.read import read_marker

if TYPE_CHECKING:
    from collections.abc import Callable

    from fakes.service import Call
    from matrix import Row

    OpenRow = Callable[..., Row]


def with_all_files(row: Row) -> Callable[[Call], bool]:
    """The request for a deployment that is made: the first one only names the files that are missing."""
    vercel = row.services.vercel
    return lambda call: vercel.files.keys() >= {item["sha"] for item in call.document["files"]}


def live_marker(row: Row) -> str | None:
    """Whose page an anonymous visitor sees."""
    import httpx

    address = next(entry["evidence"]["address"] for entry in row.job()["history"] if entry["what"] == "published")
    return read_marker(httpx.get(address, follow_redirects=True).content)


# --- waited out in place -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "operations"),
    [
        (Fault.lose_reply(), None),
        (Fault.drop(), None),
        (Fault.status(500, message=ECHO), None),
        (Fault.status(503, message=ECHO), None),
        (Fault.status(429, message=ECHO, retry_after="1"), None),
        (Fault.status(503, message=ECHO), {"uploadFile"}),
        (Fault.lose_reply(), {"uploadFile"}),
        (Fault.lose_reply(), {"createProject"}),
        (Fault.status(500, message=ECHO), {"getDeployment"}),
        (Fault.status(502, message=ECHO), {"visit"}),
        (Fault.cut(), {"visit"}),
    ],
    ids=[
        "lost create",
        "drop",
        "500",
        "503",
        "429",
        "503 at upload",
        "lost upload",
        "lost project",
        "500 at poll",
        "502 to a visitor",
        "page cut",
    ],
)
def test_what_passes_is_waited_out_and_the_page_published_once(
    open_row: OpenRow, fault: Fault, operations: set[str] | None
) -> None:
    row = open_row("in review")
    row.services.vercel.fail_next(fault, "" if operations else with_all_files(row), operations=operations)

    assert row.tick("review") == Tick(0, "", ())

    assert row.where() == "completed"
    assert len(row.services.vercel.projects) == len(row.services.vercel.deployments) == len(row.letters) == 1
    assert live_marker(row) == ORDER
    row.finish(begun=IN_REVIEW)


def test_only_what_vercel_is_missing_is_uploaded(open_row: OpenRow) -> None:
    row = open_row("in review")
    row.services.vercel.fail_next(Fault.status(400, code="missing_files", message=ECHO))

    assert row.tick("review") == Tick(0, "", ())

    uploads = [call.request.headers["x-vercel-digest"] for call in row.services.vercel.calls_of("uploadFile")]
    assert len(uploads) == len(set(uploads)) == len(row.services.vercel.files)
    row.finish(begun=IN_REVIEW)


# --- the page is not to be seen ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "match", "reason"),
    [
        (protected(), "", "is not open to visitors (401): see the project's Deployment Protection"),
        (wrong_page(), "", "does not show this order's page"),
        (file_missing(), ".webp", ".webp is not there (404)"),
        (file_missing(), "story.zip", "story.zip is not there (404)"),
    ],
    ids=["protected", "another order's page", "a frame missing", "keepsake missing"],
)
def test_a_page_that_visitors_do_not_see_is_not_announced(
    open_row: OpenRow, fault: Fault, match: str, reason: str
) -> None:
    row = open_row("in review")
    row.services.vercel.fail_next(fault, match)

    assert row.tick("review") == Tick(7, "", ())

    assert row.where() == "review"
    assert row.waits_for().startswith("http://127.0.0.1:")
    assert row.waits_for().endswith(reason)
    assert row.letters == []
    assert not [entry for entry in row.job()["history"] if entry["what"] == "published"]
    row.finish(begun=IN_REVIEW)
    assert live_marker(row) == ORDER


def test_an_address_that_does_not_show_the_page_yet_is_not_announced(open_row: OpenRow) -> None:
    row = open_row("in review")
    row.services.vercel.fail_next(stale_alias(1.5), with_all_files(row))

    assert row.tick("review") == Tick(7, "", ())

    assert row.waits_for().endswith("is not there (404)")
    time.sleep(1.5)
    row.finish(begun=IN_REVIEW)
    assert live_marker(row) == ORDER


def test_a_redirect_to_a_login_page_is_no_page(open_row: OpenRow) -> None:
    row = open_row("in review", services(vercel=FakeVercel(login_redirects=True)))
    row.services.vercel.fail_next(protected())

    assert row.tick("review") == Tick(7, "", ())

    assert row.waits_for().endswith("is not open to visitors (302): see the project's Deployment Protection")
    row.finish(begun=IN_REVIEW)


# --- deployments that end badly ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (build_error(), "the deployment ended ERROR at Vercel (BUILD_FAILED)"),
        (build_canceled(), "the deployment ended CANCELED at Vercel (no code)"),
    ],
    ids=["build error", "canceled"],
)
def test_a_deployment_that_fails_is_made_anew(open_row: OpenRow, fault: Fault, reason: str) -> None:
    row = open_row("in review")
    row.services.vercel.fail_next(fault, with_all_files(row))

    assert row.tick("review") == Tick(7, "", ())

    assert (row.where(), row.waits_for()) == ("review", reason)
    row.finish(begun=IN_REVIEW, deployments=2)
    assert live_marker(row) == ORDER


def test_the_lost_reply_to_a_second_attempt_makes_no_third_deployment(open_row: OpenRow) -> None:
    row = open_row("in review")
    for fault in (build_error(), Fault.lose_reply()):
        row.services.vercel.fail_next(fault, with_all_files(row))

    assert row.tick("review") == Tick(7, "", ())
    row.later()
    assert row.tick("review") == Tick(0, "", ())

    row.finish(begun=IN_REVIEW, deployments=2)
    assert live_marker(row) == ORDER


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (
            blocked(),
            "Vercel blocks the deployment (TEAM_ACCESS_REQUIRED): the token's owner needs a seat in the team",
        ),
        (alias_error(), "Vercel does not give the page its address (alias_in_use): see the project's domains"),
        (Fault.status(400, message=ECHO), "Vercel does not accept the page (bad_request)"),
        (Fault.status(409, message=ECHO), "Vercel does not accept the request (409 conflict)"),
    ],
    ids=["BLOCKED", "alias error", "400", "409"],
)
def test_what_only_a_person_can_mend_is_for_a_person(open_row: OpenRow, fault: Fault, reason: str) -> None:
    row = open_row("in review")
    row.services.vercel.fail_next(fault, with_all_files(row))

    given_up = row.tick("review")

    assert given_up.code == 4
    assert row.failure() == ("person_decides", reason)
    assert given_up.tells(f"{ORDER} failed: {reason}")
    assert row.letters == []

    assert row.tick("retry", ORDER).code == 0
    row.finish(begun=IN_REVIEW, deployments=1 if fault.refused else 2)
    assert live_marker(row) == ORDER


# --- the account and the settings ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "cause", "sentence"),
    [
        (Fault.status(402, message=ECHO), "vercel.payment", "Vercel wants to be paid (402 payment_required)"),
        (
            Fault.status(429, message=ECHO, retry_after="4000"),
            "vercel.limit",
            "a limit of the Vercel plan is used up (429 rate_limited)",
        ),
    ],
    ids=["unpaid", "deployments of a day"],
)
def test_what_is_used_up_holds_everybody_is_told_once_and_goes_on_by_itself(
    open_row: OpenRow, fault: Fault, cause: str, sentence: str
) -> None:
    row = open_row("in review")
    row.services.vercel.fail_next(fault, times=FOR_EVER)

    first = row.tick("review")
    asked = len(row.services.vercel.calls_of("createDeployment"))
    row.later()
    second = row.tick("review")

    assert first.code == 7
    assert first.tells(sentence, "It is looked at again at 20")
    assert second == Tick(7, "", ())
    assert len(row.services.vercel.calls_of("createDeployment")) == asked
    assert (row.where(), row.waits_for()) == ("review", cause)

    row.services.vercel.clear_faults()
    row.hold_is_over("vercel")
    row.later()
    over = row.tick("review")

    assert over.code == 0
    assert over.tells(f"all clear: {cause} holds up no order any more")
    row.finish(begun=IN_REVIEW)


@pytest.mark.parametrize(
    ("fault", "settings", "sentence"),
    [
        (None, {"VERCEL_TOKEN": WRONG_KEY}, "Vercel does not accept VERCEL_TOKEN for VERCEL_TEAM_ID (403 forbidden)"),
        (Fault.status(401, message=ECHO), {}, "Vercel does not accept VERCEL_TOKEN for VERCEL_TEAM_ID (401"),
        (Fault.status(428, message=ECHO), {}, "Vercel's plan lacks what is needed to open pages to visitors (428"),
    ],
    ids=["wrong token", "401", "428"],
)
def test_what_the_operator_must_set_right_stops_the_run_and_leaves_the_order_in_review(
    open_row: OpenRow, fault: Fault | None, settings: dict[str, str], sentence: str
) -> None:
    row = open_row("in review", **settings)
    if fault:
        row.services.vercel.fail_next(fault)

    stopped = row.tick("review")

    assert stopped.code == 6
    assert stopped.tells(f"stopped: {sentence}")
    assert row.where() == "review"
    assert row.job().keys().isdisjoint({"failure", "tries", "not_before", "held_by"})
    row.settings.pop("VERCEL_TOKEN", None)
    row.finish(begun=IN_REVIEW)
