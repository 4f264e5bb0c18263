"""Moving pictures that say which frame they are, pages made of them, a server and a real browser to see them in."""

from __future__ import annotations

import io
import re
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
from browser import PATIENCE_SECONDS
from PIL import Image

from downstream.domain.production import (
    MotionType,
    Production,
    ProductionInput,
    Section,
    Segment,
    Stream,
    VisualDirection,
)
from downstream.domain.story import Story
from downstream.site.build import build_page
from downstream.site.encode import encode_for_scrolling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, Page

FRAMES = 48
SIZE = (640, 360)
LIGHT_PALETTE = ("#2b3a42", "#6d8b8c", "#b9c6b0", "#e9d8b4", "#fbf3e2")

# --- clips -----------------------------------------------------------------------------------------------------

_BITS = 12  # four for the segment, eight for the frame
_BLOCK = 1 / 32  # of the picture's width, so that the code stays inside the part every screen shows
_CODE_TOP = 0.45  # of the picture's height


def draw_frame(segment: int, frame: int, size: tuple[int, int]) -> np.ndarray:
    """A landscape that moves, with its own number in black and white blocks across the middle."""
    width, height = size
    across, down = np.meshgrid(np.linspace(0, 6, width), np.linspace(0, 1, height))
    wave = 0.5 + 0.12 * np.sin(across * (1 + segment / 3) + frame / 15) + 0.05 * np.sin(3.7 * across - frame / 40)
    land = (down > wave)[..., None]
    sky = np.stack([90 + 120 * down, 120 + 80 * down, 190 - 30 * down], axis=-1)
    ground = np.stack([60 + 40 * segment % 120 + 0 * down, 90 - 40 * down, 60 + 30 * down], axis=-1)
    picture = np.where(land, ground, sky)
    block, top = round(width * _BLOCK), round(height * _CODE_TOP)
    left = (width - _BITS * block) // 2
    for bit in range(_BITS):
        is_set = (segment << 8 | frame) >> bit & 1
        picture[top : top + 2 * block, left + bit * block : left + (bit + 1) * block] = 235 if is_set else 20
    return picture.astype(np.uint8)


def read_code(picture: Image.Image, box: dict[str, float]) -> tuple[int, int]:
    """The segment and frame whose picture fills ``box``, cropped from the middle as ``object-fit: cover`` does."""
    scale = max(box["width"] / 16, box["height"] / 9)
    width, height = 16 * scale, 9 * scale
    left, top = box["x"] + (box["width"] - width) / 2, box["y"] + (box["height"] - height) / 2
    y = top + height * _CODE_TOP + width * _BLOCK
    grey = np.asarray(picture.convert("L"))
    code = 0
    for bit in range(_BITS):
        x = left + width / 2 + (bit - _BITS / 2 + 0.5) * width * _BLOCK
        code |= int(grey[int(y) - 2 : int(y) + 3, int(x) - 2 : int(x) + 3].mean() > 128) << bit
    return code >> 8, code & 255


