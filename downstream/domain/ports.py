"""What stages and steps expect of the providers: one Protocol a role, frozen records across the seam."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from email.message import EmailMessage
    from pathlib import Path

    from downstream.domain.job import Job
    from downstream.domain.production import MotionType, Production
    from downstream.domain.story import Story


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """A story to plan. ``take`` is 1, and one more for each time a new plan was asked for."""

    story: Story
    take: int = 1


@dataclass(frozen=True, slots=True)
class KeyframeRequest:
    """One still to make, 16:9."""

    stream_id: str
    segment_id: str
    prompt: str
    negative_prompt: str
    palette: tuple[str, ...]
    """Hex colours, dark to light."""
    width: int
    height: int
    take: int = 1
    notes: tuple[str, ...] = ()
    """What was wrong with earlier takes, for the prompt."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded still."""

    data: bytes
    mime_type: str


@dataclass(frozen=True, slots=True)
class ClipRequest:
    """One clip to make from its keyframe; the clip begins as the keyframe."""

    stream_id: str
    segment_id: str
    keyframe: Path
    prompt: str
    motion_type: MotionType
    intensity: float
    seconds: float
    frames_per_second: int
    width: int
    height: int
    take: int = 1
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Published:
    """Where a page stands. ``address`` opens it; ``version`` names this build at the host."""

    address: str
    version: str


class Director(Protocol):
    """Plans a production."""

    name: str

    def plan(self, request: PlanRequest) -> Production:
        """Returns the plan of a story; its sections are exact spans of the text."""


class Keyframes(Protocol):
    """Makes stills."""

    name: str

    def make(self, request: KeyframeRequest) -> Picture:
        """Returns one PNG, JPEG or WebP still."""


class Clips(Protocol):
    """Makes clips."""

    name: str

    def make(self, request: ClipRequest, destination: Path) -> None:
        """Leaves a whole H.264 MP4 at ``destination``."""


class Hosting(Protocol):
    """Shows a page to the world."""

    name: str

    def publish(self, stream_id: str, folder: Path) -> Published:
        """Shows the files of ``folder``, all or nothing; the same content published twice is published once."""

    def fetch(self, published: Published, path: str) -> bytes:
        """Returns what an anonymous visitor gets for ``path`` (``""`` is the page itself).

        Raises:
            TryAgain: nothing is there (yet).
        """


class Mail(Protocol):
    """Sends letters."""

    name: str

    def send(self, stream_id: str, message: EmailMessage) -> str:
        """Hands the letter over; returns the server's word of acceptance. The same ``Message-ID`` arrives once."""


@dataclass(frozen=True, slots=True)
class Providers:
    """One of each role."""

    director: Director
    keyframes: Keyframes
    clips: Clips
    hosting: Hosting
    mail: Mail


@dataclass(frozen=True, slots=True)
class Suppliers:
    """Who serves which job: the embedded providers, and the outside services where their keys are there.

    Each is a function that returns its providers, so that nothing is loaded for a run that serves nobody.
    """

    embedded: Callable[[], Providers]
    live: Callable[[], Providers] | None = None

    def can_serve(self, job: Job) -> bool:
        """Somebody is there for ``job``."""
        return self.live is not None or not job.needs_live

    def serving(self, job: Job) -> Providers | None:
        """The providers for ``job``; None when it needs outside services and there are none.

        A paid order is never served by an embedded provider, and an unpaid one spends money only when it says so.
        """
        if not job.needs_live:
            return self.embedded()
        return self.live() if self.live else None


class Progress(Protocol):
    """Hears how far things are; on a terminal it shows bars."""

    def advanced(self, stream_id: str, step: str, done: int, total: int) -> None:
        """``done`` of ``total`` pieces of ``step`` are finished."""

    def finished(self, stream_id: str) -> None:
        """Nothing more comes of this stream in this run."""


class Silence:
    """The progress nobody watches."""

    def advanced(self, stream_id: str, step: str, done: int, total: int) -> None:
        """Says nothing."""

    def finished(self, stream_id: str) -> None:
        """Says nothing."""
