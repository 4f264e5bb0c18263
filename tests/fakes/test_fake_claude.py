"""The fake ``claude`` command, called the way the program calls it."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from fakes.claude_command import FakeClaude

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = {"type": "object", "properties": {"title": {"type": "string", "maxLength": 9}}, "required": ["title"]}
FLAGS = [
    "-p",
    "--output-format",
    "json",
    "--model",
    "sonnet",
    "--tools",
    "",
    "--max-turns",
    "3",
    "--setting-sources",
    "",
]


@pytest.fixture
def claude(tmp_path: Path) -> FakeClaude:
    return FakeClaude(tmp_path / "bin")


def run(
    claude: FakeClaude, folder: Path, *flags: str, stdin: str = "Plan this", **arguments: Any
) -> subprocess.CompletedProcess[str]:
    """Runs the command in an empty folder, with next to no environment."""
    empty = folder / "empty"
    empty.mkdir(exist_ok=True)
    return subprocess.run(
        ["claude", *FLAGS, *flags],
        executable=claude.command,
        input=stdin,
        capture_output=True,
        text=True,
        cwd=empty,
        env={"PATH": "/usr/bin:/bin", "ANTHROPIC_API_KEY": "planted"},
        check=False,
        **arguments,
    )


def test_an_answer_fits_the_schema_and_the_call_is_recorded(claude: FakeClaude, tmp_path: Path) -> None:
    ended = run(claude, tmp_path, "--json-schema", json.dumps(SCHEMA))
    answer = json.loads(ended.stdout)
    assert (ended.returncode, answer["subtype"], answer["is_error"]) == (0, "success", False)
    assert answer["structured_output"] == {"title": "A quiet f"}
    (call,) = claude.calls
    assert (call["stdin"], call["folder"]) == ("Plan this", [])
    assert "ANTHROPIC_API_KEY" in call["environment"]
    assert call["argv"][:2] == ["-p", "--output-format"]


def test_answers_come_in_turn_or_by_the_words_of_the_call(claude: FakeClaude, tmp_path: Path) -> None:
    first, last, judge = ({"structured_output": {"title": title}} for title in ("first", "last", "judge"))
    claude.answer(first, last, judge | {"when": "strict judge"})
    asked = ["Plan", "You are a strict judge", "Plan", "Plan"]
    titles = [
        json.loads(run(claude, tmp_path, "--json-schema", json.dumps(SCHEMA), stdin=stdin).stdout)["structured_output"]
        for stdin in asked
    ]
    assert [title["title"] for title in titles] == ["first", "judge", "last", "last"]


def test_success_may_be_an_error(claude: FakeClaude, tmp_path: Path) -> None:
    claude.answer({"is_error": True, "api_error_status": 529, "result": "API Error: overloaded"})
    ended = run(claude, tmp_path)
    answer = json.loads(ended.stdout)
    assert ended.returncode == 0
    assert (answer["subtype"], answer["is_error"], answer["api_error_status"]) == ("success", True, 529)


@pytest.mark.parametrize("subtype", ["error_max_turns", "error_during_execution", "error_max_budget_usd"])
def test_a_run_may_fail(claude: FakeClaude, tmp_path: Path, subtype: str) -> None:
    claude.answer({"subtype": subtype, "is_error": True, "errors": ["no"]})
    ended = run(claude, tmp_path)
    assert ended.returncode == 1
    assert json.loads(ended.stdout)["subtype"] == subtype


def test_an_answer_that_does_not_fit_the_schema_fails_the_run(claude: FakeClaude, tmp_path: Path) -> None:
    claude.answer({"structured_output": {"title": "far too long for it"}})
    ended = run(claude, tmp_path, "--json-schema", json.dumps(SCHEMA))
    answer = json.loads(ended.stdout)
    assert (ended.returncode, answer["subtype"]) == (1, "error_max_structured_output_retries")
    assert "structured_output" not in answer


@pytest.mark.parametrize(
    ("flags", "says"),
    [(["--yolo"], "--yolo"), (["--max-turns", "many"], "many"), (["--json-schema", "{"], "invalid JSON schema")],
)
def test_bad_flags_end_before_the_run(claude: FakeClaude, tmp_path: Path, flags: list[str], says: str) -> None:
    ended = run(claude, tmp_path, *flags)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert says in ended.stderr
    assert claude.calls == []


def test_it_may_print_nonsense_exit_oddly_or_hang(claude: FakeClaude, tmp_path: Path) -> None:
    claude.answer({"stdout": '{"type": "resu', "stderr": "warning", "exit_code": 3}, {"sleep_seconds": 60})
    ended = run(claude, tmp_path)
    assert (ended.stdout, ended.stderr, ended.returncode) == ('{"type": "resu', "warning", 3)
    with pytest.raises(subprocess.TimeoutExpired):
        run(claude, tmp_path, timeout=1)