def write_clip(path: Path, segment: int, frames: int = FRAMES, size: tuple[int, int] = SIZE) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"crf": "14", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(draw_frame(segment, number, size), format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
            frame.pts, frame.time_base = number, Fraction(1, 24)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("clips")
    return {f"{number:02d}": write_clip(folder / f"{number:02d}.mp4", number) for number in (1, 2, 3)}


@pytest.fixture(scope="session")
def media(clips: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What ``encode_for_scrolling`` leaves for each of three small clips."""
    folder = tmp_path_factory.mktemp("media")
    for segment_id, clip in clips.items():
        encode_for_scrolling(clip, folder / segment_id)
    return {segment_id: folder / segment_id for segment_id in clips}


@pytest.fixture(scope="session")
def full_size_media(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Eight segments that play one clip of the usual size and length."""
    folder = tmp_path_factory.mktemp("full")
    encode_for_scrolling(write_clip(folder / "clip.mp4", 1, frames=144, size=(1280, 720)), folder / "media")
    return {f"{number:02d}": folder / "media" for number in range(1, 9)}


# --- stories ---------------------------------------------------------------------------------------------------

_PARAGRAPH = (
    "The road went down to the sea, and nobody had walked on it since the summer when the boats were sold and the "
    "lamps along the harbour were put out one after the other, until only the stars were left to steer by."
)


def make_story(text: str | None = None, title: str = "A Road to the Sea", language: str = "en") -> Story:
    return Story(id="test-story", title=title, language=language, text=text or "\n\n".join([_PARAGRAPH] * 24))


def make_production(story: Story, palette: tuple[str, ...] = LIGHT_PALETTE, segments: int = 3) -> Production:
    """The text in as many sections as there are segments, cut where a paragraph begins if one does."""
    cuts = [0]
    for part in range(1, segments):
        wish = len(story.text) * part // segments
        paragraph = story.text.find("\n\n", wish)
        cuts.append(paragraph + 2 if paragraph >= 0 else wish)
    ids = [f"{number:02d}" for number in range(1, segments + 1)]
    texts = [story.text[start:end] for start, end in zip(cuts, [*cuts[1:], len(story.text)], strict=True)]
    return Production(
        stream=Stream(id=story.id, title=story.title),
        input=ProductionInput(language=story.language, original_text=story.text),
        visual_direction=VisualDirection(aesthetic="plain", palette=palette),
        segments=tuple(
            Segment(
                id=one,
                title=f"Scene {one}",
                narrative="",
                image_prompt="",
                motion_prompt="",
                motion_type=MotionType.DRIFT,
                intensity=0.5,
            )
            for one in ids
        ),
        sections=tuple(
            Section(id=one, title="", segment_ids=(one,), text=text) for one, text in zip(ids, texts, strict=True)
        ),
    )


@pytest.fixture
def build(tmp_path: Path, media: dict[str, Path]) -> Callable[..., Path]:
    """Builds the page of a story, by default of one in English with three small clips."""

    def build_it(story: Story | None = None, production: Production | None = None, **options: Any) -> Path:
        story = story or make_story()
        options = {"drawn_by_program": False, "media": media} | options
        build_page(story, production or make_production(story), options.pop("media"), tmp_path / "page", **options)
        return tmp_path / "page"

    return build_it


@pytest.fixture(scope="session")
def story_of() -> Callable[..., Story]:
    return make_story


@pytest.fixture(scope="session")
def production_of() -> Callable[..., Production]:
    return make_production


# --- server ----------------------------------------------------------------------------------------------------

_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".webp": "image/webp",
    ".mp4": "video/mp4",
}


@dataclass
class Server:
    """Serves one folder; says what was asked of it."""

    folder: Path
    supports_range: bool = True
    missing: str = "nothing is missing"
    """Files whose names match this pattern are not there."""
    slow: str = "nothing is slow"
    """Files whose names match this pattern take more than a second."""
    requests: list[tuple[str, int, int]] = field(default_factory=list)
    """Path, status and bytes of every answer."""
    address: str = ""

    def answer(self, name: str, wanted: str) -> tuple[int, dict[str, str], bytes]:
        path = self.folder / (name or "index.html")
        if re.search(self.slow, name):
            time.sleep(1.2)
        if not path.is_file() or re.search(self.missing, name):
            return 404, {}, b"not here"
        data = path.read_bytes()
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted) if self.supports_range else None
        headers = {"Content-Type": _TYPES.get(path.suffix, "application/octet-stream")}
        if not found:
            return 200, headers, data
        first, last = int(found[1]), min(int(found[2] or len(data)), len(data) - 1)
        headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
        return 206, headers, data[first : last + 1]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, server: Server, *arguments: Any) -> None:
        self.pages = server
        super().__init__(*arguments)

    def do_GET(self) -> None:
        name = self.path.lstrip("/")
        status, headers, data = self.pages.answer(name, self.headers.get("Range", ""))
        self.pages.requests.append((name, status, len(data)))
        self.send_response(status)
        for header, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(header, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Tests read ``requests`` instead."""


@contextmanager
def _serving(server: Server) -> Iterator[Server]:
    listening = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, server))
    listening.daemon_threads = True
    threading.Thread(target=listening.serve_forever, args=(0.05,), daemon=True).start()
    server.address = f"http://127.0.0.1:{listening.server_port}/"
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Serves a folder on a port of this machine until the test is over."""
    stack: list[Any] = []

    def serve_it(folder: Path, **options: Any) -> Server:
        stack.append(_serving(Server(folder, **options)))
        server: Server = stack[-1].__enter__()
        return server

    yield serve_it
    for serving in stack:
        serving.__exit__(None, None, None)


# --- browser ---------------------------------------------------------------------------------------------------

DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}


@dataclass
class Reader:
    """A person in front of the page."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    """Console errors, exceptions and failed requests."""

    def open(self, address: str) -> None:
        self.page.goto(address)
        self.wait_until("document.documentElement.dataset.player")

    def wait_until(self, expression: str, seconds: float = PATIENCE_SECONDS) -> None:
        """Waits for a truth; the browser driver's own way of waiting is what the page's policy forbids."""
        give_up = time.monotonic() + seconds
        while not self.page.evaluate(expression):
            assert time.monotonic() < give_up, f"never came true: {expression}; {self.state}; {self.complaints}"
            self.page.wait_for_timeout(15)

    def scroll_to(self, share: float) -> None:
        """Goes to that share of the page and waits until the frame that belongs there is on the screen."""
        self.jump_to(share)
        self.wait_for_frame()

    def jump_to(self, share: float) -> None:
        self.page.evaluate(
            """share => new Promise(done => {
                scrollTo(0, share * (document.documentElement.scrollHeight - innerHeight));
                requestAnimationFrame(() => requestAnimationFrame(done));
            })""",
            share,
        )

    def wait_for_frame(self) -> None:
        self.wait_until(
            "(stage => stage.frame && stage.frame === stage.wanted)(document.querySelector('.stage').dataset)"
        )

    @property
    def state(self) -> dict[str, str]:
        """What the player says it shows."""
        state: dict[str, str] = self.page.evaluate("({...document.querySelector('.stage').dataset})")
        return state

    @property
    def player(self) -> str:
        return str(self.page.evaluate("document.documentElement.dataset.player"))

    def see(self, selector: str = ".stage") -> tuple[int, int]:
        """The segment and frame whose picture is on the screen."""
        box = self.page.locator(selector).first.bounding_box()
        assert box
        return read_code(Image.open(io.BytesIO(self.page.screenshot())), dict(box))


@pytest.fixture
def reader(browser: Browser) -> Iterator[Callable[..., Reader]]:
    """Opens a window: ``size`` in CSS pixels, and whatever else a browser context takes."""
    contexts: list[BrowserContext] = []

    def open_window(size: dict[str, int] | None = None, **options: Any) -> Reader:
        context = browser.new_context(viewport=size or DESKTOP, **options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE_SECONDS * 1000)
        reader = Reader(context.new_page())
        complain = reader.complaints.append
        reader.page.on("console", lambda message: complain(message.text) if message.type == "error" else None)
        reader.page.on("pageerror", lambda error: complain(str(error)))
        reader.page.on("requestfailed", lambda request: complain(f"{request.url} {request.failure}"))
        return reader

    yield open_window
    for context in contexts:
        context.close()
