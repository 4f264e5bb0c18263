"""One order through every folder, with the real program and the embedded providers."""

from __future__ import annotations

import json
import re
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from downstream.site.read import read_text

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    Run = Callable[..., subprocess.CompletedProcess[str]]

STORIES = Path(__file__).parent.parent / "stories"


def job_in(home: Path, state: str, stream_id: str = "test") -> dict[str, Any]:
    """The job file's content; fails when it lies elsewhere."""
    found: dict[str, Any] = json.loads((home / "jobs" / state / f"{stream_id}.json").read_bytes())
    return found


def folders_holding(home: Path, stream_id: str) -> list[str]:
    """Every folder the job lies in."""
    return [path.parent.name for path in (home / "jobs").glob(f"*/{stream_id}.json")]


def test_a_test_job_travels_from_pending_to_completed_without_a_word(home: Path, run: Run) -> None:
    (home / "jobs/pending/test.json").write_text('{"stream_id":"test","customer_email":"test@test.com"}\n')

    made = run("process")

    assert (made.returncode, made.stdout, made.stderr) == (0, "", "")
    assert folders_holding(home, "test") == ["review"]

    reviewed = run("review")

    assert (reviewed.returncode, reviewed.stdout, reviewed.stderr) == (0, "", "")
    assert folders_holding(home, "test") == ["completed"]
    history = [entry["what"] for entry in job_in(home, "completed")["history"]]
    assert history == ["moved", "approved", "published", "verified", "mailed", "moved"]
    story = json.loads((home / "streams/test/input.json").read_bytes())
    page = (home / "streams/test/public/index.html").read_bytes()
    assert read_text(page) == story["text"]


def test_the_letter_names_the_page_and_goes_to_the_customer(home: Path, run: Run, drop: Callable[..., Path]) -> None:
    drop("test", customer_email="reader@example.com")
    run("process")
    run("review")

    letters = list((home / "streams/test/mail").glob("*.eml"))

    assert len(letters) == 1
    letter = message_from_bytes(letters[0].read_bytes(), policy=default)
    page = (home / "streams/test/public/index.html").absolute().as_uri()
    assert letter["To"] == "reader@example.com"
    assert letter["Auto-Submitted"] == "auto-generated"
    for kind in ("plain", "html"):
        body = letter.get_body((kind,))
        assert body is not None
        assert page in body.get_content()


def test_running_again_finds_nothing_to_do(home: Path, run: Run, drop: Callable[..., Path]) -> None:
    drop()
    run("process")
    run("review")
    before = job_in(home, "completed")

    again = [run("process"), run("review")]

    assert [(one.returncode, one.stdout, one.stderr) for one in again] == [(3, "", ""), (3, "", "")]
    assert job_in(home, "completed") == before


@pytest.mark.parametrize(("name", "language"), [("the-selfish-giant.txt", "en"), ("emberi-jogok.hu.txt", "hu")])
def test_a_real_story_becomes_a_page_with_exactly_its_words(
    home: Path, run: Run, drop: Callable[..., Path], hand_in: Callable[..., Path], name: str, language: str
) -> None:
    text = (STORIES / name).read_text("utf-8")
    hand_in("real", text, language=language)
    drop("real", input_path="/streams/real/input.json")

    assert run("process").returncode == 0
    assert run("review").returncode == 0

    page = (home / "streams/real/public/index.html").read_bytes()
    assert read_text(page) == text
    assert re.search(rb'<html[^>]* lang="' + language.encode() + rb'"', page)


def test_unknown_fields_of_the_job_survive_every_stage(home: Path, run: Run, drop: Callable[..., Path]) -> None:
    drop("test", seen_in_shop={"campaign": "spring", "rank": [1, 2.5, None]})
    run("process")
    run("review")

    assert job_in(home, "completed")["seen_in_shop"] == {"campaign": "spring", "rank": [1, 2.5, None]}


@pytest.mark.parametrize("payment", [{"paid_amount": 49, "paid_at": "2026-01-06T14:00:00Z"}, {"live": True}])
def test_an_order_that_needs_outside_services_waits_for_their_keys(
    home: Path, run: Run, drop: Callable[..., Path], payment: dict[str, Any]
) -> None:
    before = drop("order", **payment).read_bytes()

    first, second = run("process"), run("process")

    assert "these keys are not set: GOOGLE_AI_API_KEY" in first.stderr
    assert second.stderr == ""  # told once, not at every tick
    assert (first.returncode, second.returncode) == (3, 3)
    assert (home / "jobs/pending/order.json").read_bytes() == before


def test_the_demo_ends_with_the_path_of_its_page(tmp_path: Path, run: Run) -> None:
    made = run("demo", str(tmp_path / "demo"))

    page = Path(made.stdout.splitlines()[-1])
    assert made.returncode == 0
    assert page == tmp_path / "demo/streams/demo/public/index.html"
    assert page.read_bytes().lower().startswith(b"<!doctype html>")

    assert run("demo", str(tmp_path / "demo")).stdout == made.stdout


