"""The three kinds of error, told apart by what happens next, and nothing else.

``TryAgain``       the job goes back to ``pending`` and a later run tries again; ``Throttled`` asks for less haste,
                   ``NothingCame`` may be asked for once more at once; ``InTrouble`` is a service's fault of its own;
                   ``OnHold`` means a limit, a cap or an empty account: nothing is wrong with the job;
                   ``Held`` means that a person, or a payment taken back, keeps this one order from going on;
                   ``Unknown`` means that nobody can tell whether a call was made
``PersonDecides``  the job goes to ``failed`` with the reason; ``Refused`` is a content filter's no
``StopRun``        nothing is wrong with the job: the whole run ends and leaves it as it was

An error's text is read by the operator and written to logs: it names the file or step, the reason and the
next step, and never holds story text, an e-mail address or a secret.
"""

from __future__ import annotations

LONGEST_PUT_OFF_SECONDS = 26 * 3600.0
"""Nothing is put off for longer: a day's quota, and some. A time farther away was written by a clock that was wrong."""


class DownstreamError(Exception):
    """Anything this system can explain."""

    nothing_sent: bool = False
    """It came up before the service was asked anything: the call was not made."""


class TryAgain(DownstreamError):  # noqa: N818 - named after what happens next
    """A passing fault: try again at a later run, not before ``wait_seconds`` from now.

    ``soon``: something that was bought waits to be fetched and does not keep, so the wait must not grow long.
    """

    def __init__(self, reason: str, *, wait_seconds: float = 300.0, soon: bool = False) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds
        self.soon = soon


class Throttled(TryAgain):
    """A service asks for less haste; ``hint_seconds`` is how long it says to wait, None where it does not say."""

    def __init__(self, reason: str, *, hint_seconds: float | None = None) -> None:
        super().__init__(reason, wait_seconds=60.0)
        self.hint_seconds = hint_seconds


class NothingCame(TryAgain):
    """It was answered, and there is nothing in the answer this time: asking once more, at once, is reasonable."""


class InTrouble(TryAgain):
    """The service answered that it is in trouble itself: nothing came of the call, which may have been billed."""


class Unknown(TryAgain):
    """Nobody can tell whether the call was made: it counts as spent, and a later run may make it once more."""


class OnHold(TryAgain):
    """A cap, a quota or an empty account forbids the call: the job waits without having failed a try.

    ``fingerprint`` names the cause, so that the operator hears of it once for all the jobs it holds up.
    """

    def __init__(self, reason: str, *, fingerprint: str, wait_seconds: float) -> None:
        super().__init__(reason, wait_seconds=wait_seconds)
        self.fingerprint = fingerprint


class Held(TryAgain):
    """Somebody keeps this very order from going on (``downstream hold``, a refund): it waits as it is."""

    nothing_sent = True


class PersonDecides(DownstreamError):  # noqa: N818
    """Only a person can go on with this job."""


class Refused(PersonDecides):
    """A provider's content filter said no to this story or picture."""


class StopRun(DownstreamError):  # noqa: N818
    """The run must end now; every job stays as it is."""


class NoRoom(StopRun):
    """The disk or the memory is too full to begin anything.

    ``fingerprint`` names what is short, so that the operator hears of it once whatever the figures are.
    """

    def __init__(self, reason: str, *, fingerprint: str) -> None:
        super().__init__(reason)
        self.fingerprint = fingerprint


class Misconfigured(StopRun):
    """A setting or the installation is wrong."""


class Paused(StopRun):
    """The heartbeat forbids work."""


class Interrupted(StopRun):
    """Somebody asked this process to end (SIGTERM, Ctrl-C)."""
