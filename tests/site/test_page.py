"""The finished page in a real browser: what is on the screen is what belongs there."""

# ruff: noqa: RUF001 - letters of many scripts

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from downstream.domain.production import Production
from downstream.domain.story import Story
from downstream.site.read import page_weight

Build = Callable[..., Path]
Serve = Callable[..., Any]
OpenWindow = Callable[..., Any]
MakeStory = Callable[..., Story]
MakeProduction = Callable[..., Production]

STORIES = Path(__file__).parent.parent / "stories"
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
SCREENS = pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
# Away from where two clips cross-fade and one frame alone cannot be read.
PLACES = (0.03, 0.12, 0.24, 0.45, 0.55, 0.8, 0.93, 1.0)


def shown(reader: Any) -> tuple[int, int]:
    """What the player says it shows."""
    state = reader.state
    return int(state["segment"]), int(state["frame"])


# --- text ------------------------------------------------------------------------------------------------------


@SCREENS
@pytest.mark.parametrize(
    ("name", "language"), [("the-selfish-giant.txt", "en"), ("emberi-jogok.hu.txt", "hu")], ids=["en", "hu"]
)
def test_the_text_is_in_the_document_character_for_character(
    build: Build, serve: Serve, reader: OpenWindow, story_of: MakeStory, size: dict[str, int], name: str, language: str
) -> None:
    story = story_of((STORIES / name).read_text(), language=language)
    window = reader(size)

    window.open(serve(build(story)).address)

    assert text_of(window) == story.text
    assert window.complaints == []


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_hard_text_survives_the_browsers_own_reading(
    build: Build, serve: Serve, reader: OpenWindow, story_of: MakeStory, *, script: bool
) -> None:
    text = (
        "\r\n\n  One.\r\rTwo  three\t.\r\n\r\n<script>window.hacked = 1</script> &amp; </p>\n\n"
        "👩‍👩‍👧 e\u0301 \u00a0\u2028x\n\nשלום – مرحبا\n\nA rose\r\nis a rose\n  is\n\n* * *\n\n「猫」　\n\n"
    )
    window = reader(java_script_enabled=script)

    window.page.goto(serve(build(story_of(text))).address)

    assert text_of(window) == text
    assert window.page.evaluate("window.hacked") is None


@pytest.mark.parametrize("line_end", ["\r\n", "\r", "\n　"], ids=["windows", "old", "ideographic space"])
def test_white_space_between_paragraphs_takes_no_room(
    build: Build, serve: Serve, reader: OpenWindow, story_of: MakeStory, production_of: MakeProduction, line_end: str
) -> None:
    heights = []
    for one in ("\n", line_end):
        story = story_of(one.join(["猫である。"] * 40), language="ja")
        window = reader()
        window.open(serve(build(story, production_of(story, segments=1))).address)
        heights.append(window.page.locator(".text").bounding_box()["height"])

    assert heights[0] == heights[1]


def text_of(window: Any) -> str:
    parts = "[...document.querySelectorAll('[data-story-text]')].map(part => part.textContent).join('')"
    return str(window.page.evaluate(parts))


# --- pictures --------------------------------------------------------------------------------------------------


@SCREENS
def test_the_first_picture_is_there_at_once_and_frames_follow_the_reader_both_ways(
    build: Build, serve: Serve, reader: OpenWindow, size: dict[str, int]
) -> None:
    window = reader(size)
    window.open(serve(build()).address)
    assert window.player == "webcodecs-av1"
    assert window.see() == (1, 0)

    forward = []
    for place in PLACES:
        window.scroll_to(place)
        assert window.see() == shown(window)
        forward.append(shown(window))
    back = []
    for place in reversed(PLACES):
        window.scroll_to(place)
        assert window.see() == shown(window)
        back.append(shown(window))

    assert forward == sorted(forward)
    assert {segment for segment, _ in forward} == {1, 2, 3}
    assert forward[-1] == (3, 47), "the last frame belongs to the very end"
    assert back == forward[::-1]
    assert window.complaints == []


