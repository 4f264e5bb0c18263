"""``downstream estimate``: what an order will cost at most, in the figures that its calls reserve."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from fakes.services import Services
from live import STORY, Shop

from downstream.domain.errors import Misconfigured, PersonDecides
from downstream.domain.ports import Silence
from downstream.estimate import Estimate, Line, estimate, priceable, tell
from downstream.log import open_log
from downstream.queue import NoSuchJob
from downstream.receipts import Receipts
from downstream.settings import Secret, Settings
from downstream.suppliers import equip

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LONG = STORY + "\n\n" + STORY  # some 2,000 words


def estimated(home: Path, stream_id: str = "order-1", **settings: Any) -> Estimate:
    """The estimate as the command makes it, with no key set."""
    context = equip(home, priceable(Settings(**settings)), "estimate", open_log(home, "processor"), Silence())
    return estimate(context, stream_id)


@pytest.fixture
def order(home: Path, hand_in: Callable[..., Path]) -> Callable[..., None]:
    """An order in any folder, paid unless it says otherwise."""

    def put(text: str = STORY, state: str = "pending", **fields: Any) -> None:
        hand_in("order-1", text)
        job = {"stream_id": "order-1", "customer_email": "test@test.com", "paid_amount": 49, **fields}
        (home / "jobs" / state / "order-1.json").write_text(json.dumps(job))

    return put


def files(home: Path) -> dict[Path, bytes]:
    """Everything in the installation but the log."""
    return {path: path.read_bytes() for path in home.rglob("*") if path.is_file() and path.suffix != ".log"}


def by_call(found: Estimate) -> dict[str, Line]:
    """The lines by what is called."""
    return {line.call: line for line in found.lines}


# --- before it is planned --------------------------------------------------------------------------------------------


def test_an_order_that_is_not_planned_yet_has_a_range(home: Path, order: Callable[..., None]) -> None:
    order()

    found = estimated(home)

    assert found.segments == (5, 6)
    assert {call: line.count for call, line in by_call(found).items()} == {
        "screen": (1, 1),
        "plan": (1, 1),
        "keyframes/cast": (1, 1),
        "keyframes": (5, 6),
        "judge/keyframes": (1, 1),
        "clips": (5, 6),
        "judge/clips": (1, 1),
    }
    clips = by_call(found)["clips"]
    assert (clips.each_micros, clips.sum_micros) == (190_000, (950_000, 1_140_000))
    for index in (0, 1):
        assert found.sum_micros[index] == sum(line.sum_micros[index] for line in found.lines)
    assert found.to_come_micros == found.sum_micros
    assert found.spent_micros == 0
    assert found.sum_micros[0] < found.sum_micros[1] < found.worst_micros


def test_a_longer_story_costs_more(home: Path, order: Callable[..., None]) -> None:
    order()
    short = estimated(home)
    order(LONG)

    long = estimated(home)

    assert long.segments[0] >= short.segments[1]
    assert long.sum_micros[0] > short.sum_micros[0]
    assert by_call(long)["screen"].each_micros > by_call(short)["screen"].each_micros


@pytest.mark.parametrize("state", ["pending", "processing", "review", "completed", "failed"])
def test_an_order_is_found_in_any_folder_and_nothing_is_changed(
    home: Path, order: Callable[..., None], state: str
) -> None:
    order(state=state)
    before = files(home)

    assert estimated(home).is_order

    assert files(home) == before


def test_a_story_nobody_ordered_is_taken_as_one_that_asks_for_the_services(
    home: Path, hand_in: Callable[..., Path]
) -> None:
    hand_in("tale", STORY)

    found = estimated(home, "tale")

    assert not found.is_order
    assert found.cap_micros == 5_000_000
    assert "No order lies in jobs/: taken as one that nobody paid for and that says live." in list(tell(found))


@pytest.mark.parametrize("stream_id", ["nobody", "../order-1", "", "order-1/../order-1", "x" * 81])
def test_what_is_nowhere_is_nobody(home: Path, order: Callable[..., None], stream_id: str) -> None:
    order()

    with pytest.raises(NoSuchJob):
        estimated(home, stream_id)


def test_an_order_nobody_paid_for_costs_nothing(home: Path, order: Callable[..., None]) -> None:
    order(paid_amount=None)

    found = estimated(home)

    assert found.is_free
    assert found.fits
    assert list(tell(found)) == ["order-1 costs nothing: nobody paid for it, so the embedded providers make it"]


def test_one_that_is_not_paid_but_asks_for_the_services_has_the_cap_for_such(
    home: Path, order: Callable[..., None]
) -> None:
    order(paid_amount=None, live=True)

    found = estimated(home, cap_per_unpaid_job_cents=100)

    assert not found.is_free
    assert found.cap_micros == 1_000_000
    assert not found.fits


def test_a_story_that_cannot_be_made_says_why(home: Path, order: Callable[..., None]) -> None:
    order("Too short.")

    with pytest.raises(PersonDecides, match="the story has 2 words; at least 800 are needed"):
        estimated(home)


def test_a_price_that_is_missing_is_named(home: Path, order: Callable[..., None]) -> None:
    order()
    (home / "prices.toml").write_text('[models]\nclips = "minimax/hailuo-9"\n')

    with pytest.raises(Misconfigured, match="no price"):
        estimated(home)


# --- caps ------------------------------------------------------------------------------------------------------------


def test_it_fits_when_what_is_spent_and_to_come_stays_below_the_cap(home: Path, order: Callable[..., None]) -> None:
    order(paid_amount=10, currency="usd")

    assert estimated(home, cap_per_job_percent=40).fits
    small = estimated(home, cap_per_job_percent=15)
    assert (small.cap_micros, small.fits) == (1_500_000, False)
    assert "it does not fit; the order would wait" in list(tell(small))[-1]
    assert "it fits, but not with every regeneration" in list(tell(estimated(home, cap_per_job_percent=40)))[-1]
    assert list(tell(estimated(home, cap_per_job_percent=90)))[-1].endswith(": it fits")


def test_a_call_the_cap_for_a_call_forbids_is_named(home: Path, order: Callable[..., None]) -> None:
    order()

    found = estimated(home, cap_per_call_cents=18)

    assert found.too_dear == ("clips",)
    assert not found.fits
    assert list(tell(found))[-1].endswith("clips cost more than CAP_PER_CALL_CENTS allows for one call")


def test_the_worst_case_makes_every_segment_again_as_often_as_the_settings_allow(
    home: Path, order: Callable[..., None]
) -> None:
    order()
    lines = by_call(estimated(home))
    again = lines["keyframes"].sum_micros[1] + lines["clips"].sum_micros[1]
    judged = lines["judge/keyframes"].sum_micros[1] + lines["judge/clips"].sum_micros[1]

    for segment, whole, expected in ((0, 0, 0), (2, 4, 2 * again + 4 * judged), (9, 3, 3 * again + 3 * judged)):
        found = estimated(home, regenerations_per_segment=segment, regenerations_per_order=whole)
        assert found.worst_micros == found.sum_micros[1] + expected


def test_who_plans_decides_what_the_plan_costs(home: Path, order: Callable[..., None]) -> None:
    order()

    found = estimated(home, director="claude")

    assert by_call(found)["plan"].each_micros == 500_000
    assert by_call(found)["screen"].each_micros == 500_000


# --- while it is made ------------------------------------------------------------------------------------------------


def test_what_is_estimated_is_what_is_reserved_and_what_is_made_is_not_to_come(home: Path) -> None:
    with Services() as services:
        shop = Shop(home, services)
        shop.order()
        before = estimated(home)
        shop.run("process")
        halfway = estimated(home)
        shop.run("review")
        done = estimated(home)
        bill = sum(charge.micro_dollars for charge in services.bill)
        shop.run("review", "--regenerate", "order-1", "--segments", "2", "--note", "the boat has no sail")
        again = estimated(home)

    reserved = {line["call"]: line["reserved_micros"] for line in shop.receipts() if line.get("reserved_micros")}
    lines = by_call(done)
    assert done.segments == (5, 5)
    assert sum(reserved.values()) <= done.sum_micros[1]  # the first keyframe is shown no picture before it
    for call in ("screen", "plan", "keyframes/cast", "judge/keyframes", "judge/clips"):
        assert reserved[call] == lines[call].each_micros, call
    assert max(reserved[f"keyframes/0{number}"] for number in range(1, 6)) == lines["keyframes"].each_micros
    assert before.sum_micros[0] >= done.sum_micros[0]

    assert {call: line.made for call, line in by_call(halfway).items()}["judge/clips"] == 0
    assert halfway.to_come_micros == (lines["judge/clips"].each_micros,) * 2
    assert {line.count[1] - line.made for line in done.lines} == {0}
    assert (done.to_come_micros, done.spent_micros) == ((0, 0), bill)

    made = {call: line.made for call, line in by_call(again).items()}
    assert made == {
        "screen": 1, "plan": 1, "keyframes/cast": 1, "keyframes": 4, "judge/keyframes": 0, "clips": 4, "judge/clips": 0,
    }  # fmt: skip


def test_an_open_call_counts_as_spent_and_is_still_to_come(home: Path, order: Callable[..., None]) -> None:
    order(state="processing")
    receipts = Receipts(home / "streams/order-1/receipts.jsonl")
    receipts.intend("plan", "i", "gemini", reserved_micros=94_000)
    before = files(home)

    found = estimated(home)

    assert found.spent_micros == 94_000
    assert by_call(found)["plan"].made == 0
    assert files(home) == before


def test_a_story_a_person_has_cleared_is_not_read_again(home: Path, order: Callable[..., None]) -> None:
    order(cleared=True)

    assert "screen" not in by_call(estimated(home))


def test_a_clip_asked_for_again_is_to_come_once_more(home: Path, order: Callable[..., None]) -> None:
    order(state="pending", redo={"clips/02": 1})
    receipts = Receipts(home / "streams/order-1/receipts.jsonl")
    for number in range(1, 7):
        receipts.settle(receipts.intend(f"clips/0{number}", "i", "minimax"), cost_micros=190_000)

    assert by_call(estimated(home))["clips"].made == 5

    receipts.settle(receipts.intend("clips/02", "another", "minimax"), cost_micros=190_000)
    assert by_call(estimated(home))["clips"].made == 6


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_table_for_people_and_json_for_scripts(
    home: Path, order: Callable[..., None], run: Callable[..., Any]
) -> None:
    order()

    table, script = run("estimate", "order-1"), run("estimate", "order-1", "--json")

    assert (table.returncode, table.stderr) == (0, "")
    lines = table.stdout.splitlines()
    assert lines[0].endswith(" words, 5-6 segments (not planned yet)")
    assert lines[3].split() == ["call", "count", "each", "in", "all", "made"]
    assert ["clips", "5-6", "$0.19", "$0.95-$1.14", "0"] in [line.split() for line in lines]
    found = json.loads(script.stdout)
    assert (found["stream_id"], found["segments"], found["fits"]) == ("order-1", [5, 6], True)
    assert found["lines"][5]["call"] == "clips"
    assert found["lines"][5]["sum_micros"] == [950_000, 1_140_000]
    assert found["cap_micros"] == 20_580_000


def test_asking_for_prices_needs_no_keys_and_leaves_those_that_are_set() -> None:
    settings = priceable(Settings(google_ai_api_key=Secret("planted")))

    assert settings.missing_keys == ()
    assert settings.google_ai_api_key.reveal() == "planted"
