"""What a content filter refuses is asked for in other words, once, and then names the command that goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import books

from downstream.domain.errors import Refused
from downstream.domain.job import Job
from downstream.domain.ports import Call, ClipRequest, KeyframeRequest, RewordRequest, Silence
from downstream.domain.production import MotionType
from downstream.log import open_log
from downstream.receipts import Receipts
from downstream.settings import Settings
from downstream.steps.reword import in_other_words, wordings
from downstream.steps.work import Budget, Work
from downstream.workspace import Workspace

KEYFRAME = KeyframeRequest("test", "03", "a duel", "", ("#000000",), 64, 36)
CLIP = ClipRequest("test", "03", Path("03.png"), "a duel", MotionType.DRIFT, 0.5, 6.0, 24, 64, 36)


class Editor:
    """Has other words, and counts how often it was asked for them."""

    name = "editor"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def price_micros(self, _: RewordRequest) -> int:
        """Nothing."""
        return 0

    def reword(self, request: RewordRequest, _: Call) -> str:
        """Other words, for a picture or for a movement."""
        self.asked.append(request.piece)
        return f"a handshake, {request.subject}"


def bench(home: Path, editor: Editor | None) -> Work:
    """The work on one order as a new run finds it."""
    workspace = Workspace(home, "test")
    providers: Any = SimpleNamespace(origin="outside", editor=editor)
    nobody: Any = None
    return Work(
        job=Job(stream_id="test", customer_email="test@test.com"),
        workspace=workspace,
        receipts=Receipts(workspace.receipts),
        providers=providers,
        settings=Settings(),
        log=open_log(home, "processor"),
        progress=Silence(),
        pools=nobody,
        budget=Budget(books(home)["ledger"], 0),
        check_running=lambda: None,
        wait=lambda _: None,
    )


def strict(request: KeyframeRequest | ClipRequest) -> str:
    """What is made of the request, unless a word in it is refused."""
    if "duel" in request.prompt:
        raise Refused("the filter said no")
    return request.prompt


def refuse(_: KeyframeRequest | ClipRequest) -> str:
    raise Refused("the filter said no")


def test_keyframe_and_clip_of_one_segment_have_words_of_their_own_and_keep_them(home: Path) -> None:
    editor = Editor()
    for _ in range(2):
        work = bench(home, editor)
        assert in_other_words(work, KEYFRAME, strict) == "a handshake, keyframes"
        assert in_other_words(work, CLIP, strict) == "a handshake, clips"

    assert editor.asked == ["03", "clips/03"]
    assert {one.call for one in bench(home, editor).receipts.attempts} == {"reword/03", "reword/clips/03"}


def test_the_words_that_were_found_are_known_without_asking_for_them(home: Path) -> None:
    editor = Editor()
    assert [one.prompt for one in wordings(bench(home, editor), CLIP)] == ["a duel"]
    in_other_words(bench(home, editor), CLIP, strict)

    assert [one.prompt for one in wordings(bench(home, editor), CLIP)] == ["a duel", "a handshake, clips"]
    assert editor.asked == ["clips/03"]


@pytest.mark.parametrize(
    ("request_", "command"),
    [
        (KEYFRAME, "downstream retry test --from keyframes --segment 3"),
        (replace(KEYFRAME, segment_id="cast"), "downstream retry test --from keyframes"),
        (CLIP, "downstream retry test --from clips --segment 3"),
    ],
    ids=["keyframe", "cast", "clip"],
)
@pytest.mark.parametrize("editor", [Editor(), None], ids=["reworded", "no editor"])
def test_what_stays_refused_names_the_command_that_goes_on(
    home: Path, request_: Any, command: str, editor: Editor | None
) -> None:
    with pytest.raises(Refused) as caught:
        in_other_words(bench(home, editor), request_, refuse)

    assert str(caught.value) == f"the filter said no. {command} asks again"
