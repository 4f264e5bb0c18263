"""The command line. Commands are doormats: they parse, call one function and choose the exit code.

Nothing is imported until it is needed: cron calls this every few minutes, nearly always for nothing.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import click

from downstream import __version__
from downstream.domain.errors import DownstreamError, Paused, StopRun, TryAgain
from downstream.domain.troubles import is_machine_trouble
from downstream.exit_codes import ExitCode
from downstream.job_file import StillWritten, Unreadable
from downstream.machine import machine_trouble
from downstream.queue import Busy, NoSuchJob

_SECTIONS = {
    "What cron runs": ("stages", ("process", "review", "daily", "weekly", "monthly")),
    "Orders": ("orders", ("status", "show", "explain", "logs", "estimate", "retry", "undo")),
    "The shop": ("shop", ("serve", "reconcile", "refund", "hold", "release", "cancel", "forget", "export", "sunset")),
    "Keeping": ("keeping", ("backup", "restore", "tidy")),
    "The installation": ("house", ("init", "doctor", "heartbeat", "demo")),
}
"""The commands, and the module below ``downstream.commands`` that holds them."""
_MODULES = {name: module for module, names in _SECTIONS.values() for name in names}


class _Commands(click.Group):
    """Each command is imported when it is called."""

    def list_commands(self, _: click.Context) -> list[str]:
        return list(_MODULES)

    def get_command(self, _: click.Context, name: str) -> click.Command | None:
        if name not in _MODULES:
            return None
        found: click.Command = getattr(import_module(f"downstream.commands.{_MODULES[name]}"), name)
        return found

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except (OSError, MemoryError, RuntimeError, ImportError) as error:
            if not is_machine_trouble(error):
                raise
            raise machine_trouble(error, context.obj or Path()) from error

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        for title, (_, names) in _SECTIONS.items():
            commands = [(name, self.get_command(context, name)) for name in names]
            with formatter.section(title):
                formatter.write_dl([(name, command.get_short_help_str(200)) for name, command in commands if command])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="DOWNSTREAM_HOME",
    default=Path(),
    help="The installation's root folder.  [default: $DOWNSTREAM_HOME, else the current folder]",
)
@click.version_option(__version__)
@click.pass_context
def cli(context: click.Context, home: Path) -> None:
    """Turns paid orders - a story and a visual brief - into scroll-driven web pages.

    A job is a JSON file, its folder below jobs/ is its state. Cron runs the five stages (process, review, daily,
    weekly, monthly); every one of them may be run by hand at any time, also twice at once.

    \b
    Exit codes: 0 done, 3 nothing to do, 4 some jobs failed, 5 paused by HEARTBEAT.md, 6 misconfigured,
    7 something waits for a later try or a person, 130/143 ended by Ctrl-C or SIGTERM; 1 a fault in the program,
    2 a wrong command line.
    """
    context.obj = home


def _open_standard_streams() -> None:
    """The descriptors 0, 1 and 2 are open: the next file would take the place of one that is closed, and what is
    printed would go into it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest that is free
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115 - for as long as the process lasts
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def main() -> NoReturn:
    """Runs the command line; whatever it creates only its owner can read."""
    os.umask(0o077)
    _open_standard_streams()
    try:
        cli()
    except Paused as error:
        click.echo(f"paused: {error}", err=True)
        sys.exit(ExitCode.PAUSED)
    except StopRun as error:
        click.echo(f"stopped: {error}", err=True)
        sys.exit(ExitCode.MISCONFIGURED)
    except DownstreamError as error:
        click.echo(f"not done: {error}", err=True)
        sys.exit(ExitCode.WAITING if isinstance(error, TryAgain) else ExitCode.SOME_FAILED)
    except NoSuchJob as error:
        click.echo(f"there is no such job: {error}; see downstream status", err=True)
        sys.exit(ExitCode.NOTHING_TO_DO)
    except Busy as error:
        click.echo(f"{error} is being worked on right now; try again when it is done", err=True)
        sys.exit(ExitCode.WAITING)
    except StillWritten as error:
        click.echo(error, err=True)
        sys.exit(ExitCode.WAITING)
    except Unreadable as error:
        click.echo(f"its file is not a job: {error}", err=True)
        sys.exit(ExitCode.SOME_FAILED)
    except OSError as error:
        click.echo(f"the machine is in trouble: {error.strerror} {error.filename or ''}".rstrip(), err=True)
        sys.exit(ExitCode.MISCONFIGURED)
    except Exception as error:  # noqa: BLE001 - messages of unexpected errors may quote a customer
        from downstream.log import where

        found = where(error)
        click.echo(f"a fault in the program: {found['error']} at {', '.join(found['trace'])}", err=True)
        sys.exit(ExitCode.FAULT)
    sys.exit(ExitCode.DONE)
