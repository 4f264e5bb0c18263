"""The documentation says what is there, and what it says is there."""

from __future__ import annotations

import re
from dataclasses import fields
from itertools import zip_longest
from pathlib import Path

import click
import pytest

from downstream.cli import cli
from downstream.exit_codes import ExitCode
from downstream.installation import ENVIRONMENT, crontab
from downstream.settings import Settings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("name", cli.list_commands(click.Context(cli)))
def test_every_command_has_help_and_is_in_the_readme(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.name == name
    assert command.help
    assert re.search(rf"downstream( `)?[^\n]*\b{name}\b", README)
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.name}"


@pytest.mark.parametrize("field", [field.name for field in fields(Settings)])
def test_every_setting_is_in_the_readme(field: str) -> None:
    assert f"`{field.upper()}`" in README


def test_the_readme_names_the_defaults_of_the_settings() -> None:
    defaults = {field.name.upper(): getattr(Settings(), field.name) for field in fields(Settings)}
    of_the_machine = {"SEGMENTS_AT_ONCE", "TIMEZONE"}
    told = {}
    for names, values in re.findall(r"^\| (`[A-Z_`, ]+`) \|([^|]*)\|", README, re.MULTILINE):
        for name, value in zip_longest(
            re.findall(r"\w+", names), filter(None, values.strip().split(", ")), fillvalue=""
        ):
            told[name] = value.strip("` ")

    assert set(defaults) - set(told) <= {"CLAUDE_COMMAND", "ANTHROPIC_API_KEY"}
    for name in set(told) & set(defaults) - of_the_machine:
        if not name.endswith("_BASE_URL"):
            assert told[name] == (str(defaults[name] or "") if told[name] != "6" else f"{defaults[name]:g}"), name


@pytest.mark.parametrize("code", list(ExitCode))
def test_every_exit_code_is_in_the_readme(code: ExitCode) -> None:
    assert f"| {code.value} |" in README


def test_every_path_the_architecture_names_is_there() -> None:
    text = (ROOT / "docs/architecture.md").read_text("utf-8")
    named = set(re.findall(r"`((?:downstream|tests|bench)/[\w./]+)`", text))
    assert named
    assert not [path for path in named if not (ROOT / path).exists()]


def test_the_crontab_starts_all_five_stages_at_their_times() -> None:
    text = (ROOT / "crontab.txt").read_text("utf-8")
    lines = [line.split() for line in text.splitlines() if line and line[0] in "*0123456789"]
    assert {line[-1]: " ".join(line[:5]) for line in lines} == {
        "process": "*/5 * * * *",
        "review": "*/15 * * * *",
        "daily": "0 23 * * *",
        "weekly": "0 20 * * 0",
        "monthly": "0 10 1 * *",
    }
    assert text == crontab("/opt/downstream", "/opt/downstream/.venv/bin/downstream")


def test_the_example_of_an_environment_is_the_one_that_init_writes() -> None:
    assert (ROOT / ".env.example").read_text("utf-8") == ENVIRONMENT
