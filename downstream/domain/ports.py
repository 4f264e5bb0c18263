"""What stages and steps expect of the providers: one Protocol a role, frozen records across the seam."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime
    from email.message import EmailMessage
    from pathlib import Path

    from pydantic import JsonValue

    from downstream.domain.checks import Check
    from downstream.domain.job import Job
    from downstream.domain.payment import CheckoutRequest, CheckoutSession, Payment, PaymentEvent, Refund
    from downstream.domain.production import MotionType, Production
    from downstream.domain.story import Story

Answer = TypeVar("Answer")


class Call(Protocol):
    """One outside call that is being made, as its receipt knows it.

    A call that ends with an error without having said what it cost (``spent``) has an unknown outcome: it counts as
    spent, and nobody may take for granted that it was not made.
    """

    @property
    def key(self) -> str:
        """A name that only this attempt has, fit for a file name or a header, the same when a run goes on with it."""

    @property
    def facts(self) -> Mapping[str, JsonValue]:
        """What was noted of this attempt so far, also by a run that was killed in the middle of it."""

    @property
    def lock_descriptors(self) -> tuple[int, ...]:
        """For a child process that works for this call to inherit: while it lives nobody else takes the order up."""

    def note(self, **facts: JsonValue) -> None:
        """These facts (ids, addresses; never a secret or a customer's words) are on the disk."""

    def spent(self, cost_micros: int, *, exact: bool = True) -> None:
        """The answer has told what the call cost, in millionths of a dollar; ``exact=False`` where it is assumed."""

    def now(self) -> datetime:
        """What the clock says, by which the receipt's times are written."""

    def check(self) -> None:
        """Returns while the order may spend money: asked just before each request that does.

        Raises:
            Held: somebody keeps the order from going on.
            StopRun: the run has to end.
        """

    def wait(self, seconds: float) -> None:
        """That long has passed.

        Raises:
            StopRun: the run has to end.
        """


class Gate(Protocol):
    """Lets calls through to one service at the pace that all processes of this machine together may have."""

    def run(self, send: Callable[[], Answer], *, creates: bool = True) -> Answer:
        """The answer of ``send``, which is called once there is room and, when throttled, again after a while.

        ``creates`` counts against the creates a minute; reading and polling do not. ``send`` raises ``Throttled``
        when the service asked for less haste and did nothing, ``InTrouble`` when it is in trouble itself, which slows
        every process down, too, and ``OnHold`` when it closed its doors for longer: that holds for every process
        until then.

        Raises:
            OnHold: the service is on hold.
            TryAgain: it asked for less haste for longer than this run has patience.
            InTrouble: as ``send`` raised it, which is not called again.
            StopRun: the run has to end.
        """


@dataclass(frozen=True, slots=True)
class ScreenRequest:
    """A story to be read before anything else is bought for it."""

    story: Story


class ConcernKind(StrEnum):
    """Why a person should look at a story before it is produced."""

    REFUSED_CONTENT = "refused_content"
    REAL_PERSON = "real_person"
    MINOR = "minor"


@dataclass(frozen=True, slots=True)
class Concern:
    """One finding of the pre-screen; ``paragraphs`` count from 1."""

    kind: ConcernKind
    paragraphs: tuple[int, ...] = ()


class Subject(StrEnum):
    """What a judge is shown, and what an editor's words are for."""

    KEYFRAMES = "keyframes"
    """One still a segment, before any clip is bought."""
    CLIPS = "clips"
    """Frames of every clip, before anything is delivered."""


@dataclass(frozen=True, slots=True)
class RewordRequest:
    """A prompt that a content filter refused: a keyframe's, or a clip's, which says what moves."""

    stream_id: str
    segment_id: str
    prompt: str
    subject: Subject = Subject.KEYFRAMES

    @property
    def piece(self) -> str:
        """``03`` for a keyframe, ``clips/03`` for a clip."""
        return self.segment_id if self.subject is Subject.KEYFRAMES else f"{self.subject}/{self.segment_id}"


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
    """``cast`` for the sheet that shows the characters."""
    prompt: str
    negative_prompt: str
    palette: tuple[str, ...]
    """Hex colours, dark to light."""
    width: int
    height: int
    take: int = 1
    notes: tuple[str, ...] = ()
    """What was wrong with earlier takes, for the prompt."""
    cast_sheet: Path | None = None
    """A still of the characters as they must look."""
    previous: Path | None = None
    """The keyframe before this one, whose look is to be carried on."""


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
class Exhibit:
    """The pictures of one segment, in order of time: JPEG, PNG or WebP files."""

    segment_id: str
    pictures: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class JudgeRequest:
    """A production and what was made of it."""

    subject: Subject
    production: Production
    exhibits: tuple[Exhibit, ...]
    sheet: Path
    """The contact sheet: every segment side by side, JPEG."""


@dataclass(frozen=True, slots=True)
class Published:
    """Where a page stands. ``address`` opens it; ``version`` names this build at the host."""

    address: str
    version: str


class Director(Protocol):
    """Plans a production."""

    name: str

    def price_micros(self, request: PlanRequest) -> int:
        """The most a plan should cost by the price table, in millionths of a dollar; 0 is free."""

    def plan(self, request: PlanRequest, call: Call) -> Production:
        """Returns the plan of a story; its sections are exact spans of the text."""


class Editor(Protocol):
    """Reads the story before anything is bought for it, and rewords what a content filter refused."""

    name: str

    def price_micros(self, request: ScreenRequest | RewordRequest) -> int:
        """As ``Director.price_micros``."""

    def screen(self, request: ScreenRequest, call: Call) -> tuple[Concern, ...]:
        """Returns what a person should look at first; nothing when the story may be produced."""

    def reword(self, request: RewordRequest, call: Call) -> str:
        """Returns the prompt in words that a content filter should let pass."""


class Judge(Protocol):
    """Has an opinion on what was made, against a written rubric."""

    name: str
    rubric: str
    """Which edition of the rubric."""

    def price_micros(self, request: JudgeRequest) -> int:
        """As ``Director.price_micros``."""

    def judge(self, request: JudgeRequest, call: Call) -> tuple[Check, ...]:
        """Returns one check or more for every segment, and for the whole; what did not pass says why.

        Raises:
            TryAgain: the answer is not complete and consistent, so there is no verdict.
        """


class Keyframes(Protocol):
    """Makes stills."""

    name: str
    by_reference: bool
    """It works from pictures of what is to look the same: the cast sheet and the keyframe before."""

    def price_micros(self, request: KeyframeRequest) -> int:
        """As ``Director.price_micros``."""

    def inputs(self, request: KeyframeRequest) -> object:
        """What the still depends on: a request that gives the same does not buy it again."""

    def make(self, request: KeyframeRequest, call: Call) -> Picture:
        """Returns one PNG, JPEG or WebP still.

        Raises:
            Refused: a content filter said no.
        """


class Clips(Protocol):
    """Makes clips."""

    name: str
    exact: bool
    """Clips have just the size and number of frames asked for; otherwise only their shape and about their length."""

    def price_micros(self, request: ClipRequest) -> int:
        """As ``Director.price_micros``."""

    def inputs(self, request: ClipRequest) -> object:
        """What the clip depends on: a request that gives the same does not buy it again."""

    def make(self, request: ClipRequest, destination: Path, call: Call) -> None:
        """Leaves a whole H.264 MP4 at ``destination``; goes on with what an interrupted attempt has begun."""


class Hosting(Protocol):
    """Shows a page to the world."""

    name: str

    def publish(self, stream_id: str, folder: Path, call: Call) -> Published:
        """Shows the files of ``folder``, all or nothing; the same content published twice is published once."""

    def restore(self, stream_id: str, version: str, call: Call) -> Published:
        """Shows again, at the same address, what was published as ``version``."""

    def fetch(self, published: Published, path: str) -> bytes:
        """Returns what an anonymous visitor gets for ``path`` (``""`` is the page itself).

        Raises:
            TryAgain: nothing is there (yet).
        """

    def fetch_version(self, published: Published) -> bytes:
        """Returns the page of that version from a place of its own, whatever the address shows.

        Raises:
            TryAgain: nothing is there (yet).
        """

    def forget(self, stream_id: str) -> str:
        """Nothing of the stream is at the host any more; returns what became of it, in words for a proof.

        Raises:
            TryAgain: the host does not answer, or has it still.
        """


class Payments(Protocol):
    """Takes money and gives it back."""

    name: str

    def open_checkout(self, request: CheckoutRequest) -> CheckoutSession:
        """Opens a payment page, or returns the one that this attempt opened before.

        Raises:
            TryAgain: the service did not answer, or cannot now.
            PersonDecides: it takes no such payment.
            Misconfigured: the key is wrong.
        """

    def close_checkout(self, session_id: str) -> CheckoutSession:
        """Nobody can pay there any more; returns the page as it is then, which may be paid."""

    def session(self, session_id: str) -> CheckoutSession:
        """Returns the payment page as it is now.

        Raises:
            PersonDecides: there is none of that id.
        """

    def completed_sessions(self, since: datetime) -> Iterator[CheckoutSession]:
        """Every complete payment page opened at or after ``since``, newest first."""

    def money_events(self, since: datetime) -> Iterator[PaymentEvent]:
        """Every refund and dispute the service would have told us of since then, oldest first."""

    def payment(self, payment_intent: str) -> Payment:
        """Returns the payment as it is now.

        Raises:
            PersonDecides: there is none of that id.
        """

    def refunds(self, payment_intent: str) -> tuple[Refund, ...]:
        """Returns all money given back of that payment, earliest first, with what failed."""

    def refund(self, payment_intent: str, stream_id: str, key: str) -> Refund:
        """Gives back all that is left of a payment; the same ``key`` gives back once, however often it is called.

        Raises:
            Unknown: the answer was lost; call again with the same key, or look at ``refunds``.
            PersonDecides: there is nothing left to give back, or it is disputed; the text says which.
            TryAgain: not now, and nothing was given back.
        """

    def read_event(self, body: bytes, signature: str) -> PaymentEvent:
        """Returns what a message says, once its signature and age are checked.

        Raises:
            Forged: it is not signed, signed too long ago, or no event.
        """

    def recall_event(self, kept: Mapping[str, JsonValue]) -> PaymentEvent:
        """Returns the event again from what was kept of it.

        Raises:
            Forged: it was changed into something that is no event.
        """

    def check(self) -> str:
        """Tries the key by a call that changes nothing; returns what it opens, ``test mode`` or ``live mode``.

        Raises:
            Misconfigured: the key is wrong.
            TryAgain: the service did not answer.
        """


class Mail(Protocol):
    """Sends letters."""

    name: str

    def send(self, stream_id: str, message: EmailMessage) -> str:
        """Hands the letter over; returns the server's word of acceptance. The same ``Message-ID`` arrives once."""


@dataclass(frozen=True, slots=True)
class Providers:
    """One of each role. The embedded ones need no editor and no judge."""

    origin: Literal["embedded", "outside"]
    """What the one made is never taken for what the other would have made."""
    director: Director
    keyframes: Keyframes
    clips: Clips
    hosting: Hosting
    mail: Mail
    editor: Editor | None = None
    judge: Judge | None = None


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