def test_every_frame_of_every_clip_has_its_place(build: Build, serve: Serve, reader: OpenWindow) -> None:
    window = reader(PHONE)
    window.open(serve(build()).address)

    seen = set(
        map(
            tuple,
            window.page.evaluate(
                """async () => {
                    const stage = document.querySelector('.stage'), seen = [];
                    const end = document.documentElement.scrollHeight - innerHeight;
                    for (let y = 0; y <= end; y += 20) {
                        scrollTo(0, y);
                        let patience = 300;
                        do await new Promise(requestAnimationFrame);
                        while (stage.dataset.frame !== stage.dataset.wanted && patience--);
                        seen.push([Number(stage.dataset.segment), Number(stage.dataset.frame)]);
                    }
                    return seen;
                }"""
            ),
        )
    )

    # Where two clips cross-fade, the frame said to be shown is the clearer one's.
    missing = {(segment, frame) for segment in (1, 2, 3) for frame in range(48)} - seen
    assert len(missing) <= 2, missing


def test_neighbouring_clips_cross_fade(build: Build, serve: Serve, reader: OpenWindow) -> None:
    window = reader()
    window.open(serve(build()).address)
    pixel = "document.querySelector('canvas').getContext('2d').getImageData(320, 300, 1, 1).data[0]"
    before, after = [], []

    for place in range(20, 50):
        window.scroll_to(place / 100)
        (before if window.state["segment"] == "01" else after).append(window.page.evaluate(pixel))

    # The ground under segment 1 is darker than under segment 2, and between them lie shades of both.
    assert before[0] < before[-1] < after[0] < after[-1] or before[0] > before[-1] > after[0] > after[-1]


def test_a_far_jump_loads_only_where_it_lands(
    build: Build,
    serve: Serve,
    reader: OpenWindow,
    full_size_media: dict[str, Path],
    production_of: MakeProduction,
    story_of: MakeStory,
) -> None:
    story = story_of()
    server = serve(build(story, production_of(story, segments=8), media=full_size_media))
    window = reader()
    window.open(server.address)

    window.scroll_to(0.98)

    assert window.state["segment"] == "08"
    asked = {name.split("-")[0] for name, status, _ in server.requests if status == 206}
    assert asked.isdisjoint({"assets/03", "assets/04", "assets/05", "assets/06"})
    assert window.see()[1] == int(window.state["frame"])


def test_keys_scroll_as_on_every_page(build: Build, serve: Serve, reader: OpenWindow) -> None:
    window = reader()
    window.open(serve(build()).address)

    for key in ("Space", "PageDown", "ArrowDown", "End", "Home"):
        before = window.page.evaluate("scrollY")
        window.page.keyboard.press(key)
        window.wait_until(f"scrollY !== {before}")
    window.wait_until("scrollY === 0")

    window.wait_for_frame()
    assert window.see() == (1, 0)


def test_a_window_that_changes_its_shape_keeps_its_picture(build: Build, serve: Serve, reader: OpenWindow) -> None:
    window = reader()
    window.open(serve(build()).address)
    window.scroll_to(0.55)

    window.page.set_viewport_size(PHONE)
    window.scroll_to(0.5)

    assert window.see() == shown(window)
    assert window.page.locator(".stage").bounding_box()["width"] == PHONE["width"]


def test_coming_back_to_the_page_shows_the_picture_again(build: Build, serve: Serve, reader: OpenWindow) -> None:
    window = reader()
    window.open(serve(build()).address)
    window.scroll_to(0.55)

    window.page.goto("about:blank")
    window.page.go_back()
    window.wait_until("document.documentElement.dataset.player")

    window.scroll_to(0.5)
    assert window.see() == shown(window)
    assert all("ERR_ABORTED" in complaint for complaint in window.complaints), "leaving ends what was on its way"


# --- thrift ----------------------------------------------------------------------------------------------------

COUNT_FRAMES = """
    window.decoded = 0; window.open = 0;
    const Real = VideoDecoder;
    window.VideoDecoder = class extends Real {
        constructor(init) {
            super({ ...init, output: frame => {
                window.decoded += 1; window.open += 1;
                const close = frame.close.bind(frame);
                frame.close = () => { window.open -= 1; close(); };
                init.output(frame);
            } });
        }
    };
"""


