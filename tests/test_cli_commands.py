"""The command line: help, exit codes, the operator's verbs, and quiet when all is well."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner
from planned import planned

import downstream.cli
from downstream import __version__
from downstream.cli import cli, main
from downstream.domain.errors import Misconfigured, Paused, PersonDecides, StopRun, TryAgain
from downstream.domain.job import Failure, Job, What
from downstream.domain.state import State
from downstream.exit_codes import ExitCode
from downstream.heartbeat import read_heartbeat, write_heartbeat
from downstream.job_file import StillWritten, Unreadable
from downstream.locks import Lock
from downstream.queue import Busy, NoSuchJob, Queue

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., subprocess.CompletedProcess[str]]

NOW = datetime(2026, 1, 6, 12, tzinfo=UTC)
STAGES = ("process", "review", "daily", "weekly", "monthly")


def commands() -> list[list[str]]:
    """Every command and subcommand, as it is typed."""
    context = click.Context(cli)
    heartbeat = cli.get_command(context, "heartbeat")
    assert isinstance(heartbeat, click.Group)
    return [[], *([name] for name in cli.list_commands(context)), *(["heartbeat", name] for name in heartbeat.commands)]


def put(home: Path, state: str, stream_id: str = "test", **fields: object) -> None:
    """A job in any folder."""
    job = Job.model_validate({"stream_id": stream_id, "customer_email": "test@test.com", **fields})
    (home / "jobs" / state / f"{stream_id}.json").write_bytes(job.to_json())


# --- the frame -------------------------------------------------------------------------------------------------------


def test_there_are_the_five_stages_and_the_operators_verbs() -> None:
    verbs = {"status", "show", "retry", "undo", "estimate", "doctor", "demo", "init", "heartbeat"}
    assert {*STAGES, *verbs} <= set(cli.list_commands(click.Context(cli)))
    assert {("heartbeat", name) for name in ("renew", "pause", "resume")} <= {tuple(one) for one in commands()}


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_has_help_that_needs_no_installation(command: list[str], tmp_path: Path) -> None:
    context = click.Context(cli, info_name="downstream")
    found: click.Command = cli
    for name in command:
        assert isinstance(found, click.Group)
        inner = found.get_command(context, name)
        assert inner is not None
        found = inner

    text = found.get_help(context)

    assert text.splitlines()[0].startswith("Usage: ")
    assert len(text.splitlines()) > 3
    assert all(one.help for one in found.params if isinstance(one, click.Option))


def test_help_and_version_are_asked_for_as_everywhere(run: Run) -> None:
    assert "Exit codes: 0 done" in run("--help").stdout
    assert run("retry", "-h").stdout.startswith("Usage: ")
    assert __version__ in run("--version").stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["fly"],
        ["process", "--fast"],
        ["process", "--only", "test"],
        ["undo"],
        ["estimate"],
        ["show"],
        ["retry", "test", "--from", "sleep"],
        ["retry", "test", "--segment", "2"],
        ["retry", "test", "--from", "plan", "--segment", "2"],
        ["retry", "test", "--from", "clips", "--segment", "0"],
        ["retry", "test", "--from", "clips", "--segment", "99"],
        ["heartbeat", "renew", "--every", "0"],
        ["review", "--approve", "test", "--fail", "test", "--reason", "x"],
        ["review", "--approve", "test", "--note", "x"],
        ["review", "--regenerate", "test", "--segments", "2"],
        ["review", "--regenerate", "test", "--note", "x"],
        ["review", "--regenerate", "test", "--segments", "two", "--note", "x"],
        ["review", "--fail", "test"],
        ["review", "--reason", "x"],
    ],
)
def test_a_wrong_command_line_ends_with_two_and_touches_nothing(home: Path, arguments: list[str]) -> None:
    put(home, "failed")

    ended = CliRunner().invoke(cli, ["--home", str(home), *arguments])

    assert ended.exit_code == 2
    assert "Usage: " in ended.output
    assert Queue(home).find("test") == "failed"


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (Paused("HEARTBEAT.md says STOP"), ExitCode.PAUSED, "paused: HEARTBEAT.md says STOP"),
        (Misconfigured("X is wrong"), ExitCode.MISCONFIGURED, "stopped: X is wrong"),
        (StopRun("enough"), ExitCode.MISCONFIGURED, "stopped: enough"),
        (PersonDecides("it has no earlier version"), ExitCode.SOME_FAILED, "not done: it has no earlier version"),
        (TryAgain("nobody answers"), ExitCode.WAITING, "not done: nobody answers"),
        (NoSuchJob("test"), ExitCode.NOTHING_TO_DO, "there is no such job: test"),
        (Busy("test"), ExitCode.WAITING, "test is being worked on right now"),
        (StillWritten(), ExitCode.WAITING, "breaks off in the middle"),
        (Unreadable("it is not JSON"), ExitCode.SOME_FAILED, "its file is not a job: it is not JSON"),
        (
            OSError(errno.ENOSPC, "No space left on device", "jobs/x"),
            ExitCode.MISCONFIGURED,
            "No space left on device jobs/x",
        ),
        (ValueError("once upon a time"), ExitCode.FAULT, "a fault in the program: ValueError at"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_kind_of_end_has_its_own_code_and_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, code: ExitCode, told: str
) -> None:
    def go_wrong() -> None:
        raise error

    monkeypatch.setattr(downstream.cli, "cli", go_wrong)
    before = os.umask(0o022)
    try:
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        os.umask(before)

    out, err = capsys.readouterr()
    assert ended.value.code == code
    assert told in err
    assert out == ""
    assert "once upon" not in err  # it may be a customer's


@pytest.mark.parametrize("command", [*STAGES, "status", "show x", "retry x", "heartbeat renew", "heartbeat pause"])
def test_outside_an_installation_a_command_says_so_and_creates_nothing(tmp_path: Path, command: str) -> None:
    ended = CliRunner().invoke(cli, ["--home", str(tmp_path), *command.split()])

    assert isinstance(ended.exception, Misconfigured)
    assert "is not an installation" in str(ended.exception)
    assert list(tmp_path.iterdir()) == []


def test_the_root_is_the_option_else_the_variable_else_the_current_folder(tmp_path: Path) -> None:
    def counts(*arguments: str, **environment: str) -> int:
        ended = subprocess.run(
            [sys.executable, "-m", "downstream", *arguments, "status", "--json"],
            cwd=tmp_path / "here", env={**os.environ, **environment}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return int(json.loads(ended.stdout)["counts"]["completed"])

    for number, name in enumerate(("here", "there", "elsewhere"), 1):
        subprocess.run(
            [sys.executable, "-m", "downstream", "init", str(tmp_path / name)], check=True, capture_output=True
        )
        for job in range(number):
            put(tmp_path / name, "completed", f"job-{job}")

    there = str(tmp_path / "there")
    assert counts(DOWNSTREAM_HOME="") == 1
    assert counts(DOWNSTREAM_HOME=there) == 2
    assert counts("--home", "../elsewhere", DOWNSTREAM_HOME=there) == 3


def test_init_lays_out_a_private_installation_and_leaves_an_old_one_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "downstream", "init", str(tmp_path / "new")]
    first = subprocess.run(command, capture_output=True, text=True, check=True, umask=0)
    (tmp_path / "new/crontab.txt").write_text("mine")

    second = subprocess.run(command, capture_output=True, text=True, check=True)

    assert f"{tmp_path}/new is ready" in first.stdout
    assert second.stdout == first.stdout
    assert (tmp_path / "new/crontab.txt").read_text() == "mine"
    for path in (tmp_path / "new").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


# --- quiet when all is well ------------------------------------------------------------------------------------------


def test_with_nothing_to_do_the_stages_say_nothing_and_end_with_three(run: Run) -> None:
    for stage in ("process", "review"):
        ended = run(stage)
        assert (ended.returncode, ended.stdout, ended.stderr) == (3, "", "")


@pytest.mark.parametrize("stage", ["daily", "weekly", "monthly"])
def test_a_review_is_written_in_silence_and_is_there(run: Run, home: Path, stage: str) -> None:
    ended = run(stage)

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    (report,) = (home / "logs/reviews").glob(f"{stage}-*.md")
    assert report.read_text().startswith(f"# {stage.capitalize()} review ")
    assert (home / f"logs/{stage}.log").exists()
    assert report.stat().st_mode & 0o077 == 0


def test_a_file_set_aside_is_told_once(run: Run, home: Path) -> None:
    (home / "jobs/pending/bad.json").write_text("[]")

    first, second = run("process"), run("process")

    assert (first.returncode, first.stdout) == (4, "")
    assert first.stderr == "jobs/failed/bad.json was set aside: it is not a JSON object\n"
    assert (second.returncode, second.stderr) == (3, "")


def test_an_order_given_up_after_three_recoveries_is_told(run: Run, home: Path) -> None:
    put(home, "processing", recoveries=3)

    ended = run("process")

    assert ended.returncode == 4
    assert "jobs/failed/test.json" in ended.stderr
    assert "ended without a word 4 times" in ended.stderr
    assert "downstream retry test" in ended.stderr


def test_a_paid_order_without_keys_waits_and_is_told_of_once_a_day(run: Run, home: Path) -> None:
    put(home, "pending", paid_amount=49)
    before = (home / "jobs/pending/test.json").read_bytes()

    first, second = run("process"), run("process")

    assert first.stderr == (
        "1 order(s) wait for outside services, and these keys are not set: "
        "GOOGLE_AI_API_KEY, REPLICATE_API_TOKEN, VERCEL_TOKEN, SMTP_URL\n"
    )
    assert second.stderr == ""
    assert (first.returncode, second.returncode) == (3, 3)
    assert (home / "jobs/pending/test.json").read_bytes() == before

    told = json.loads((home / "logs/alerts.json").read_bytes())
    yesterday = (datetime.now(UTC) - timedelta(hours=24, minutes=1)).isoformat()
    (home / "logs/alerts.json").write_text(json.dumps(dict.fromkeys(told, yesterday)))
    assert run("process").stderr == first.stderr


def test_a_wrong_setting_ends_the_run_by_name_and_leaves_the_job(run: Run, home: Path) -> None:
    put(home, "pending")

    ended = run("process", JOBS_AT_ONCE="many")

    assert ended.returncode == 6
    assert ended.stderr == "stopped: JOBS_AT_ONCE is 'many'; it must be a whole number\n"
    assert Queue(home).find("test") == "pending"


# --- the heartbeat ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", STAGES)
def test_a_paused_system_touches_nothing_tells_once_and_has_its_own_code(run: Run, home: Path, stage: str) -> None:
    for state in ("pending", "processing", "review"):
        put(home, state, state)
    (home / "triggers/daily-2026-01-06.trigger").touch()
    write_heartbeat(home, status="PAUSED", renewed=NOW.date(), renew_days=30, reason="on holiday")

    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in home.rglob("*") if path.is_file() and "logs" not in path.parts}

    before = files()

    first, second = run(stage), run(stage)

    assert (first.returncode, second.returncode) == (5, 5)
    assert first.stderr == "paused: HEARTBEAT.md says PAUSED: on holiday\n"
    assert (second.stdout, second.stderr) == ("", "")
    assert files() == before


def test_a_system_at_work_again_says_so_once(run: Run) -> None:
    run("heartbeat", "pause")
    run("process")
    run("heartbeat", "resume")

    assert run("process").stderr == "working again: the heartbeat is back\n"
    assert run("process").stderr == ""


def test_a_missing_heartbeat_stops_everything_until_it_is_renewed(run: Run, home: Path) -> None:
    (home / "HEARTBEAT.md").unlink()

    assert run("process").returncode == 5
    assert run("heartbeat").returncode == 5
    assert "missing" in run("heartbeat").stdout
    assert run("heartbeat", "renew").returncode == 0
    assert run("process").returncode == 3


def test_an_overdue_renewal_is_told_once_a_day_and_work_goes_on(run: Run, home: Path) -> None:
    write_heartbeat(home, status="ACTIVE", renewed=NOW.date(), renew_days=1)

    first, second = run("process"), run("process")

    assert first.stderr.startswith("cautious: last renewed on 2026-01-06, which was good until 2026-01-07")
    assert (first.returncode, second.returncode, second.stderr) == (3, 3, "")
    assert run("heartbeat").returncode == 0
    run("heartbeat", "renew", "--every", "60")
    assert read_heartbeat(home, datetime.now(UTC)).renew_days == 60
    assert run("process").stderr == "the heartbeat was renewed\n"
    assert run("process").stderr == ""


@pytest.mark.parametrize("status", ["PAUSED", "STOP", "STOPPED", "PAUSED until Monday"])
def test_renewing_never_ends_a_pause(run: Run, home: Path, status: str) -> None:
    write_heartbeat(home, status=status, renewed=NOW.date(), renew_days=45, reason="on holiday")

    run("heartbeat", "renew")

    found = read_heartbeat(home, datetime.now(UTC))
    assert found.pulse == "paused"
    assert found.reason == "on holiday"
    assert found.renewed == datetime.now(UTC).date()
    assert found.renew_days == 45


def test_pausing_and_resuming_are_no_renewal(run: Run, home: Path) -> None:
    write_heartbeat(home, status="ACTIVE", renewed=NOW.date(), renew_days=45)

    assert run("heartbeat", "pause", "--reason", "two\nlines").stdout == "paused: HEARTBEAT.md says PAUSED: two lines\n"
    assert read_heartbeat(home, NOW).renewed == NOW.date()
    assert run("heartbeat", "resume").returncode == 0

    found = read_heartbeat(home, NOW)
    assert (found.pulse, found.renewed, found.renew_days, found.reason) == ("active", NOW.date(), 45, "")


def test_a_renewal_of_the_same_moment_never_undoes_a_pause(home: Path) -> None:
    def call(*arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "downstream", "--home", str(home), "heartbeat", *arguments]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL)

    with Lock.wait(home / "logs/.heartbeat.lock"):  # so that all are there before the first may go on
        running = [call("renew"), call("renew"), call("pause"), call("renew"), call("renew")]
    assert [one.wait(timeout=60) for one in running] == [0] * 5

    assert read_heartbeat(home, datetime.now(UTC)).pulse == "paused"
    assert not (home / ".HEARTBEAT.md.tmp").exists()


# --- status, show, retry ---------------------------------------------------------------------------------------------


def test_status_shows_a_table_for_people_and_json_for_scripts(run: Run, home: Path) -> None:
    failure = Failure(kind="refused", reason="the filter said no", at=NOW)
    put(home, "failed", "bad", failure=failure, paid_amount=49.5, paid_at=NOW)
    for number in range(25):
        put(home, "pending", f"job-{number:02d}", paid_at=NOW + timedelta(minutes=number))
    put(home, "completed", "old")

    table = run("status")
    found = json.loads(run("status", "--json").stdout)

    assert table.returncode == 0
    lines = table.stdout.splitlines()
    assert lines[0].startswith("heartbeat  active (renewed on ")
    assert lines[1] == "jobs       25 pending, 0 processing, 0 review, 1 completed, 1 failed"
    assert lines[3] == "shop       demo, 0 draft(s), 0 errand(s) waiting"
    late = "bad was promised by 2026-01-06 14:00 UTC and is not delivered: it lies in jobs/failed"
    assert lines[4] == f"promise    {late}"
    assert lines[9] == "promise    ... and 21 more that are late, or will be"
    assert lines[12] == "bad     failed      2026-01-06T12:00+00:00  49.50 EUR   the filter said no"
    assert lines[-1] == "... and 5 more in pending"
    assert found["heartbeat"] == "active"
    assert found["counts"] == {"pending": 25, "processing": 0, "review": 0, "completed": 1, "failed": 1}
    assert [job["stream_id"] for job in found["jobs"]] == ["bad", *(f"job-{number:02d}" for number in range(20))]
    assert set(found["jobs"][0]) == {"stream_id", "state", "since", "paid", "note"}


def test_status_of_an_empty_house(run: Run) -> None:
    lines = run("status").stdout.splitlines()

    assert len(lines) == 4
    assert lines[1] == "jobs       0 pending, 0 processing, 0 review, 0 completed, 0 failed"
    assert lines[2] == "spent      today $0.00 of $100.00, this month $0.00 of $1000.00"


def test_status_tells_of_a_service_on_hold(run: Run, home: Path) -> None:
    until = datetime.now(UTC) + timedelta(hours=1)
    (home / "jobs/.limits").mkdir()
    hold = {"held_until": until.timestamp(), "why": "out of credit", "fingerprint": "minimax.credit"}
    (home / "jobs/.limits/minimax.json").write_text(json.dumps(hold))

    assert f"on hold    minimax until {until:%Y-%m-%dT%H:%M}" in run("status").stdout


def test_status_can_be_told_of_any_file_name(run: Run, home: Path) -> None:
    Path(os.fsdecode(bytes(home / "jobs/failed") + b"/caf\xe9\x1b.json")).write_text("[]")
    (home / "jobs/pending/\u6f22.json").write_text("[]")

    for arguments in (("status",), ("status", "--json")):
        ended = run(*arguments, PYTHONIOENCODING="utf-8:strict")
        assert ended.returncode == 0
        assert "caf__" in ended.stdout
        assert "\x1b" not in ended.stdout


def test_show_tells_the_life_of_an_order(run: Run, home: Path) -> None:
    job = Job(stream_id="test", customer_email="test@test.com", arrived_at=NOW)
    job = job.noting(What.REJECTED, at=NOW, who="operator", reason="the customer withdrew")
    (home / "jobs/failed/test.json").write_bytes(job.to_json())

    ended = run("show", "test")

    assert ended.returncode == 0
    assert ended.stdout.startswith("test  failed  (jobs/failed/test.json)\n")
    assert "2026-01-06 12:00:00  rejected  by operator  the customer withdrew" in ended.stdout
    assert "test@test.com" not in ended.stdout


@pytest.mark.parametrize("verb", ["show", "retry"])
@pytest.mark.parametrize(
    ("content", "code", "told"),
    [
        (None, 3, "there is no such job: test"),
        ('{"stream_id"', 7, "breaks off in the middle"),
        ('{"stream_id": "test"}', 4, "customer_email: Field required"),
    ],
)
def test_what_cannot_be_shown_or_retried_says_why(
    run: Run, home: Path, verb: str, content: str | None, code: int, told: str
) -> None:
    if content:
        (home / "jobs/failed/test.json").write_text(content)

    ended = run(verb, "test")

    assert ended.returncode == code
    assert told in ended.stderr
    assert ended.stdout == ""


def test_names_that_try_to_leave_their_folder_are_nobody(run: Run, home: Path) -> None:
    (home / "secret.json").write_text('{"stream_id": "secret", "customer_email": "a@b"}')

    for verb in (["show"], ["retry"], ["review", "--approve"]):
        assert run(*verb, "../../secret").returncode == 3


def test_a_failed_order_is_sent_round_again(run: Run, home: Path) -> None:
    put(home, "failed", recoveries=4, failure=Failure(kind="x", reason="y", at=NOW))

    planned(home)

    ended = run("retry", "test", "--from", "clips", "--segment", "3", "--cleared")

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "test waits in jobs/pending; downstream process takes it up\n"
    job = Queue(home).read(State.PENDING, "test.json")
    assert (job.recoveries, job.failure, job.redo, job.cleared) == (0, None, {"clips/03": 1}, True)


def test_an_order_somebody_works_on_is_not_retried(run: Run, home: Path) -> None:
    put(home, "failed")

    with Lock.wait(home / "streams/test/lock"):
        ended = run("retry", "test")

    assert ended.returncode == 7
    assert ended.stderr == "test is being worked on right now; try again when it is done\n"
