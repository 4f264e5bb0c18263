"""Keys, passwords, the customer's address and words are seen nowhere they do not belong.

Every row of the fault matrix is looked through for them when it is over (``matrix.leaks``, ``matrix.told_too_much``).
Here are the occasions that are no row: a crash nobody foresaw, other people's view of the running processes, and what
operators are shown.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from fakes.claude_command import FakeClaude
from fakes.gemini import prompt_blocked
from matrix import (
    CUSTOMER,
    GOOGLE_KEY,
    MAIL_PASSWORD,
    OPENING,
    ORDER,
    PRIVATE,
    PROMPTS,
    REPLICATE_TOKEN,
    SECRETS,
    SENTENCE,
    Row,
    claude_answers,
    leaks,
    seen_in,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matrix import Point

    OpenRow = Callable[..., Row]


# --- the look itself -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("logs/processor.log", f"asked with {GOOGLE_KEY}"),
        ("logs/alerts.json", json.dumps({f"hold.{MAIL_PASSWORD}": "now"})),
        ("logs/outbox/1.json", f"to {CUSTOMER}"),
        ("logs/ledger/2026-11.jsonl", json.dumps({"call": SENTENCE})),
        ("logs/.hidden", "planted%3Ap%40ss%2Fw%25rd-4711"),
        (f"jobs/pending/{ORDER}.json", REPLICATE_TOKEN),
        (f"streams/{ORDER}/receipts.jsonl", json.dumps({"reason": GOOGLE_KEY})),
        (f"streams/{ORDER}/page/index.html", CUSTOMER),
        ("logs/processor.log", f"asked with {GOOGLE_KEY[:10]}..."),
        ("logs/processor.log", json.dumps({"reason": REPLICATE_TOKEN.upper()})),
        ("logs/processor.log", f"story: {OPENING}"),
        ("logs/processor.log", f"asked for {PROMPTS[0].lower()} 2"),
        ("../output.txt", SENTENCE),
    ],
)
def test_what_is_seen_where_it_does_not_belong_is_found(open_row: OpenRow, path: str, words: str) -> None:
    row = open_row()
    place = row.home / path
    before = place.read_text() if place.exists() else ""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(f"{before}\n{words}\n")

    assert leaks(row)
    place.write_text(before)
    assert leaks(row) == []


# --- crashes -------------------------------------------------------------------------------------------------------

CRASH = """
import os, sys
import downstream.{module}
def broken(*arguments, **more):
    everything = {{**os.environ, "arguments": repr((arguments, more))}}
    raise RuntimeError(f"{{everything}} {words}")
downstream.{module}.{function} = broken
from downstream.cli import main
main()
"""
"""The program, with a fault in one place whose message and whose local values hold all there is to know."""


@pytest.mark.parametrize(
    ("module", "function", "code", "ends"),
    [
        ("providers.gemini.service", "GeminiService.ask", 4, "failed"),
        ("providers.gemini.service", "GeminiService.__init__", 4, "failed"),
        ("providers.smtp", "SmtpMail.__init__", 4, "failed"),  # and the letter about it ends nothing
        ("stages.context", "Context.report_holds_over", 1, "review"),
        ("outbox", "is_empty", 1, "pending"),
    ],
    ids=["a call", "making a provider", "making the mail's provider", "after the orders", "before them"],
)
def test_a_crash_that_nobody_foresaw_is_told_by_its_place(
    open_row: OpenRow, module: str, function: str, code: int, ends: str
) -> None:
    row = open_row()
    script = CRASH.format(module=module, function=function, words=f"{CUSTOMER} {SENTENCE}")
    command = [sys.executable, "-c", script, "--home", str(row.home), "process"]

    ended = subprocess.run(command, capture_output=True, text=True, env=row.environment(), timeout=120, check=False)

    row.output.write_text(ended.stdout + ended.stderr)
    assert (ended.returncode, ended.stdout, row.where()) == (code, "", ends)
    assert re.search(r"a fault in the program: RuntimeError at .*<string>:\d broken", ended.stderr)


@pytest.mark.parametrize(
    ("at", "stage", "module", "function"),
    [
        ("pending", "process", "providers.claude", "_Claude._run"),
        ("before clips", "process", "providers.minimax.wire", "Replicate.create"),
        ("before clips", "process", "providers.minimax.clips", "download"),
        ("in review", "review", "providers.vercel.hosting", "VercelHosting.publish"),
        ("in review", "review", "providers.vercel.wire", "Vercel._send"),
    ],
    ids=["claude", "buying a clip", "fetching a clip", "publishing", "a call of Vercel"],
)
def test_a_crash_inside_a_service_is_told_by_its_place(
    open_row: OpenRow, at: Point, stage: str, module: str, function: str, tmp_path: Path
) -> None:
    claude = FakeClaude(tmp_path / "command")
    claude.answer(*claude_answers())
    settings = {"DIRECTOR": "claude", "CLAUDE_COMMAND": str(claude.command)} if at == "pending" else {}
    row = open_row(at, **settings)
    script = CRASH.format(module=module, function=function, words=f"{CUSTOMER} {SENTENCE}")
    command = [sys.executable, "-c", script, "--home", str(row.home), stage]

    ended = subprocess.run(command, capture_output=True, text=True, env=row.environment(), timeout=120, check=False)

    row.output.write_text(ended.stdout + ended.stderr)
    assert (ended.returncode, ended.stdout, row.where()) == (4, "", "failed")
    kind, reason = row.failure()
    assert kind == "unexpected"
    assert re.fullmatch(r"a fault in the program: RuntimeError at .*<string>:\d broken", reason)
    assert reason in ended.stderr


# --- what others see -----------------------------------------------------------------------------------------------

SPY = """\
#!/bin/sh
for each in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < $each; echo; done >> {seen} 2> /dev/null
exec {command} "$@"
"""


def test_nobody_on_the_machine_reads_a_secret_or_the_story_in_the_list_of_processes(
    open_row: OpenRow, tmp_path: Path
) -> None:
    claude = FakeClaude(tmp_path / "command")
    claude.answer(*claude_answers())
    spy, seen = tmp_path / "spy", tmp_path / "seen.txt"
    spy.write_text(SPY.format(seen=seen, command=claude.command))
    spy.chmod(0o755)
    row = open_row(DIRECTOR="claude", CLAUDE_COMMAND=str(spy))

    ended = row.run("process")

    row.output.write_text(ended.stdout + ended.stderr)
    assert (ended.returncode, row.where()) == (0, "review")
    lines = seen.read_text(errors="replace")
    assert f"-m downstream --home {row.home} process" in lines
    assert "--json-schema" in lines
    assert seen_in(lines, (*SECRETS, *PRIVATE)) == []


def test_what_the_operator_is_shown_holds_no_secret_and_nothing_of_the_customers(open_row: OpenRow) -> None:
    row = open_row("in review")
    row.order("order-2", "too short", title="Too short")
    row.services.gemini.fail_next(prompt_blocked())

    row.tick("review")
    row.tick("process")
    shown = [row.tick(*words).said for words in (["status"], ["show", ORDER], ["show", "order-2"], ["estimate", ORDER])]
    row.tick("daily")
    row.services.gemini.clear_faults()

    assert all(shown)
    assert ORDER in shown[1]