def test_few_frames_are_held_and_nothing_decodes_while_nothing_scrolls(
    build: Build, serve: Serve, reader: OpenWindow
) -> None:
    window = reader()
    window.page.add_init_script(COUNT_FRAMES)
    window.open(serve(build()).address)

    for place in (0, 0.5, 0.2, 1.0, 0.7, 0.1, 0.4):
        window.scroll_to(place)
        assert window.page.evaluate("window.open") <= 6 * 12
    window.page.wait_for_timeout(300)
    at_rest = window.page.evaluate("window.decoded")
    window.page.wait_for_timeout(500)

    assert at_rest > 0
    assert window.page.evaluate("window.decoded") == at_rest
    assert window.page.evaluate("window.open") <= 5 * 12


def test_a_page_nobody_looks_at_holds_no_frames(build: Build, serve: Serve, reader: OpenWindow) -> None:
    window = reader()
    window.page.add_init_script(COUNT_FRAMES)
    window.open(serve(build()).address)
    window.scroll_to(0.5)

    window.page.evaluate(
        """Object.defineProperty(document, 'visibilityState', { value: 'hidden', configurable: true });
        document.dispatchEvent(new Event('visibilitychange'));"""
    )
    window.page.wait_for_timeout(300)
    assert window.page.evaluate("window.open") == 0

    window.page.evaluate("delete document.visibilityState; document.dispatchEvent(new Event('visibilitychange'))")
    window.wait_for_frame()
    assert window.see() == shown(window)


def test_an_eight_clip_page_keeps_its_budget_of_requests_and_bytes(
    record_property: Callable[[str, object], None],
    build: Build,
    serve: Serve,
    reader: OpenWindow,
    full_size_media: dict[str, Path],
    production_of: MakeProduction,
    story_of: MakeStory,
) -> None:
    story = story_of()
    page = build(story, production_of(story, segments=8), media=full_size_media)
    server = serve(page)
    window = reader()
    window.open(server.address)
    window.wait_for_frame()
    window.page.wait_for_timeout(700)

    before = list(server.requests)
    loaded = sum(size for _, _, size in before)
    for step in range(0, 101, 2):
        window.scroll_to(step / 100)
    window.page.wait_for_timeout(300)
    whole = sum(size for _, _, size in server.requests)

    record_property("before scrolling", f"{len(before)} requests, {loaded:,} bytes")
    record_property("in all", f"{len(server.requests)} requests, {whole:,} bytes")
    assert loaded <= 1_300_000
    assert loaded == page_weight(page).before_scrolling_bytes
    assert len(server.requests) <= 20
    assert whole <= page_weight(page).whole_bytes <= 8_000_000
    assert window.complaints == []


def test_nothing_moves_while_the_page_loads(build: Build, serve: Serve, reader: OpenWindow) -> None:
    window = reader(PHONE)
    window.page.add_init_script(
        """window.shifts = 0;
        new PerformanceObserver(list => list.getEntries().forEach(entry => (window.shifts += entry.value)))
            .observe({ type: 'layout-shift', buffered: true });"""
    )
    window.open(serve(build(), slow="webp|js$").address)
    window.wait_for_frame()
    window.page.wait_for_timeout(200)

    assert window.page.evaluate("window.shifts") == 0


def test_the_text_can_be_read_before_any_picture_arrives(build: Build, serve: Serve, reader: OpenWindow) -> None:
    window = reader()
    window.page.route("**/*.webp", lambda route: route.abort())
    window.page.route("**/*.js", lambda route: route.abort())

    window.page.goto(serve(build()).address)

    assert window.page.locator("h1").is_visible()
    assert window.page.locator(".stage").bounding_box()["height"] == DESKTOP["height"]
    assert window.page.locator(".text p").first.bounding_box()["x"] < window.page.locator(".stage").bounding_box()["x"]


# --- other ways ------------------------------------------------------------------------------------------------

NO_AV1 = """
    const supported = VideoDecoder.isConfigSupported.bind(VideoDecoder);
    VideoDecoder.isConfigSupported = config =>
        config.codec.startsWith('av01') ? Promise.resolve({ supported: false }) : supported(config);
"""
ONLY_HARDWARE = """
    const supported = VideoDecoder.isConfigSupported.bind(VideoDecoder);
    VideoDecoder.isConfigSupported = config => config.hardwareAcceleration === 'prefer-software'
        ? Promise.resolve({ supported: false }) : supported(config);
"""
WAYS = {
    "webcodecs-h264": NO_AV1,
    "webcodecs-av1": ONLY_HARDWARE,
    "video-av1": "delete window.VideoDecoder;",
    "video-h264": """
        delete window.VideoDecoder;
        const can = HTMLMediaElement.prototype.canPlayType;
        HTMLMediaElement.prototype.canPlayType = function (type) {
            return type.includes('av01') ? '' : can.call(this, type);
        };
    """,
}


