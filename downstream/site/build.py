"""Puts a story, its clips and the player together as static files."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup, escape
from PIL import Image

from downstream.domain.language import text_direction
from downstream.files import temporary_name
from downstream.site.card import CARD_SIZE, draw_card
from downstream.site.theme import Theme, theme_of
from downstream.site.typeset import beginning, set_story
from downstream.site.words import words_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from downstream.domain.production import Production, Segment
    from downstream.domain.story import Story

AHEAD_BYTES = 1_000_000
"""How much of the clips around the reader the player loads before it waits; also what a page loads before scrolling."""


def build_page(
    story: Story,
    production: Production,
    media: Mapping[str, Path],
    destination: Path,
    *,
    drawn_by_program: bool,
    address: str = "",
) -> None:
    """``destination`` is the whole page: ``index.html`` and, under names that change with their content, ``assets/``.

    ``media`` maps each segment's id to what ``encode_for_scrolling`` left for it; ``address`` is where the page will
    stand, ending in a slash, if that is known. The same input gives the same bytes. Whatever stood at ``destination``
    stays until the new page is whole.
    """
    with _swapped_in(destination) as folder:
        assets = _Assets(folder)
        segments = [_publish_segment(assets, segment, media[segment.id]) for segment in production.segments]
        theme = theme_of(production.visual_direction.palette)
        direction = text_direction(story.language, story.text)
        with Image.open(media[production.segments[0].id] / "poster.webp") as poster:
            card = draw_card(poster, story.title, text_direction(story.language, story.title))
        words = words_for(story.language)
        html = _template().render(
            language=story.language,
            direction=direction,
            title=" ".join(story.title.split()),
            description=beginning(story),
            stream_id=story.id,
            address=address,
            theme=theme,
            story=set_story(story, production),
            segments=segments,
            segment_of={segment["id"]: segment for segment in segments},
            reel=_as_script_data({"ahead_bytes": AHEAD_BYTES, "segments": segments}),
            style=assets.add("style.css", _style(theme)),
            player=assets.add("player.js", _static("player.js")),
            card=assets.add("card.jpg", card),
            card_size=CARD_SIZE,
            icon=_icon(theme),
            words=words,
            words_language=_language_of_words(words.language, story.language),
            drawn_by_program=drawn_by_program,
        )
        (folder / "index.html").write_bytes(html.encode())


@contextmanager
def _swapped_in(destination: Path) -> Iterator[Path]:
    """A folder beside ``destination`` that takes its place once it is whole."""
    folder, before = temporary_name(destination), destination.with_name(f".{destination.name}.before")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    yield folder
    shutil.rmtree(before, ignore_errors=True)
    if destination.exists():
        destination.rename(before)
    folder.rename(destination)
    shutil.rmtree(before, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class _Assets:
    """Files that may be kept for ever: their names carry their content's hash."""

    folder: Path

    def add(self, name: str, data: bytes) -> str:
        """The path, from the page, under which ``data`` is published."""
        stem, suffix = name.split(".", 1)
        path = f"assets/{stem}-{hashlib.sha256(data).hexdigest()[:10]}.{suffix}"
        (self.folder / "assets").mkdir(exist_ok=True)
        (self.folder / path).write_bytes(data)
        return path


def _publish_segment(assets: _Assets, segment: Segment, folder: Path) -> dict[str, Any]:
    """What the page and the player know of a segment."""
    index = json.loads((folder / "index.json").read_bytes())
    poster = (folder / "poster.webp").read_bytes()
    return {
        "id": segment.id,
        "title": segment.title,
        "width": index["width"],
        "height": index["height"],
        "rate": index["rate"][0] / index["rate"][1],
        "frames": index["frames"],
        "poster": assets.add(f"{segment.id}.webp", poster),
        "light": _light(poster),
        "codecs": [
            {
                **codec,
                "name": name,
                "file": assets.add(f"{segment.id}.{codec['file']}", (folder / codec["file"]).read_bytes()),
            }
            for name, codec in index["codecs"].items()
        ],
    }


def _light(poster: bytes) -> list[str]:
    """Four colours of the picture from top to bottom, to stand in for it while it loads."""
    with Image.open(io.BytesIO(poster)) as picture:
        column = picture.convert("RGB").resize((1, 4), Image.Resampling.BOX)
    raw = column.tobytes()
    return [f"#{raw[place : place + 3].hex()}" for place in range(0, len(raw), 3)]


# --- the document ----------------------------------------------------------------------------------------------


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("downstream.site"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["exact"] = _exact
    return environment.get_template("page.html")


def _exact(text: str) -> Markup:
    """Text as a browser gives it back: a bare carriage return would be read as a line feed."""
    return Markup(str(escape(text)).replace("\r", "&#13;"))  # noqa: S704 - escaped just before


def _as_script_data(value: Any) -> Markup:
    """JSON that no content can end early: neither ``</script>`` nor ``<!--`` can occur in it."""
    return Markup(json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"))  # noqa: S704


def _language_of_words(language: str, story_language: str) -> Markup:
    """The attributes our own words need where they are not in the story's language."""
    if story_language.lower().partition("-")[0] == language.partition("-")[0]:
        return Markup()
    return Markup(' lang="{}" dir="{}"').format(language, text_direction(language))


def _style(theme: Theme) -> bytes:
    colours = {"paper": theme.paper, "ink": theme.ink, "quiet": theme.quiet, "accent": theme.accent}
    rules = "".join(f"  --{name}: {colour};\n" for name, colour in colours.items())
    return f":root {{\n{rules}}}\n\n".encode() + _static("style.css")


def _static(name: str) -> bytes:
    return (files("downstream.site") / "static" / name).read_bytes()


def _icon(theme: Theme) -> str:
    """A line that goes down a page."""
    drawing = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">'
        f'<rect width="32" height="32" rx="7" fill="{theme.paper}"/>'
        f'<path d="M16 6c-7 6 7 12 0 20" fill="none" stroke="{theme.accent}" stroke-width="4"/>'
        "</svg>"
    )
    return "data:image/svg+xml," + quote(drawing, safe=" =:/'\"").replace('"', "'")
