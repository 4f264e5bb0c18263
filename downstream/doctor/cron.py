"""Cron: are its lines there, and what does a run that it starts find?"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from downstream.doctor.finding import Finding, run
from downstream.domain.errors import Misconfigured
from downstream.settings import Settings, is_timezone, machine_zone, read_environment, read_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

_ASSIGNMENT = re.compile(r"\s*([A-Za-z_]\w*)\s*=\s*(.*?)\s*\Z")


def look(home: Path, environment: Mapping[str, str], settings: Settings, now: datetime) -> Iterator[Finding]:
    """What cron starts finds the same program, settings, commands and clock as this shell."""
    try:
        lines = (home / "crontab.txt").read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        yield Finding("warn", "cron", "crontab.txt cannot be read", "downstream init writes a new one")
        return
    given = {match[1]: match[2].strip("\"'") for match in map(_ASSIGNMENT.match, lines) if match}
    # What cron itself sets (crontab(5)); nothing of a login shell is there.
    alone = {"HOME": environment.get("HOME", "/"), "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin", **given}
    if Path(given.get("DOWNSTREAM_HOME", home)).resolve() != home.resolve():
        yield Finding("FAIL", "cron", "crontab.txt works on another installation", "mend its DOWNSTREAM_HOME")
    yield _started_by_cron(lines, alone)
    yield from _seen_by_cron(home, alone, settings, now)
    yield _installed(lines)


def _started_by_cron(lines: list[str], alone: Mapping[str, str]) -> Finding:
    command = next((line.split(None, 5)[5] for line in lines if re.match(r"[\d*].* process\b", line)), "")
    if not command:
        return Finding("warn", "cron", "crontab.txt has no line for process", "downstream init writes a whole one")
    program = re.split(r" process\b", command)[0]
    ended = run(["/bin/sh", "-c", f"{program} --version"], alone)
    if ended is None or ended.returncode:
        return Finding("FAIL", "cron", f"cron cannot start {program}", "give its full path in crontab.txt")
    return Finding("ok", "cron", f"cron can start {program}")


def _seen_by_cron(home: Path, alone: Mapping[str, str], settings: Settings, now: datetime) -> Iterator[Finding]:
    told = read_environment(home, alone)
    try:
        there = read_settings(told)
    except Misconfigured as error:
        yield Finding("FAIL", "cron", f"under cron: {error}", "mend it in .env or crontab.txt")
        return
    other = [each.name for each in fields(Settings) if getattr(there, each.name) != getattr(settings, each.name)]
    if other:
        names = ", ".join(name.upper() for name in other)
        yield Finding("warn", "cron", f"set in this shell, but cron does not see it: {names}", "put it into .env")
    if there.director == "claude" and shutil.which(there.claude_command, path=alone["PATH"]) is None:
        found = f"cron does not find the command {there.claude_command}"
        yield Finding("FAIL", "cron", found, "give its full path as CLAUDE_COMMAND in .env")
    yield _zone(there.timezone, now, is_chosen=bool(told.get("TIMEZONE") or told.get("TZ")))


def _zone(name: str, now: datetime, *, is_chosen: bool) -> Finding:
    """Days begin by the clock by which cron starts the reviews."""
    machines = machine_zone()
    if not is_chosen and not is_timezone(machines):
        return Finding("warn", "time zone", "the machine's is not known, so UTC is used", "set TIMEZONE in .env")
    if is_timezone(machines) and not _agree(name, machines, now):
        found = f"days begin by {name}, and cron goes by {machines}: it starts the reviews at other hours"
        return Finding("warn", "time zone", found, f"timedatectl set-timezone {name}, and restart cron")
    return Finding("ok", "time zone", name)


def _agree(one: str, other: str, now: datetime) -> bool:
    """The two zones show the same time all year: some differ in summer only."""
    if one == other:
        return True  # UTC is known where no zones are installed
    first, second = ZoneInfo(one), ZoneInfo(other)
    moments = (now + timedelta(weeks=week) for week in range(53))
    return all(each.astimezone(first).utcoffset() == each.astimezone(second).utcoffset() for each in moments)


def _installed(lines: list[str]) -> Finding:
    """The user's crontab has the lines of ``crontab.txt``."""
    if shutil.which("crontab") is None:
        return Finding(
            "warn",
            "cron",
            "this machine has no crontab command",
            "install cron, or have the five stages started some other way",
        )
    ended = run(["crontab", "-l"], os.environ)
    has = {" ".join(line.split()) for line in ended.stdout.splitlines()} if ended else set()
    missing = [line for line in lines if line[:1] in "*0123456789" and line and " ".join(line.split()) not in has]
    if missing:
        return Finding(
            "warn", "cron", f"{len(missing)} line(s) of crontab.txt are not installed", "crontab crontab.txt"
        )
    return Finding("ok", "cron", "the lines of crontab.txt are installed")
