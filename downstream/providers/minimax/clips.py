"""Clips by MiniMax on Replicate: bought once, found again after a crash, fetched at once.

Replicate has no idempotency keys. What keeps a clip from being bought twice is the order in which things are noted:

1. The keyframe is uploaded; its address at the service is one that no other attempt has.
2. ``creating`` and ``source`` (that address) are noted; then the prediction is created.
3. ``prediction`` is noted; from there on every run waits for that one.

A run that finds 2 without 3 looks for a prediction with that very source in the service's list.

What is delivered badly is fetched again, by later runs too, for as long as the service shows it and should have it.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, TypeVar

from downstream.domain.errors import DownstreamError, Misconfigured, PersonDecides, Refused, TryAgain, Unknown
from downstream.domain.pace import pauses, persistently
from downstream.providers.minimax.download import Cut, Spoiled, download
from downstream.providers.minimax.wire import NoAnswer, NotThere, Replicate, State, list_since

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pydantic import JsonValue

    from downstream.domain.ports import Call, ClipRequest, Gate
    from downstream.domain.prices import Prices

Answer = TypeVar("Answer")

FINISHED = {"succeeded", "failed", "canceled"}
LONGEST_PROMPT = 2000
REFUSAL = re.compile(r"sensitive|nsfw|flagged|moderation|content.(policy|filter)|safety|E005", re.IGNORECASE)
"""How a failed prediction's error tells that a content filter said no; there is no list of them."""
CREATES_AT_ONCE = 2
"""How often one run creates a prediction of which it knows that it was not made."""
KEPT = timedelta(minutes=50)
"""So long a prediction is surely in the list with its inputs, by which it is found; they are deleted after an hour."""
FETCHED_FOR = timedelta(hours=1)
"""So long a clip that the service shows is fetched again by a later run; the service promises to keep it no longer."""
CLOCK_MARGIN = timedelta(hours=1)
"""How far this machine's clock may be ahead of the service's. Nothing older could be found anyway."""


class MinimaxClips:
    """Films keyframes. ``settle_seconds`` is when at the latest a prediction that was made shows in the list.

    ``poll_seconds`` is the longest pause between two looks at a prediction.
    """

    name = "minimax"
    exact = False

    def __init__(
        self,
        token: str,
        base_url: str,
        gate: Gate,
        prices: Prices,
        resolution: str,
        *,
        poll_seconds: float = 5.0,
        settle_seconds: float = 30.0,
        patience_seconds: float = 1500.0,
    ) -> None:
        self._token = token
        self._base_url = base_url
        self._gate = gate
        self._prices = prices
        self._resolution = resolution
        self._poll_seconds = poll_seconds
        self._settle_seconds = settle_seconds
        self._patience_seconds = patience_seconds

    @cached_property
    def _replicate(self) -> Replicate:
        return Replicate(self._token, self._base_url)

    def price_micros(self, request: ClipRequest) -> int:
        """What the clip costs by the price table."""
        return self._prices.clip_micros(self._prices.models.clips, self._resolution, duration(request))

    def inputs(self, request: ClipRequest) -> dict[str, object]:
        """What the clip depends on: what is sent, with the keyframe in place of its address, and which take it is."""
        return {
            "prompt": prompt(request),
            "keyframe": request.keyframe,
            "duration": duration(request),
            "resolution": self._resolution,
            "take": request.take,
        }

    def make(self, request: ClipRequest, destination: Path, call: Call) -> None:
        """Leaves the clip at ``destination``; goes on with what an interrupted attempt has begun.

        Raises:
            Refused: a content filter said no.
            Unknown: a prediction may have been made, and cannot be found any more.
            OnHold: the account is out of credit.
            PersonDecides: the service had a clip, and never delivered one.
            TryAgain: the service failed, has not ended yet, or did not deliver.
        """
        price = self.price_micros(request)
        try:
            prediction = call.facts.get("prediction") or self._begin(request, call)
            state = self._finished(str(prediction), call)
        except DownstreamError as error:
            if call.facts.get("creating"):
                error.nothing_sent = False  # this time perhaps; but something may have been bought
                if isinstance(error, TryAgain) and not isinstance(error, Unknown):
                    error.soon = True  # and is not kept for long
            else:
                call.spent(0)  # nothing was
            raise
        self._collect(request, state, destination, price, call)

    def _collect(self, request: ClipRequest, state: State, destination: Path, price: int, call: Call) -> None:
        try:
            if state.status != "succeeded":
                raise _failure(request, state)
            self._fetch(request, state, destination, call)
        except Cut:
            raise  # it lies there still: the next run fetches it
        except (TryAgain, PersonDecides):
            call.spent(price, exact=False)  # whether failed runs are charged is not known
            raise
        call.spent(price, exact=False)

    def _begin(self, request: ClipRequest, call: Call) -> str:
        """The id of this attempt's prediction, noted: found at the service, or created."""
        for _ in range(CREATES_AT_ONCE):
            prediction = self._found(call) or self._created(request, call)
            if prediction:
                call.note(prediction=prediction)
                return prediction
        raise TryAgain(
            f"no answer from Replicate to the request for clip {request.segment_id}", wait_seconds=self._settle_seconds
        )

    def _found(self, call: Call) -> str | None:
        """The prediction that a create without an answer has made; None when it is certain that there is none."""
        noted = call.facts.get("creating")
        if not noted:
            return None
        began, source = datetime.fromisoformat(str(noted)), call.facts.get("source")
        if found := self._search(source, began, call):
            return found
        age = call.now() - began
        if not timedelta() <= age <= KEPT:  # below zero: the clock was set back, and tells nothing
            raise Unknown("a clip was asked for and cannot be found any more; it counts as bought")
        missing_seconds = self._settle_seconds - age.total_seconds()
        if missing_seconds > 0:
            call.wait(missing_seconds)
            if found := self._search(source, began, call):
                return found
        call.note(creating=None)
        return None

    def _search(self, source: JsonValue, began: datetime, call: Call) -> str | None:
        since = min(began, call.now())  # later than now: the clock was set back since
        address: str | None = list_since(since - CLOCK_MARGIN)
        while address:
            page = self._ask(partial(self._replicate.page, address), call)
            for state in page.states:
                if state.first_frame == source:
                    return state.id
            address = page.next
        return None

    def _created(self, request: ClipRequest, call: Call) -> str | None:
        """The id of a new prediction; None when there was no answer, so that nobody knows whether it was made."""
        source = self._uploaded(request, call)

        def create() -> str:
            call.check()
            call.note(creating=call.now().isoformat(), source=source)
            try:
                return self._replicate.create(self._prices.models.clips, self._sent(request, source))
            except NoAnswer:
                raise
            except DownstreamError:
                call.note(creating=None)  # it was turned down
                raise

        try:
            return self._gate.run(create)
        except NoAnswer:
            return None
        except NotThere:
            raise Misconfigured(f"Replicate has no model {self._prices.models.clips}: see prices.toml") from None

    def _uploaded(self, request: ClipRequest, call: Call) -> str:
        """The keyframe's address at the service. It expires, so each create has its own."""
        data, mime_type = _keyframe(request)
        name = f"{call.key}.{mime_type.rpartition('/')[2]}"
        return self._ask(lambda: self._replicate.upload(name, data, mime_type), call)

    def _sent(self, request: ClipRequest, source: str) -> dict[str, str | int | bool]:
        return {
            "prompt": prompt(request),
            "first_frame_image": source,
            "duration": duration(request),
            "resolution": self._resolution,
            "prompt_optimizer": True,
        }

    def _finished(self, prediction: str, call: Call) -> State:
        """The prediction's end; after more than patience it is ended from here."""
        try:
            for seconds in pauses(self._poll_seconds, self._patience_seconds):
                state = self._ask(lambda: self._replicate.get(prediction), call)
                if state.status in FINISHED:
                    return state
                call.wait(seconds)
            return self._ask(lambda: self._replicate.cancel(prediction), call)
        except NotThere:
            raise Unknown("Replicate does not know the clip's prediction any more; it counts as bought") from None

    def _fetch(self, request: ClipRequest, state: State, destination: Path, call: Call) -> None:
        if not state.output:
            raise _gone(request, call)
        try:
            persistently(partial(download, state.output, destination), call.wait, Cut)
        except Cut as error:
            if isinstance(error, Spoiled):
                call.note(spoiled=str(error))
            if call.now() - datetime.fromisoformat(str(call.facts["creating"])) > FETCHED_FOR:
                raise _never_delivered(request, str(error)) from None
            raise

    def _ask(self, send: Callable[[], Answer], call: Call) -> Answer:
        """The answer to what buys nothing: a hiccup of the service is waited out."""
        return persistently(partial(self._gate.run, send, creates=False), call.wait, NoAnswer)


