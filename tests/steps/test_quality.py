"""The hard checks find what they are there to find, and find nothing wrong with a good page."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest
from PIL import Image

from downstream.installation import lay_out
from downstream.queue import Queue

sys.path.insert(0, str(Path(__file__).parent.parent))
from conftest import environment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

WIDTH, HEIGHT, FRAMES, RATE = 160, 90, 12, 12


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation with one good page waiting for review."""
    home = tmp_path_factory.mktemp("made") / "home"
    lay_out(home, today=datetime.now(UTC).date(), program="downstream")
    (home / "jobs/pending/test.json").write_text('{"stream_id": "test", "customer_email": "test@test.com"}')
    assert review_command(home, "process") == 0
    return home


@pytest.fixture
def stream(made: Path, tmp_path: Path) -> Path:
    """The stream's folder in a copy of that installation."""
    shutil.copytree(made, tmp_path / "home", symlinks=True)
    return tmp_path / "home" / "streams" / "test"


def review_command(home: Path, *arguments: str, **settings: str) -> int:
    """The exit code of the real program."""
    command = [sys.executable, "-m", "downstream", "--home", str(home), *arguments]
    return subprocess.run(
        command, env=environment(**settings), timeout=120, stderr=subprocess.DEVNULL, check=False
    ).returncode


def failed_checks(stream: Path, **settings: str) -> dict[str, str]:
    """Runs the review; returns the checks that did not pass: name (and segment) to detail."""
    review_command(stream.parent.parent, "review", **settings)
    inspection = json.loads((stream / "review/inspection.json").read_bytes())
    return {
        " ".join(filter(None, (check["name"], check.get("segment_id")))): check["detail"]
        for check in inspection["checks"]
        if not check["passed"]
    }


def write_clip(path: Path, pictures: Iterable[NDArray[np.uint8]], rate: int = RATE) -> None:
    """An H.264 MP4 of these RGB pictures."""
    with av.open(str(path), "w") as container:
        stream = None
        for picture in pictures:
            if stream is None:
                stream = container.add_stream("libx264", rate=rate)
                stream.width, stream.height, stream.pix_fmt = picture.shape[1], picture.shape[0], "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        assert stream is not None
        container.mux(stream.encode())


