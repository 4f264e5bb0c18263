"""The story that ships with the package, for demos and for test jobs without an input of their own."""

from __future__ import annotations

import json
from importlib.resources import files

from downstream.domain.story import Story


def sample_story(stream_id: str) -> Story:
    """The sample story as if it had been ordered as ``stream_id``."""
    fields = json.loads(files(__name__).joinpath("input.json").read_bytes())
    return Story.model_validate({**fields, "id": stream_id})