def test_nothing_a_customer_handed_in_is_readable_by_others(home: Path, run: Run, drop: Callable[..., Path]) -> None:
    (home / "jobs").chmod(0o755)
    drop()
    run("process")
    run("review")

    for name in ("jobs", "streams", "logs"):
        assert (home / name).stat().st_mode & 0o077 == 0


def test_no_log_holds_words_of_the_story_or_the_address(home: Path, run: Run, drop: Callable[..., Path]) -> None:
    drop("test", customer_email="planted.address@example.com")
    run("process")
    run("review")
    run("daily")

    logs = "".join(path.read_text() for path in (home / "logs").rglob("*") if path.is_file())
    story = json.loads((home / "streams/test/input.json").read_bytes())
    assert "job.completed" in logs
    assert "planted.address" not in logs
    assert not [word for word in story["text"].split(". ")[:5] if word in logs]


def test_an_operator_decides_when_the_policy_says_so(home: Path, run: Run, drop: Callable[..., Path]) -> None:
    drop()
    run("process")

    told = run("review", REVIEW_POLICY="operator")
    quiet = run("review", REVIEW_POLICY="operator")

    assert told.returncode == quiet.returncode == 7
    assert "downstream review" in told.stderr
    assert quiet.stderr == ""
    assert folders_holding(home, "test") == ["review"]
    assert (home / "streams/test/review/contact-sheet.jpg").stat().st_size > 1000

    assert run("review", "--approve", "test").returncode == 0
    decided = [entry for entry in job_in(home, "completed")["history"] if entry["what"] == "approved"]
    assert [entry["who"] for entry in decided] == ["operator"]


def test_regenerating_makes_only_the_named_segments_again_with_the_reason(
    home: Path, run: Run, drop: Callable[..., Path]
) -> None:
    drop()
    run("process")
    before = {path.name: path.read_bytes() for path in (home / "streams/test/keyframes").iterdir()}

    assert run("review", "--regenerate", "test", "--segments", "2,4", "--note", "too dark").returncode == 0

    assert folders_holding(home, "test") == ["pending"]
    assert job_in(home, "pending")["notes"] == {"02": ["too dark"], "04": ["too dark"]}
    assert run("process").returncode == 0
    after = {path.name: path.read_bytes() for path in (home / "streams/test/keyframes").iterdir()}
    assert sorted(name for name in before if before[name] != after[name]) == ["02.png", "04.png"]
    assert run("review").returncode == 0
    assert folders_holding(home, "test") == ["completed"]


def test_a_completed_page_can_be_revised_and_is_mailed_once_more(
    home: Path, run: Run, drop: Callable[..., Path]
) -> None:
    drop()
    run("process")
    run("review")
    first = (home / "streams/test/public/index.html").read_bytes()

    run("review", "--regenerate", "test", "--segments", "1", "--note", "another light")
    run("process")
    assert run("review").returncode == 0

    assert (home / "streams/test/public/index.html").read_bytes() != first
    assert len(list((home / "streams/test/mail").glob("*.eml"))) == 2
    assert len(list((home / "streams/test/published").iterdir())) == 2


def test_failing_by_hand_and_retrying_goes_round_again(home: Path, run: Run, drop: Callable[..., Path]) -> None:
    drop()
    run("process")

    failed = run("review", "--fail", "test", "--reason", "the customer withdrew")

    assert failed.returncode == 4
    assert "the customer withdrew" in failed.stderr
    assert job_in(home, "failed")["failure"]["kind"] == "rejected"
    outcomes = (home / "streams/test/receipts.jsonl").read_text().count('"outcome"')
    assert run("retry", "test").returncode == 0
    assert run("process").returncode == 0
    assert (home / "streams/test/receipts.jsonl").read_text().count('"outcome"') == outcomes
    assert folders_holding(home, "test") == ["review"]


def test_a_pause_touches_nothing_and_says_so(home: Path, run: Run, drop: Callable[..., Path]) -> None:
    before = drop().read_bytes()
    run("heartbeat", "pause", "--reason", "holiday")

    told, quiet = run("process"), run("process")

    assert told.returncode == quiet.returncode == 5
    assert "holiday" in told.stderr
    assert quiet.stderr == ""
    assert (home / "jobs/pending/test.json").read_bytes() == before
    assert not (home / "streams/test").exists()
    run("heartbeat", "resume")
    assert run("process").returncode == 0


@pytest.mark.parametrize("name", ["nobody", "../../etc"])
def test_deciding_on_an_order_that_is_not_there_says_so(home: Path, run: Run, name: str) -> None:
    decided = run("review", "--regenerate", name, "--segments", "1", "--note", "too dark")

    assert decided.returncode == 3
    assert "no such job" in decided.stderr
