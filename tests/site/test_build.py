"""The page as files: complete, exact, the same every time, swapped in whole."""

# ruff: noqa: RUF001 - letters of many scripts

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from downstream.domain.production import Production
from downstream.domain.story import Story
from downstream.files import tree_files
from downstream.site.marks import TRAINED_ALGORITHMIC_MEDIA, read_mark
from downstream.site.read import page_weight, read_marker, read_text, referenced_files

STORIES = Path(__file__).parent.parent / "stories"
Build = Callable[..., Path]
MakeStory = Callable[..., Story]
MakeProduction = Callable[..., Production]

NASTY_TEXTS = {
    "windows line ends": "One.\r\n\r\nTwo.\r\nTwo and a half.\r\n",
    "old line ends": "One.\r\rTwo.\rThree.",
    "mixed line ends": "One.\n\r\nTwo.\r\n\nThree.\r",
    "blanks around": "\n\n  One.  \n\n\n   Two.\t\n  ",
    "double spaces": "One  two   three.\n\nFour\t\tfive.",
    "only blanks between": "One.\n \n\t\nTwo.",
    "markup": "<script>alert(1)</script>\n\n</p><!-- &amp; &lt; &#13; -->\n\n]]>\n\n</noscript></article>{{ x }}",
    "quotes": "\"It's\" 'so' & “so” „so“ «so» 「so」",
    "right to left": "שלום עולם\n\n– מי שם?\n\nمرحبا بالعالم",
    "japanese": "　吾輩は猫である。\n\n「名前はまだ無い。」\n\n＊　＊　＊\n\nどこで生れたか頓と見当がつかぬ。",
    "emoji": "👩‍👩‍👧‍👦 and 🏳️‍🌈 and 👍🏽\n\ne\u0301 and \u00e9 and n\u0303o",
    "verse": "Roses are red,\n  violets are blue,\r\nsugar is sweet,\u2028and so are you.\n\n* * *\n\nThe end",
    "separators": "a\u00a0b\u2003c\u200bd\u2029e\ufefff\u00adg",
    "byte order mark": "\ufeffOnce upon a time.\n\nThe end.",
    "one letter": "x",
    "one endless word": "a" * 3000,
}


@pytest.mark.parametrize("name", NASTY_TEXTS)
@pytest.mark.parametrize("segments", [1, 3])
def test_the_page_holds_the_text_character_for_character(
    build: Build, story_of: MakeStory, production_of: MakeProduction, name: str, segments: int
) -> None:
    story = story_of(NASTY_TEXTS[name])

    page = build(story, production_of(story, segments=segments))

    assert read_text((page / "index.html").read_bytes()) == story.text


@pytest.mark.parametrize("name", ["the-selfish-giant.txt", "emberi-jogok.hu.txt"])
def test_real_stories_are_shown_exactly(build: Build, story_of: MakeStory, name: str) -> None:
    story = story_of((STORIES / name).read_text())

    assert read_text((build(story) / "index.html").read_bytes()) == story.text


def test_a_changed_letter_or_blank_is_noticed(build: Build, story_of: MakeStory, production_of: MakeProduction) -> None:
    story = story_of("One two.\n\nThree four.")
    html = (build(story, production_of(story, segments=1)) / "index.html").read_bytes()

    assert read_text(html.replace(b"four", b"fore")) != "One two.\n\nThree four."
    assert read_text(html.replace(b"</p>\n\n<p", b"</p>\n<p")) != "One two.\n\nThree four."


def test_a_text_that_begins_with_its_title_shows_it_once(build: Build, story_of: MakeStory) -> None:
    story = story_of("A Road\n\nIt was long.", title="A Road")

    html = (build(story) / "index.html").read_text()

    assert html.count(">A Road<") == 2, "in the head and in the heading"
    assert read_text(html.encode()) == story.text


def test_dialogue_verse_headings_and_breaks_are_set_as_such(build: Build, story_of: MakeStory) -> None:
    long = "It was a long road, and nobody had walked on it since the summer when the boats were sold. " * 3
    verse = "The moon has a face\nlike the clock in the hall;\nshe shines on thieves"
    story = story_of(
        f"Chapter One\n\n{long.strip()}\n\n“Who is there?” she asked.\n\n{verse}\n\n* * *\n\n{long.strip()}"
    )

    html = (build(story) / "index.html").read_text()

    assert "<h2>Chapter One</h2>" in html
    assert '<p class="initial">It was' in html
    assert "<p>“Who is there?” she asked.</p>" in html
    assert '<p class="verse"><span>The moon has a face</span>\n<span>like' in html
    assert '<p class="break">* * *</p>' in html


