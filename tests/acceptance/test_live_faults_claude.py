"""What can go wrong with the ``claude`` command, and what the order, the operator and the books have of it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fakes.claude_command import FakeClaude
from matrix import ECHO, ORDER, PLAN, SCREEN, Tick, claude_answers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from matrix import Row

    OpenRow = Callable[..., Row]

COST = 12_300
"""What the command says that one run cost, in millionths of a dollar."""
PLANNED = "after ledger settled plan #1"
SILENT = {"type": "result", "subtype": "success", "is_error": False, "result": ECHO, "total_cost_usd": 0.0123}
"""A success that has no answer in it."""
FALSE = SILENT | {"is_error": True, "structured_output": claude_answers()[1]["structured_output"]}
"""A success with an answer, which is an error all the same."""


@pytest.fixture
def claude(tmp_path: Path) -> FakeClaude:
    """The command."""
    return FakeClaude(tmp_path / "command")


def test_it_reads_and_plans_and_is_told_no_secret(open_row: OpenRow, claude: FakeClaude) -> None:
    row = open_row(DIRECTOR="claude", CLAUDE_COMMAND=str(claude.command))
    claude.answer(*claude_answers())

    assert row.tick("process", kill_at=PLANNED).is_quiet

    assert [call["when"] for call in claude.calls] == [SCREEN, PLAN]
    assert (row.cost("screen"), row.cost("plan")) == ([COST], [COST])
    assert not row.bill
    for call in claude.calls:
        assert not {"GOOGLE_AI_API_KEY", "REPLICATE_API_TOKEN", "VERCEL_TOKEN", "SMTP_URL"} & {*call["environment"]}
        assert "ANTHROPIC_API_KEY" in call["environment"]


@pytest.mark.parametrize(
    ("fault", "reason", "end", "cost"),
    [
        (
            {"is_error": True, "api_error_status": 500, "result": ECHO},
            "plan: claude failed (success, API status 500, exit 0)",
            "failed",
            COST,
        ),
        (
            {"stdout": json.dumps(FALSE)},
            "plan: claude failed (success, API status none, exit 0)",
            "failed",
            COST,
        ),
        ({"exit_code": 3, "stderr": ECHO}, "plan: claude failed (success, API status none, exit 3)", "failed", COST),
        (
            {"stdout": json.dumps(SILENT)},
            "plan: claude failed (success, API status none, exit 0)",
            "failed",
            COST,
        ),
        (
            {"subtype": "error_max_turns", "is_error": True, "errors": [ECHO]},
            "plan: claude failed (error_max_turns, API status none, exit 1)",
            "failed",
            COST,
        ),
        (
            {"structured_output": {"sections": ECHO}},
            "plan: claude failed (error_max_structured",
            "failed",
            COST,
        ),
        ({"stdout": ECHO, "exit_code": 1}, "plan: ", "unknown", 500_000),
    ],
    ids=["success with an error", "and with an answer", "exit 3", "no answer", "too many turns", "no plan", "noise"],
)
def test_what_is_no_plain_success_is_asked_for_again(
    open_row: OpenRow, claude: FakeClaude, fault: dict[str, Any], reason: str, end: str, cost: int
) -> None:
    row = open_row(DIRECTOR="claude", CLAUDE_COMMAND=str(claude.command))
    reads, plans = claude_answers()
    claude.answer(reads, {"when": PLAN, **fault}, plans)

    assert row.tick("process") == Tick(7, "", ())

    assert row.where() == "pending"
    assert row.waits_for().startswith(reason)
    assert (row.phases("plan"), row.cost("plan")) == (["intent", end], [cost])
    row.later()
    assert row.tick("process", kill_at=PLANNED).is_quiet
    assert row.phases("plan") == ["intent", end, "intent", "outcome"]


def test_less_haste_is_waited_out_in_place(open_row: OpenRow, claude: FakeClaude) -> None:
    row = open_row(DIRECTOR="claude", CLAUDE_COMMAND=str(claude.command))
    reads, plans = claude_answers()
    claude.answer(reads, {"when": PLAN, "is_error": True, "api_error_status": 429, "result": ECHO}, plans)

    assert row.tick("process", kill_at=PLANNED) == Tick(-9, "", ())

    assert (row.phases("plan"), row.cost("plan")) == (["intent", "outcome"], [2 * COST])


def test_an_empty_account_holds_everybody_is_told_once_and_goes_on_by_itself(
    open_row: OpenRow, claude: FakeClaude
) -> None:
    row = open_row(DIRECTOR="claude", CLAUDE_COMMAND=str(claude.command))
    claude.answer({"is_error": True, "api_error_status": 402, "result": ECHO})

    first = row.tick("process")
    row.later()
    second = row.tick("process")

    assert first.code == 7
    assert first.tells("claude's account is out of credit (402)", "It is looked at again at 20")
    assert second == Tick(7, "", ())
    assert len(claude.calls) == 1
    assert (row.where(), row.waits_for()) == ("pending", "claude.credit")

    claude.answer(*claude_answers())
    row.hold_is_over("claude")
    row.later()
    assert row.tick("process", kill_at=PLANNED).code == -9
    assert row.phases("plan") == ["intent", "outcome"]


def test_a_budget_that_does_not_suffice_is_for_a_person(open_row: OpenRow, claude: FakeClaude) -> None:
    row = open_row(DIRECTOR="claude", CLAUDE_COMMAND=str(claude.command))
    claude.answer({"subtype": "error_max_budget_usd", "is_error": True, "errors": [ECHO], "total_cost_usd": 0.51})

    given_up = row.tick("process")

    assert given_up.code == 4
    reason = "screen: claude needs more than claude_per_call in prices.toml; raise it, then retry"
    assert row.failure() == ("person_decides", reason)
    assert given_up.tells(f"{ORDER} failed: {reason}")
    assert row.cost("screen") == [510_000]


@pytest.mark.parametrize(
    ("command", "fault", "sentence"),
    [
        ("/nowhere/claude", {}, "/nowhere/claude cannot be started (FileNotFoundError): install it"),
        ("", {"is_error": True, "api_error_status": 401, "result": ECHO}, "claude is turned away (401): set ANTHROPIC"),
    ],
    ids=["not found", "turned away"],
)
def test_what_the_operator_must_set_right_stops_the_run_and_leaves_the_order_as_it_was(
    open_row: OpenRow, claude: FakeClaude, command: str, fault: dict[str, Any], sentence: str
) -> None:
    row = open_row(DIRECTOR="claude", CLAUDE_COMMAND=command or str(claude.command))
    claude.answer(fault)
    before = row.job()

    stopped = row.tick("process")

    assert stopped.code == 6
    assert stopped.tells(f"stopped: {sentence}")
    assert (row.where(), row.job()) == ("pending", before)
    claude.answer(*claude_answers())
    row.settings["CLAUDE_COMMAND"] = str(claude.command)
    assert row.tick("process", kill_at=PLANNED).is_quiet
    assert row.phases("plan") == ["intent", "outcome"]


# --- a run that ends while the command is at work ---


@pytest.fixture
def planning(open_row: OpenRow, claude: FakeClaude, tmp_path: Path) -> Iterator[tuple[Row, Path]]:
    """An order whose plan comes once something lies at the path; whatever was started is gone afterwards."""
    may_end = tmp_path / "may-end"
    row = open_row(DIRECTOR="claude", CLAUDE_COMMAND=str(claude.command))
    reads, plans = claude_answers()
    claude.answer(reads, plans | {"waits_for": str(may_end)})
    yield row, may_end
    may_end.touch()
    until(lambda: not any(is_alive(call["process"]) for call in claude.calls))


def test_an_order_whose_run_was_killed_is_not_taken_up_while_the_command_works_for_it(
    planning: tuple[Row, Path], claude: FakeClaude
) -> None:
    row, may_end = planning
    run = begun(row, claude)

    run.kill()
    run.wait()

    assert row.tick("process").is_quiet
    assert row.where() == "processing"
    assert row.phases("plan") == ["intent"]
    assert len(claude.calls) == 2
    assert is_alive(claude.calls[-1]["process"])
    may_end.touch()
    until(lambda: not is_alive(claude.calls[-1]["process"]))
    assert row.tick("process", kill_at="after ledger settled plan #2").is_quiet
    assert row.phases("plan") == ["intent", "unknown", "intent", "outcome"]
    assert len(claude.calls) == 3


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_asked_to_end_keeps_the_answer_that_is_paid_for(
    planning: tuple[Row, Path], claude: FakeClaude, asked: signal.Signals
) -> None:
    row, may_end = planning
    run = begun(row, claude)

    run.send_signal(asked)
    with pytest.raises(subprocess.TimeoutExpired):
        run.wait(2)
    may_end.touch()

    assert run.wait(30) == 128 + asked
    assert row.where() == "pending"
    assert (row.phases("plan"), row.cost("plan")) == (["intent", "outcome"], [COST])
    assert len(claude.calls) == 2


def test_a_run_that_is_asked_twice_ends_at_once_with_the_command(
    planning: tuple[Row, Path], claude: FakeClaude
) -> None:
    row, _ = planning
    run = begun(row, claude)

    run.send_signal(signal.SIGTERM)
    time.sleep(1)
    run.send_signal(signal.SIGINT)

    assert run.wait(30) == -signal.SIGINT
    until(lambda: not is_alive(claude.calls[-1]["process"]))
    assert row.phases("plan") == ["intent"]


def begun(row: Row, claude: FakeClaude) -> subprocess.Popen[bytes]:
    """A run of the real program whose command is at work on the plan."""
    command = [sys.executable, "-m", "downstream", "--home", str(row.home), "process"]
    run = subprocess.Popen(command, env=row.environment())
    until(lambda: len(claude.calls) == 2)
    return run


def until(is_so: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < give_up_at
        time.sleep(0.02)


def is_alive(process: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