def duration(request: ClipRequest) -> int:
    """The seconds to ask for: the service makes clips of 6 and of 10."""
    return 6 if request.seconds <= 6 else 10


def prompt(request: ClipRequest) -> str:
    """The motion prompt, and after it what was wrong with earlier takes, the last one first.

    It is cut where the service would refuse it, which costs the oldest notes.
    """
    notes = "".join(f"\nCorrect this: {note}" for note in reversed(request.notes))
    room = max(0, LONGEST_PROMPT - len(request.prompt))
    return request.prompt[:LONGEST_PROMPT] + notes[:room]


def _keyframe(request: ClipRequest) -> tuple[bytes, str]:
    """The keyframe's bytes and MIME type: JPEG, PNG or WebP, which MiniMax takes."""
    from PIL import Image

    with Image.open(request.keyframe, formats=("JPEG", "PNG", "WEBP")) as picture:
        mime_type = Image.MIME[str(picture.format)]
    return request.keyframe.read_bytes(), mime_type


def _gone(request: ClipRequest, call: Call) -> DownstreamError:
    """What a clip means that the service has removed: nobody came in time, or what it delivered was no clip."""
    if spoiled := call.facts.get("spoiled"):
        return _never_delivered(request, str(spoiled))
    return TryAgain("the clip is gone: the service keeps it for an hour only")


def _never_delivered(request: ClipRequest, reason: str) -> PersonDecides:
    return PersonDecides(
        f"clip {request.segment_id} was made and paid for, but Replicate did not deliver it: {reason}. "
        f"downstream retry {request.stream_id} buys it again"
    )


def _failure(request: ClipRequest, state: State) -> DownstreamError:
    """What an end without a clip means. The service's sentence is not quoted: it may repeat the prompt."""
    code = re.match(r"E\d{3,5}", state.error)
    which = f"{request.segment_id} ({code[0]})" if code else request.segment_id
    if REFUSAL.search(state.error):
        return Refused(f"MiniMax's content filter refused clip {which}: reword its motion or its keyframe")
    ended = {"failed": "failed", "canceled": "was canceled"}.get(state.status, "did not end in time")
    return TryAgain(f"the making of clip {which} {ended} at MiniMax")
