"""The three kinds of error, told apart by what happens next, and nothing else.

``TryAgain``       the job goes back to ``pending`` and a later run tries again
``PersonDecides``  the job goes to ``failed`` with the reason; ``Refused`` is a content filter's no
``StopRun``        nothing is wrong with the job: the whole run ends and leaves it as it was

An error's text is read by the operator and written to logs: it names the file or step, the reason and the
next step, and never holds story text, an e-mail address or a secret.
"""

from __future__ import annotations


class DownstreamError(Exception):
    """Anything this system can explain."""


class TryAgain(DownstreamError):  # noqa: N818 - named after what happens next
    """A passing fault: try again at a later run, not before ``wait_seconds`` from now."""

    def __init__(self, reason: str, *, wait_seconds: float = 300.0) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds


class PersonDecides(DownstreamError):  # noqa: N818
    """Only a person can go on with this job."""


class Refused(PersonDecides):
    """A provider's content filter said no to this story or picture."""


class StopRun(DownstreamError):  # noqa: N818
    """The run must end now; every job stays as it is."""


class Misconfigured(StopRun):
    """A setting or the installation is wrong."""


class Paused(StopRun):
    """The heartbeat forbids work."""


class Interrupted(StopRun):
    """Somebody asked this process to end (SIGTERM, Ctrl-C)."""