@pytest.mark.parametrize("way", WAYS)
def test_every_other_way_shows_the_right_frames_too(build: Build, serve: Serve, reader: OpenWindow, way: str) -> None:
    window = reader()
    window.page.add_init_script(WAYS[way])
    window.open(serve(build()).address)
    assert window.player == way

    for place in (0, *PLACES, 0.5, 0.05):
        window.scroll_to(place)
        assert window.see() == shown(window)

    assert window.complaints == []


@SCREENS
def test_a_page_opened_from_the_disk_moves_too(build: Build, reader: OpenWindow, size: dict[str, int]) -> None:
    window = reader(size)
    window.open((build() / "index.html").as_uri())
    assert window.player == "video-av1"

    for place in (0, *PLACES, 0.5):
        window.scroll_to(place)
        assert window.see() == shown(window)

    assert window.complaints == []


def test_a_server_without_range_will_do(build: Build, serve: Serve, reader: OpenWindow) -> None:
    server = serve(build(), supports_range=False)
    window = reader()
    window.open(server.address)

    for place in (*PLACES, 0.5):
        window.scroll_to(place)
        assert window.see() == shown(window)

    assert {status for _, status, _ in server.requests} == {200}
    assert sum(name.endswith(".mp4") for name, _, _ in server.requests) == 3
    assert window.complaints == []


# --- stills ----------------------------------------------------------------------------------------------------

SAVE_DATA = "Object.defineProperty(navigator, 'connection', { value: { saveData: true } });"
NO_CODECS = "delete window.VideoDecoder; HTMLMediaElement.prototype.canPlayType = () => '';"


@pytest.mark.parametrize(
    ("options", "script"),
    [({"reduced_motion": "reduce"}, ""), ({}, SAVE_DATA), ({}, NO_CODECS)],
    ids=["reduced motion", "data saver", "no codecs"],
)
def test_stills_stand_in_for_moving_pictures(
    build: Build, serve: Serve, reader: OpenWindow, options: dict[str, Any], script: str
) -> None:
    server = serve(build())
    window = reader(**options)
    window.page.add_init_script(script)
    window.open(server.address)
    assert window.player == "stills"

    for place, segment in ((0, 1), (0.12, 1), (0.5, 2), (0.85, 3), (0.5, 2), (0.12, 1)):
        window.jump_to(place)
        window.wait_until("document.querySelector('.stage').dataset.frame === '0'")
        assert window.see() == (segment, 0)

    assert not [name for name, _, _ in server.requests if name.endswith(".mp4")]
    assert window.complaints == []


def test_asking_for_less_motion_in_the_middle_of_reading_is_heard(
    build: Build, serve: Serve, reader: OpenWindow
) -> None:
    window = reader()
    window.open(serve(build()).address)
    window.scroll_to(0.55)

    window.page.emulate_media(reduced_motion="reduce")
    window.wait_until("document.documentElement.dataset.player === 'stills'")
    window.wait_until("document.querySelector('.stage').dataset.frame === '0'")

    assert window.see() == (2, 0)


def test_a_clip_that_is_not_there_shows_its_still_and_the_others_move(
    build: Build, serve: Serve, reader: OpenWindow
) -> None:
    window = reader()
    window.open(serve(build(), missing=r"02-.*mp4").address)

    window.scroll_to(0.12)
    assert window.see() == shown(window)
    window.jump_to(0.5)
    window.wait_until("document.querySelector('.stage').dataset.source === 'Still'")
    window.wait_until("document.querySelector('.stage').dataset.frame === '0'")
    assert window.see() == (2, 0)
    assert window.page.locator(".loading").is_hidden()
    window.scroll_to(0.93)
    assert window.see() == shown(window)
    assert shown(window)[0] == 3

    assert all("404" in complaint for complaint in window.complaints), window.complaints


