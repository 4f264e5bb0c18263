"""Draws keyframes with no network: layered landscapes in the order's palette, honestly made by a program."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, PngImagePlugin

from downstream.domain.errors import PersonDecides
from downstream.domain.ports import Picture
from downstream.domain.troubles import is_machine_trouble
from downstream.providers.embedded.film import View
from downstream.providers.embedded.recipe import Recipe
from downstream.providers.embedded.scenery import compose

if TYPE_CHECKING:
    from pathlib import Path

    from downstream.domain.ports import Call, KeyframeRequest

_RECIPE = "DownStream drawing"
"""The PNG text chunk that carries the recipe, so that the clip can move through the very same drawing."""


class EmbeddedKeyframes:
    """Makes stills; the same request is the same picture, byte for byte."""

    name = "embedded keyframes"
    by_reference = False

    def price_micros(self, _: KeyframeRequest) -> int:
        """Nothing."""
        return 0

    def inputs(self, request: KeyframeRequest) -> object:
        """All of it."""
        return request

    def make(self, request: KeyframeRequest, _: Call) -> Picture:
        """Returns one PNG that carries its recipe."""
        recipe = Recipe.of(request)
        pixels = next(compose(recipe, request.width, request.height).film([View()]))
        colours = pixels.view(np.uint8).reshape(request.height, request.width, 4)[..., :3]
        text = PngImagePlugin.PngInfo()
        text.add_text(_RECIPE, recipe.to_text())
        file = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(colours)).save(file, "PNG", pnginfo=text, compress_level=4)
        return Picture(file.getvalue(), "image/png")


def read_recipe(keyframe: Path) -> Recipe:
    """The recipe in a keyframe's file.

    Raises:
        PersonDecides: the file cannot be read or was not drawn here.
    """
    try:
        with Image.open(keyframe) as image:
            return Recipe.from_text(str(image.info[_RECIPE]))
    except (OSError, KeyError, ValueError) as error:
        if is_machine_trouble(error):
            raise
        raise PersonDecides(
            f"{keyframe.name} has no drawing recipe inside, so the embedded clips cannot set it in motion: "
            "let the embedded keyframes draw it again, or use a live clip provider"
        ) from error