def test_a_paragraph_the_author_set_apart_stands_apart(
    build: Build, story_of: MakeStory, production_of: MakeProduction
) -> None:
    story = story_of("One is here.\n\nTwo is here.\n\n\n\nThree is here.\n\nFour is here.")

    html = (build(story, production_of(story, segments=1)) / "index.html").read_text()

    assert html.count(' class="apart"') == 1
    assert '<p class="apart">Three is here.</p>' in html


def test_an_authors_own_indent_stays_and_makes_no_empty_line(
    build: Build, story_of: MakeStory, production_of: MakeProduction
) -> None:
    story = story_of("「おや。」\n　では、みなさん。\n　\n　「猫」", language="ja")

    html = (build(story, production_of(story, segments=1)) / "index.html").read_text()

    assert '<p class="indented">　では、みなさん。</p><span class="gap">\n　\n</span>' in html
    assert read_text(html.encode()) == story.text


def test_markup_in_title_and_text_is_text(build: Build, story_of: MakeStory) -> None:
    evil = '"><script src=//evil.example></script><b>'
    html = (build(story_of(f"{evil}\n\n{evil}", title=evil)) / "index.html").read_bytes()

    scripts = _tags(html, "script")
    assert [dict(attributes).get("type") for attributes in scripts] == [None, "application/json"]
    assert all("evil" not in str(attributes) for attributes in scripts)
    assert not _tags(html, "b")


def test_a_segment_title_cannot_end_the_script_that_holds_it(
    build: Build, story_of: MakeStory, production_of: MakeProduction
) -> None:
    story = story_of()
    production = production_of(story)
    evil = production.segments[0].model_copy(update={"title": "</script><script>alert(1)</script><!--"})
    production = production.model_copy(update={"segments": (evil, *production.segments[1:])})

    html = (build(story, production) / "index.html").read_bytes()

    assert len(_tags(html, "script")) == 2
    assert evil.title in html.decode().replace("\\u003c", "<")


def test_the_same_input_gives_the_same_bytes(build: Build) -> None:
    first = {path.name: path.read_bytes() for path in tree_files(build())}

    assert {path.name: path.read_bytes() for path in tree_files(build())} == first


def test_an_interrupted_build_leaves_the_page_that_was_there(
    build: Build, story_of: MakeStory, media: dict[str, Path]
) -> None:
    page = build()
    before = {path: path.read_bytes() for path in tree_files(page)}

    with pytest.raises(FileNotFoundError):
        build(story_of("Another story."), media={**media, "03": Path("/nowhere")})

    assert {path: path.read_bytes() for path in tree_files(page)} == before
    build(story_of("A third story."))
    assert read_text((page / "index.html").read_bytes()) == "A third story."
    assert [path.name for path in page.parent.iterdir()] == ["page"]


def test_every_asset_is_named_by_the_page_and_every_named_file_is_there(build: Build) -> None:
    page = build()

    named = referenced_files(page)

    assert set(named) == {str(path.relative_to(page)) for path in tree_files(page)} - {"index.html"}
    assert len(named) == 3 * 3 + 3


def test_names_carry_the_hash_of_their_content(build: Build) -> None:
    page = build()

    for name in referenced_files(page):
        digest = hashlib.sha256((page / name).read_bytes()).hexdigest()
        assert re.fullmatch(rf"assets/[a-z0-9]+-{digest[:10]}\.[a-z0-9.]+", name)


def test_every_picture_is_marked_as_ai_made(build: Build) -> None:
    page = build()

    pictures = [path for path in tree_files(page) if path.suffix in {".webp", ".jpg", ".png"}]

    assert len(pictures) == 4
    assert {read_mark(path.read_bytes()) for path in pictures} == {TRAINED_ALGORITHMIC_MEDIA}


def test_nothing_is_asked_of_any_other_host(build: Build) -> None:
    page = build()
    named = (page / "index.html").read_text() + "".join(path.read_text() for path in page.glob("assets/*.[cj]s*"))

    addresses = set(re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]+", named))

    assert addresses <= {"http://www.w3.org"}, "the name of the icon's format, which nobody fetches"


def test_the_page_forbids_scripts_of_others(build: Build) -> None:
    policy = dict(_tags((build() / "index.html").read_bytes(), "meta")[1])["content"] or ""

    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy


def test_the_page_says_whose_it_is(build: Build) -> None:
    assert read_marker((build() / "index.html").read_bytes()) == "test-story"
    assert read_marker(b"<!doctype html><title>Somebody else</title>") is None


@pytest.mark.parametrize(
    ("language", "text", "direction"),
    [("en", "Hello.", "ltr"), ("ar", "مرحبا", "rtl"), ("he-IL", "שלום", "rtl"), ("ja", "猫", "ltr")],
)
def test_language_and_direction_are_the_storys(
    build: Build, story_of: MakeStory, language: str, text: str, direction: str
) -> None:
    root = dict(_tags((build(story_of(text, language=language)) / "index.html").read_bytes(), "html")[0])

    assert (root["lang"], root["dir"]) == (language, direction)