def test_a_clip_that_cannot_be_decoded_shows_its_still(build: Build, serve: Serve, reader: OpenWindow) -> None:
    page = build()
    clip = next(page.glob("assets/02-*.av1.mp4"))
    clip.write_bytes(b"\x00" * clip.stat().st_size)
    window = reader()
    window.open(serve(page).address)

    window.jump_to(0.5)
    window.wait_until("document.querySelector('.stage').dataset.source === 'Still'")
    window.wait_until("document.querySelector('.stage').dataset.frame === '0'")

    assert window.see() == (2, 0)
    window.scroll_to(0.12)
    assert window.see() == shown(window)


@SCREENS
def test_without_script_every_section_has_its_still(
    build: Build, serve: Serve, reader: OpenWindow, size: dict[str, int]
) -> None:
    window = reader(size, java_script_enabled=False)
    window.page.goto(serve(build()).address)
    assert window.see() == (1, 0)

    for section, selector in ((2, "#section-02 .stills img"), (3, "#section-03 .stills img")):
        window.page.locator(f"#section-{section:02d} .text p").nth(
            1 if size == DESKTOP else 0
        ).scroll_into_view_if_needed()
        window.page.locator(selector).scroll_into_view_if_needed()
        window.wait_until(f"document.querySelector('{selector}').complete")
        assert window.see(selector) == (section, 0)


# --- manners ---------------------------------------------------------------------------------------------------


def test_a_slow_clip_says_that_it_loads_and_then_says_no_more(build: Build, serve: Serve, reader: OpenWindow) -> None:
    window = reader()
    window.open(serve(build(), slow=r"0[23]-.*mp4").address)
    notice = window.page.locator(".loading")

    window.jump_to(0.93)
    notice.wait_for(state="visible")
    loaded = "getComputedStyle(document.querySelectorAll('.reel > *')[2]).getPropertyValue('--loaded')"
    assert float(window.page.evaluate(loaded)) < 1

    window.wait_for_frame()
    notice.wait_for(state="hidden")
    window.wait_until(f"Number({loaded}) === 1")
    assert window.see() == shown(window)


@SCREENS
def test_a_story_that_runs_right_to_left_has_its_text_on_the_right(
    build: Build, serve: Serve, reader: OpenWindow, story_of: MakeStory, size: dict[str, int]
) -> None:
    text = "\n\n".join(["كان في قديم الزمان ملك من ملوك ساسان بجزائر الهند والصين، صاحب جند وأعوان وخدم وحشم."] * 40)
    story = story_of(text, title="ألف ليلة وليلة", language="ar")
    window = reader(size)
    window.open(serve(build(story)).address)
    window.scroll_to(0.55)

    stage = window.page.locator(".stage").bounding_box()
    text_box = window.page.locator(".text").first.bounding_box()

    assert window.page.evaluate("getComputedStyle(document.querySelector('.text')).direction") == "rtl"
    assert stage["x"] == 0
    assert size == PHONE or text_box["x"] >= stage["x"] + stage["width"]
    assert window.see() == shown(window)
    assert text_of(window) == text


@pytest.mark.parametrize("width", [320, 390, 900, 1280, 2200])
def test_nothing_is_wider_than_the_window(
    build: Build, serve: Serve, reader: OpenWindow, story_of: MakeStory, width: int
) -> None:
    story = story_of(
        "Donaudampfschifffahrtsgesellschaftskapitän " * 3 + "x" * 300, title="Rindfleischetikettierung" * 3
    )
    window = reader({"width": width, "height": 800})
    window.open(serve(build(story)).address)

    assert window.page.evaluate("document.documentElement.scrollWidth") <= width
    for part in ("h1", ".made", ".text"):
        box = window.page.locator(part).first.bounding_box()
        assert box["x"] >= 16
        assert box["x"] + box["width"] <= width - 16


def test_the_words_about_ai_are_seen_without_scrolling(build: Build, serve: Serve, reader: OpenWindow) -> None:
    window = reader(PHONE)
    window.open(serve(build(drawn_by_program=True)).address)

    made = window.page.locator(".made")

    assert made.inner_text() == (
        "The pictures in this story were made with AI. In this preview they were drawn by a computer program."
    )
    assert made.bounding_box()["y"] + made.bounding_box()["height"] < PHONE["height"]
