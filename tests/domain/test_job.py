"""The job: what a file may say, what it means, and how new facts make a new job."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from downstream.domain.job import Entry, Failure, Job, What
from downstream.domain.money import Money
from downstream.domain.record import explain
from downstream.domain.state import State

NOW = datetime(2026, 1, 6, 12, tzinfo=UTC)
SEED = {
    "stream_id": "my-story",
    "customer_email": "customer@example.com",
    "paid_amount": 49,
    "paid_at": "2026-01-06T14:00:00Z",
    "input_path": "/streams/my-story/input.json",
}


def parsed(**fields: Any) -> Job:
    """A job as read from a file with these fields."""
    return Job.model_validate_json(json.dumps({"stream_id": "test", "customer_email": "test@test.com", **fields}))


def problem(**fields: Any) -> str:
    """What is wrong with such a file."""
    with pytest.raises(ValidationError) as caught:
        parsed(**fields)
    return explain(caught.value)


def test_the_seeds_job_file_works_as_written() -> None:
    job = Job.model_validate_json(json.dumps(SEED))

    assert job.paid == Money("eur", 4900)
    assert job.paid_at == datetime(2026, 1, 6, 14, tzinfo=UTC)
    assert job.is_paid
    assert job.needs_live
    assert json.loads(job.to_json()) == SEED


def test_the_operators_test_file_works_as_written() -> None:
    job = Job.model_validate_json('{"stream_id": "test", "customer_email": "test@test.com"}')

    assert not job.is_paid
    assert not job.needs_live
    assert json.loads(job.to_json()) == {"stream_id": "test", "customer_email": "test@test.com"}


def test_fields_nobody_knows_are_kept_as_they_are() -> None:
    unknown = {
        "coupon": None,
        "deep": {"a": [1, 2.5, "é", None, {"b": False}]},
        "paid": "not ours",
        "take": 3,
        "big": 10**30,
    }

    again = parsed(**unknown).evolve(tries=1).noting(What.APPROVED, at=NOW, who="x")

    kept = json.loads(again.to_json())
    assert {key: kept[key] for key in unknown} == unknown
    assert again.paid is None
    assert again.take("clips") == 1


@pytest.mark.parametrize("stream_id", ["a", "A-1_b", "0", "a" * 80, "my-story", "x_", "2026-01-06"])
def test_a_stream_id_is_one_harmless_word(stream_id: str) -> None:
    assert parsed(stream_id=stream_id).stream_id == stream_id


@pytest.mark.parametrize(
    "stream_id",
    [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "/etc",
        "a\\b",
        "-a",
        "_a",
        "a.b",
        "a b",
        "a\n",
        "\u0430bc",
        "é",
        "a" * 81,
        "a\0",
        "%2e",
        None,
        5,
    ],
)
def test_anything_else_is_no_stream_id(stream_id: object) -> None:
    assert problem(stream_id=stream_id).startswith("stream_id: ")


@pytest.mark.parametrize("address", ["a@b", "first.last+tag@sub.example.com", "josé@exämple.hu", "o'hara@example.com"])
def test_an_address_may_look_as_addresses_do(address: str) -> None:
    assert parsed(customer_email=address).customer_email == address


@pytest.mark.parametrize(
    "address",
    ["", "a", "a@", "@b", "a@b@c", "a b@c", "a@b c", "a@b\n", "a@b\r\nBcc: x@y", "a@b,c@d", "a@b;c@d", "<a@b>",
     "A <a@b>", '"a"@b', "a@b\0", "a@b\x7f", "x" * 251 + "@b.c", "a@b\u2028", None, ["a@b"]],
)  # fmt: skip
def test_what_could_break_a_letters_head_is_no_address(address: object) -> None:
    assert problem(customer_email=address).startswith("customer_email: ")


@pytest.mark.parametrize("amount", ["49", True, -1, -0.01, [49], {"eur": 49}, 49.999])
def test_an_amount_is_a_number_of_the_currency_and_not_negative(amount: object) -> None:
    assert problem(paid_amount=amount)


def test_an_amount_fits_its_currency() -> None:
    assert parsed(paid_amount=4900, currency="jpy").paid == Money("jpy", 4900)
    assert "is not an amount in jpy" in problem(paid_amount=49.5, currency="jpy")
    assert problem(currency="EUR")
    assert problem(currency="eur\n")


@pytest.mark.parametrize("moment", ["yesterday", "2026-01-06", "2026-01-06T14:00:00", "2026-13-01T00:00:00Z", True, []])
def test_a_moment_says_its_time_zone(moment: object) -> None:
    assert problem(paid_at=moment).startswith("paid_at: ")


@pytest.mark.parametrize(
    ("fields", "is_paid"),
    [
        ({}, False),
        ({"paid_amount": 0}, False),
        ({"paid_amount": 0, "paid_at": "2026-01-06T14:00:00Z"}, True),
        ({"paid_at": "2026-01-06T14:00:00Z"}, True),
        ({"paid_amount": 0.01}, True),
        ({"live": True}, False),
    ],
)
def test_who_paid(fields: dict[str, Any], is_paid: bool) -> None:  # noqa: FBT001
    job = parsed(**fields)

    assert job.is_paid is is_paid
    assert job.needs_live is (is_paid or job.live)


def test_the_order_is_by_payment_then_arrival_and_last_where_neither_is_known() -> None:
    paid, arrived = NOW - timedelta(days=2), NOW - timedelta(days=1)
    job = Job(stream_id="a", customer_email="a@b")

    assert job.evolve(paid_at=paid, arrived_at=arrived).order_time == paid
    assert job.evolve(arrived_at=arrived).order_time == arrived
    assert job.order_time > NOW + timedelta(days=365_000)


def test_a_new_fact_makes_a_new_job() -> None:
    job = parsed()

    noted = job.noting(What.APPROVED, at=NOW, who="operator", reason="fine", evidence={"checks": 12})

    assert job.history == ()
    assert noted.history == (Entry(at=NOW, who="operator", what=What.APPROVED, reason="fine", evidence={"checks": 12}),)
    with pytest.raises(ValidationError, match="frozen"):
        job.tries = 1  # type: ignore[misc]


def test_approval_lasts_until_the_job_moves() -> None:
    job = parsed()
    move = Entry(at=NOW, who="x", what=What.MOVED, source=State.PROCESSING, target=State.REVIEW)
    in_review = job.evolve(history=(move,))

    assert not job.approved
    assert not in_review.approved
    assert in_review.noting(What.APPROVED, at=NOW, who="x").approved
    assert in_review.noting(What.APPROVED, at=NOW, who="x").noting(What.PUBLISHED, at=NOW, who="x").approved
    approved = in_review.noting(What.APPROVED, at=NOW, who="x")
    assert not approved.evolve(history=(*approved.history, move)).approved


def test_takes_count_what_was_asked_for_again_of_a_step_and_of_its_segment() -> None:
    job = parsed(redo={"clips": 1, "clips/03": 2, "keyframes/03": 5})

    assert job.take("clips") == 2
    assert job.take("clips", "01") == 2
    assert job.take("clips", "03") == 4
    assert job.take("keyframes", "01") == 1
    assert job.take("keyframes", "03") == 6
    assert job.take("plan") == 1


def test_regenerations_are_counted_for_the_order_and_for_each_segment() -> None:
    job = parsed()
    for segments in (["01", "02"], ["02"]):
        job = job.noting(What.REGENERATE, at=NOW, who="review", evidence={"segments": list(segments)})
    job = job.noting(What.APPROVED, at=NOW, who="review").noting(
        What.REGENERATE, at=NOW, who="x", evidence={"segments": 5}
    )

    assert job.regenerations() == 3
    assert [job.regenerations(segment) for segment in ("01", "02", "03")] == [1, 2, 0]


def test_a_job_full_of_history_comes_back_from_its_file_as_it_was() -> None:
    job = parsed(**SEED, live=True, mine={"x": 1}).evolve(
        arrived_at=NOW,
        not_before=NOW + timedelta(minutes=5, microseconds=1),
        tries=3,
        recoveries=2,
        redo={"clips/03": 1},
        notes={"03": ("no sail", "no sea")},
        failure=Failure(kind="refused", reason="the filter", step="process", at=NOW),
    )
    job = job.noting(
        What.REGENERATE, at=NOW, who="operator", reason="x", evidence={"segments": ["03"], "deep": {"a": None}}
    )

    assert Job.model_validate_json(job.to_json()) == job


@pytest.mark.parametrize(
    "fields",
    [
        {"tries": -1},
        {"recoveries": "3"},
        {"redo": {"clips": "1"}},
        {"notes": {"01": "a word"}},
        {"history": {}},
        {"history": [{"at": "2026-01-06T14:00:00Z", "who": "x", "what": "flew"}]},
        {"history": [{"who": "x", "what": "moved"}]},
        {"history": [{"at": "2026-01-06T14:00:00Z", "who": "x", "what": "moved", "target": "archive"}]},
        {"failure": "bad"},
        {"live": 1},
        {"input_path": 5},
    ],
)
def test_fields_of_ours_must_be_what_we_wrote(fields: dict[str, Any]) -> None:
    assert problem(**fields).startswith(next(iter(fields)))


def test_a_problem_names_every_field_and_repeats_no_value() -> None:
    text = problem(stream_id="secret words", customer_email="secret words", paid_at="secret words")

    assert "secret" not in text
    assert [part.split(":")[0] for part in text.split("; ")] == ["stream_id", "customer_email", "paid_at"]


def test_what_went_back_is_the_last_total_and_settles_the_order_when_it_is_all() -> None:
    job = parsed(paid_amount=49)
    assert (job.refunded_minor, job.is_given_back) == (0, False)
    for total, settled in ((1000, False), (4899, False), (4900, True)):
        job = job.noting(What.REFUNDED, at=NOW, who="shop", evidence={"amount_minor": total})
        assert (job.refunded_minor, job.is_given_back) == (total, settled)


def test_who_never_paid_is_owed_nothing_and_an_unknown_amount_is_never_all_back() -> None:
    assert parsed().is_given_back
    assert parsed(paid_amount=0, paid_at="2026-01-06T14:00:00Z").is_given_back
    assert not parsed(paid_at="2026-01-06T14:00:00Z").is_given_back


@pytest.mark.parametrize(
    ("fields", "kind", "settled"),
    [
        ({}, "rejected", True),
        ({"paid_amount": 49}, "cancelled", False),
        ({"paid_amount": 0, "paid_at": "2026-01-06T14:00:00Z"}, "", False),
        ({"paid_amount": 0, "paid_at": "2026-01-06T14:00:00Z"}, "rejected", False),
        ({"paid_amount": 0, "paid_at": "2026-01-06T14:00:00Z"}, "withdrawn", True),
        ({"paid_at": "2026-01-06T14:00:00Z"}, "withdrawn", False),
    ],
)
def test_a_voucher_is_settled_when_it_was_given_up_and_money_when_it_went_back(
    fields: dict[str, Any],
    kind: str,
    settled: bool,  # noqa: FBT001 - pytest passes it
) -> None:
    job = parsed(**fields)
    if kind:
        job = job.evolve(failure=Failure(kind=kind, reason="", at=NOW))

    assert job.is_settled is settled


def test_a_job_whose_page_was_mailed_is_delivered_wherever_it_lies() -> None:
    job = parsed(paid_amount=49)
    assert not job.noting(What.PUBLISHED, at=NOW, who="review").is_delivered
    assert job.noting(What.MAILED, at=NOW, who="review").noting(What.REGENERATE, at=NOW, who="operator").is_delivered