def test_words_in_another_language_say_so(build: Build, story_of: MakeStory) -> None:
    html = (build(story_of("nuqneH", language="tlh")) / "index.html").read_text()

    assert '<p class="made" lang="en" dir="ltr">The pictures in this story were made with AI.' in html


def test_a_preview_says_that_a_program_drew_it(build: Build) -> None:
    finished = (build() / "index.html").read_text()
    preview = (build(drawn_by_program=True) / "index.html").read_text()

    assert "made with AI" in finished
    assert "drawn by a computer program" not in finished
    assert "drawn by a computer program" in preview


def test_the_head_introduces_the_story(build: Build, story_of: MakeStory) -> None:
    story = story_of("A Road\n\n" + "It  was\na long road. " * 20, title="A\n Road")
    page = build(story, address="https://stories.example/a-road/")

    metas = _metas(page)

    assert metas["og:title"] == "A Road"
    assert metas["description"] == metas["og:description"]
    assert metas["description"].startswith("It was a long road. It was")
    assert len(metas["description"]) <= 156
    assert metas["og:url"] == "https://stories.example/a-road/"
    assert metas["og:image"].startswith("https://stories.example/a-road/assets/card-")
    assert set(referenced_files(page)) >= {metas["og:image"].removeprefix(metas["og:url"])}


def test_a_description_is_cut_where_a_language_without_spaces_allows(build: Build, story_of: MakeStory) -> None:
    page = build(story_of("吾輩は猫である。" * 60, language="ja"))

    metas = _metas(page)

    assert len(metas["description"]) == 156


@pytest.mark.parametrize("title", ["A Road to the Sea", "Z" * 200, "Ő", "\U000f0000 nobody has this letter", "👩‍👩‍👧"])
def test_the_social_card_has_its_size_whatever_the_title(build: Build, story_of: MakeStory, title: str) -> None:
    card = next((build(story_of(title=title)) / "assets").glob("card-*.jpg"))

    assert Image.open(io.BytesIO(card.read_bytes())).size == (1200, 630)


def test_the_title_is_on_the_card_and_left_off_where_no_font_can_write_it(build: Build, story_of: MakeStory) -> None:
    def card_of(title: str) -> bytes:
        return next((build(story_of(title=title)) / "assets").glob("card-*.jpg")).read_bytes()

    assert card_of("A Road") != card_of("A Path")
    assert card_of("\U000f0000\U000f0001") == card_of("\U000f0002")


def test_html_and_body_never_share_a_rule(build: Build) -> None:
    sheet = next((build() / "assets").glob("style-*.css")).read_text()

    selectors = [one.split(",") for one in re.findall(r"([^{}]+)\{", re.sub(r"/\*.*?\*/", "", sheet, flags=re.DOTALL))]

    named = [{part.strip() for part in selector} for selector in selectors]
    assert {"html"} in named
    assert {"body"} in named
    assert not any({"html", "body"} <= one for one in named)


def test_the_weight_counts_what_a_reader_loads(build: Build, full_size_media: dict[str, Path]) -> None:
    page = build(media=full_size_media)

    weight = page_weight(page)

    sizes = {path.name: path.stat().st_size for path in tree_files(page)}
    start = sum(size for name, size in sizes.items() if re.match(r"index|style|player|01-[0-9a-f]+\.webp", name))
    clips = sum(size for name, size in sizes.items() if name.endswith(".av1.mp4"))
    assert weight.whole_bytes == start + clips
    assert start < weight.before_scrolling_bytes <= start + 1_000_000


def test_the_reel_tells_the_player_what_the_encoder_found(build: Build, media: dict[str, Path]) -> None:
    html = (build() / "index.html").read_text()
    reel = json.loads(html.partition('id="reel">')[2].partition("</script>")[0])

    index = json.loads((media["02"] / "index.json").read_bytes())
    second = reel["segments"][1]
    assert [codec["name"] for codec in second["codecs"]] == ["av1", "h264"]
    assert [codec["sizes"] for codec in second["codecs"]] == [one["sizes"] for one in index["codecs"].values()]
    assert (second["frames"], second["rate"]) == (48, 24)
    assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in second["light"])


class _TagReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))


def _tags(html: bytes, name: str) -> list[list[tuple[str, str | None]]]:
    reader = _TagReader()
    reader.feed(html.decode())
    return [attributes for tag, attributes in reader.tags if tag == name]


def _metas(page: Path) -> dict[str, str]:
    found = [dict(attributes) for attributes in _tags((page / "index.html").read_bytes(), "meta")]
    return {one.get("property") or one.get("name") or "": one.get("content") or "" for one in found}
