"""What is asked of Gemini: built and priced without sending anything."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

from google.genai import types

from downstream.domain.errors import TryAgain
from downstream.domain.prices import tokens_micros
from downstream.domain.tasks import estimated_tokens

if TYPE_CHECKING:
    from pathlib import Path

    from downstream.domain.prices import TokenPrices
    from downstream.domain.tasks import Task

_TOKENS_SEEN = 1120
"""The most tokens one picture in a request should be; an assumption, the answer tells the truth."""
_MIME_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture that goes along with a request."""

    path: Path
    most_width: int = 0
    """It is sent as a JPEG no wider than this; 0 sends the file as it is."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One ``generateContent``."""

    what: str
    """As errors call it: ``plan``, ``keyframe 03``."""
    model: str
    parts: tuple[str | Shown, ...]
    most_tokens: int
    """Of the answer, thoughts included."""
    instructions: str = ""
    schema: dict[str, Any] | None = None
    """The answer is JSON of this JSON Schema."""
    makes_picture: bool = False

    def price_micros(self, prices: TokenPrices) -> int:
        """The most it should cost, in millionths of a dollar."""
        words = "".join(part for part in self.parts if isinstance(part, str))
        schema = json.dumps(self.schema) if self.schema else ""
        seen = estimated_tokens(f"{self.instructions}{words}{schema}")
        seen += _TOKENS_SEEN * sum(1 for part in self.parts if isinstance(part, Shown))
        written = self.most_tokens - prices.image_tokens if self.makes_picture else self.most_tokens
        pictures = prices.image_tokens if self.makes_picture else 0
        return (
            tokens_micros(seen, prices.input)
            + tokens_micros(written, prices.output)
            + tokens_micros(pictures, prices.image_output)
        )

    def contents(self) -> list[types.Part]:
        """The parts as the SDK takes them, pictures read and made smaller.

        Raises:
            TryAgain: a picture cannot be read.
        """
        return [
            types.Part.from_text(text=part) if isinstance(part, str) else self._picture(part) for part in self.parts
        ]

    def config(self) -> types.GenerateContentConfig:
        """Everything else of the request."""
        config = types.GenerateContentConfig(
            system_instruction=self.instructions or None,
            max_output_tokens=self.most_tokens,
            automatic_continuation=False,  # else the SDK itself may send further requests, each of them billed
        )
        if self.schema is not None:
            config.response_mime_type, config.response_json_schema = "application/json", self.schema
        if self.makes_picture:
            config.response_modalities = ["IMAGE"]
            config.image_config = types.ImageConfig(aspect_ratio="16:9", image_size="1K")
        return config

    def _picture(self, shown: Shown) -> types.Part:
        try:
            if not shown.most_width:
                mime_type = _MIME_TYPES[shown.path.suffix]
                return types.Part.from_bytes(data=shown.path.read_bytes(), mime_type=mime_type)
            return types.Part.from_bytes(data=_small_jpeg(shown.path, shown.most_width), mime_type="image/jpeg")
        except (OSError, ValueError, SyntaxError, LookupError) as error:
            raise TryAgain(f"{self.what}: {shown.path.name} cannot be read ({type(error).__name__})") from None


def ask_of(task: Task, what: str, model: str, most_tokens: int) -> Ask:
    """The request for a text model's answer to ``task``."""
    return Ask(what, model, (task.material,), most_tokens, task.instructions, task.schema)


def cost_micros(usage: types.GenerateContentResponseUsageMetadata, prices: TokenPrices) -> int:
    """What an answer cost to the nearest millionth of a dollar, by what its tokens were: read, written, pictures."""
    written = usage.candidates_token_count or 0
    details = usage.candidates_tokens_details
    if details is None:
        pictures = written if prices.image_tokens else 0  # nobody says; the dearer of the two
    else:
        pictures = sum(one.token_count or 0 for one in details if one.modality == types.MediaModality.IMAGE)
    read = (usage.prompt_token_count or 0) + (usage.tool_use_prompt_token_count or 0)
    words = max(0, written - pictures) + (usage.thoughts_token_count or 0)
    dollars_per_million = (
        read * Decimal(prices.input) + words * Decimal(prices.output) + pictures * Decimal(prices.image_output)
    )
    return int(dollars_per_million.to_integral_value(ROUND_HALF_UP))


def _small_jpeg(path: Path, most_width: int) -> bytes:
    from PIL import Image

    with Image.open(path) as image:
        picture = image.convert("RGB")
    picture.thumbnail((most_width, most_width * 4))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=80)
    return file.getvalue()