def pictures_of(clip: Path) -> list[NDArray[np.uint8]]:
    """Every frame of a clip as RGB."""
    with av.open(str(clip)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_a_good_page_passes_every_check(stream: Path) -> None:
    assert failed_checks(stream) == {}
    inspection = json.loads((stream / "review/inspection.json").read_bytes())
    names = {check["name"] for check in inspection["checks"]}
    assert names == {
        "clip.decodes", "clip.shape", "clip.picture", "clip.movement", "clip.beginning", "frames.decode",
        "page.text", "page.files", "page.marks", "page.weight",
    }  # fmt: skip


def test_a_clip_that_is_cut_off_does_not_decode_to_its_last_frame(stream: Path) -> None:
    clip = stream / "clips/02.mp4"
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size * 2 // 3])

    assert "last frame" in failed_checks(stream)["clip.decodes 02"]


def test_an_empty_file_and_a_web_page_are_not_clips(stream: Path) -> None:
    (stream / "clips/01.mp4").write_bytes(b"")
    (stream / "clips/02.mp4").write_bytes(b"<html>Sorry</html>")

    assert {"clip.decodes 01", "clip.decodes 02"} <= set(failed_checks(stream))


def test_a_clip_of_the_wrong_size_or_length_is_found(stream: Path) -> None:
    pictures = pictures_of(stream / "clips/01.mp4")
    write_clip(stream / "clips/01.mp4", [picture[:-10] for picture in pictures])
    write_clip(stream / "clips/02.mp4", pictures_of(stream / "clips/02.mp4")[:-3])

    failed = failed_checks(stream)

    assert "160x80 pixels instead of 160x90" in failed["clip.shape 01"]
    assert "9 frames instead of 12" in failed["clip.shape 02"]


def test_black_and_blank_frames_are_found(stream: Path) -> None:
    dark = pictures_of(stream / "clips/01.mp4")
    dark[5] = np.zeros_like(dark[5])
    write_clip(stream / "clips/01.mp4", dark)
    grey = [np.full((HEIGHT, WIDTH, 3), 128, np.uint8)] * FRAMES
    write_clip(stream / "clips/02.mp4", grey)

    failed = failed_checks(stream)

    assert "is black" in failed["clip.picture 01"]
    assert "shows nothing" in failed["clip.picture 02"]


def test_a_frozen_clip_is_found_and_a_calm_one_is_not(stream: Path) -> None:
    first = pictures_of(stream / "clips/01.mp4")[0]
    write_clip(stream / "clips/01.mp4", [first] * FRAMES)
    calm = [np.roll(first, step // 2, axis=1) for step in range(FRAMES)]
    keyframe = Image.fromarray(first)
    keyframe.save(stream / "keyframes/02.png")
    write_clip(stream / "clips/02.mp4", calm)

    failed = failed_checks(stream)

    assert "stands still" in failed["clip.movement 01"]
    assert "clip.movement 02" not in failed


def test_a_clip_that_does_not_begin_as_its_keyframe_is_found(stream: Path) -> None:
    pictures = pictures_of(stream / "clips/01.mp4")
    write_clip(stream / "clips/01.mp4", [255 - picture for picture in pictures])

    assert "not its keyframe" in failed_checks(stream)["clip.beginning 01"]


def test_a_missing_file_of_the_page_is_found(stream: Path) -> None:
    lost = next(path for path in sorted((stream / "page").rglob("*.webp")))
    lost.unlink()

    assert lost.name in failed_checks(stream)["page.files"]


def test_a_single_changed_character_of_the_text_is_found(stream: Path) -> None:
    index = stream / "page/index.html"
    story = json.loads((stream / "input.json").read_bytes())["text"]
    word = story.split()[40]
    html = index.read_text("utf-8")
    place = html.index(word, html.index(story.split()[0]))
    index.write_text(html[:place] + word.swapcase() + html[place + len(word) :], "utf-8")

    assert "leaves the customer's at character" in failed_checks(stream)["page.text"]


def test_an_image_without_its_ai_mark_is_found(stream: Path) -> None:
    image = next(path for path in sorted((stream / "page").rglob("*.webp")))
    Image.open(image).save(image, "WEBP")

    assert image.name in failed_checks(stream)["page.marks"]


def test_a_page_over_its_budget_is_found(stream: Path) -> None:
    assert "the budget is 6" in failed_checks(stream, PAGE_BYTES_PER_SEGMENT="1")["page.weight"]


def test_a_scroll_encoding_with_too_few_frames_is_found_as_our_own_fault(stream: Path) -> None:
    encoding = next(path for path in sorted((stream / "frames/03").glob("h264.mp4")))
    write_clip(encoding, pictures_of(encoding)[:4])

    assert "4 frames of 12" in failed_checks(stream)["frames.decode"]


def test_a_bad_clip_is_made_again_and_the_order_still_completes(stream: Path, request: pytest.FixtureRequest) -> None:
    home = stream.parent.parent
    clip = stream / "clips/02.mp4"
    clip.write_bytes(clip.read_bytes()[:500])

    assert review_command(home, "review") == 0
    job = json.loads((home / "jobs/pending/test.json").read_bytes())
    assert job["history"][-2]["evidence"]["segments"] == ["02"]
    assert "last frame" in job["notes"]["02"][0]

    assert review_command(home, "process") == 0
    assert review_command(home, "review") == 0
    assert Queue(home).find("test") == "completed"


def test_a_segment_that_stays_bad_reaches_a_person_after_its_regenerations(stream: Path) -> None:
    home = stream.parent.parent
    for _ in range(2):
        (stream / "clips/02.mp4").write_bytes(b"broken")
        assert review_command(home, "review", REGENERATIONS_PER_SEGMENT="2") == 0
        assert review_command(home, "process") == 0
    (stream / "clips/02.mp4").write_bytes(b"broken")

    assert review_command(home, "review", REGENERATIONS_PER_SEGMENT="2") == 4

    reason = json.loads((home / "jobs/failed/test.json").read_bytes())["failure"]["reason"]
    assert "made again 2 times already" in reason


def test_a_page_that_fails_its_checks_cannot_be_approved_by_hand(stream: Path) -> None:
    home = stream.parent.parent
    next(path for path in sorted((stream / "page").rglob("*.webp"))).unlink()

    assert review_command(home, "review", "--approve", "test") == 4
    assert Queue(home).find("test") == "review"
