"""Composes a scene from its recipe: one function a setting, from far to near."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from downstream.providers.embedded import fringes, silhouettes
from downstream.providers.embedded.brush import Pen, smooth
from downstream.providers.embedded.elements import birds, clouds, mist, rays, sky, water, weather
from downstream.providers.embedded.film import Life
from downstream.providers.embedded.fringes import along, foot
from downstream.providers.embedded.interior import interior
from downstream.providers.embedded.painter import Painter
from downstream.providers.embedded.vocabulary import Setting, Subject, TimeOfDay

if TYPE_CHECKING:
    from collections.abc import Callable

    from downstream.providers.embedded.brush import Point, Random
    from downstream.providers.embedded.film import Scene
    from downstream.providers.embedded.painter import Fringe, Line
    from downstream.providers.embedded.recipe import Recipe
    from downstream.providers.embedded.silhouettes import Draw


def compose(recipe: Recipe, width: int, height: int) -> Scene:
    """The scene a recipe describes, for pictures of that size."""
    painter = Painter(recipe, width, height)
    _SETTINGS[recipe.setting](painter)
    if recipe.setting is not Setting.INTERIOR:
        weather(painter)
    return painter.scene()


# What several settings share


def _open_around_light(painter: Painter, draw: Draw, count: int, size: Point, gap: float = 0.0) -> Fringe:
    return along(draw, count, size, light_x=painter.light.x, gap=gap)


def _stands(recipe: Recipe) -> bool:
    """The subject stands on the ground: it does not fly, float or span a river."""
    if recipe.setting is Setting.RIVER and recipe.subject is Subject.BRIDGE:
        return False
    floats = recipe.subject is Subject.BOAT and recipe.setting in (Setting.SEA, Setting.LAKE, Setting.RIVER)
    return not floats and recipe.subject is not Subject.BIRDS


def _stage(painter: Painter, line: Line, *, distance: float = 2.6, extra: Fringe | None = None) -> None:
    """Lays the ground on which the subject stands."""

    def draw(pen: Pen, random: Random, line: Line) -> None:
        if extra:
            extra(pen, random, line)
        fringes.tufts(pen, random, line)
        if _stands(painter.recipe):
            painter.subject(pen, random, foot(line, painter.subject_x) + 0.008)

    painter.ridge(distance, line, draw, mist=(0.3, 0.02, 0.05), bottom=2)


def _shore(painter: Painter, low: float, rise: float) -> Line:
    """Land that comes in from the subject's side."""
    rocks = painter.hills(0, rise * 0.1, 0.35)
    return lambda x: low + rocks(x) - smooth(-0.8, 0.1, (x - painter.subject_x) * painter.side) * rise


def _bank(painter: Painter, y: float, side: int, start: float) -> Line:
    """Land that comes in from one side and ends near ``start``."""
    waves = painter.hills(0, 0.01, 0.4)
    return lambda x: y + 0.22 + waves(x) - smooth(start - 0.25, start + 0.3, x * side) * 0.22


def _afloat(painter: Painter, y: float, distance: float = 3.4) -> None:
    """Lays the subject on water or a wet street, and upside down beneath itself."""
    sheet = painter.sheet(distance, y - 0.5, y + 0.25)
    pen = Pen(sheet)
    painter.subject(pen, painter.random(), y)
    shapes = pen.shapes()
    middle = round((y - sheet.top) * painter.height)
    deep = min(middle, sheet.height - middle)
    for shape in shapes[:2]:
        image = shape[middle - deep : middle][::-1] * np.linspace(0.35, 0, deep)[:, None]
        shape[middle : middle + deep] = np.maximum(shape[middle : middle + deep], image)
    painter.paint(sheet, shapes, distance, life=Life(sway=(0.003, 0.0015), period=5))


def _bough(painter: Painter, bloom: float) -> None:
    """Lays a branch that hangs into the picture on the side away from the subject."""

    def draw(pen: Pen, random: Random) -> None:
        root = pen.standing(-painter.side * (painter.half + 0.34), random.uniform(0, 0.1), 0.85, flip=painter.side < 0)
        silhouettes.bough(root, random, bloom=bloom)

    painter.cut(1.2, draw, bottom=0.85, soft=0.0015, life=Life((0.004, 0.003), period=7))


def _grass(painter: Painter) -> None:
    painter.plants(1.1, silhouettes.grass, 420, (0.1, 0.3))


# The settings


def _forest(painter: Painter) -> None:
    sky(painter, 0.75)
    for distance, y, size, count in ((12.0, 0.66, 0.3, 90), (7.5, 0.71, 0.46, 60), (4.6, 0.77, 0.72, 36)):
        trees = _open_around_light(painter, silhouettes.conifer, count, (size * 0.6, size), 0.02 + 0.5 / distance)
        painter.ridge(distance, painter.hills(y, 0.02, 0.7), trees, mist=(0, 0.1, 0.5))
        mist(painter, max(4.5, distance * 0.9), y - 0.03, 0.09, 0.5)
    rays(painter, 4.6, 0.42)
    birds(painter)
    _stage(painter, painter.hills(0.84, 0.018, 1.1))
    mist(painter, 2.4, 0.84, 0.07, 0.35)
    painter.plants(1.7, silhouettes.trunk, 9, (1.5, 1.6), y=0.98, clear=0.3, bend=0)
    _grass(painter)


def _mountains(painter: Painter) -> None:
    sky(painter, 0.62)
    clouds(painter, 0.5)
    painter.mountains(14, 0.6, 0.36, 0.62, snow=0.9)
    mist(painter, 13, 0.56, 0.05, 0.6)
    painter.mountains(8, 0.68, 0.3, 0.5, snow=0.5)
    mist(painter, 7, 0.66, 0.06, 0.7)
    birds(painter)
    painter.ridge(4.6, painter.hills(0.74, 0.05, 0.8), along(silhouettes.conifer, 150, (0.04, 0.11)))
    mist(painter, 4.5, 0.79, 0.06, 0.6)
    _stage(painter, painter.hills(0.86, 0.05, 1.1))
    _grass(painter)


def _sea(painter: Painter) -> None:
    sky(painter, 0.6)
    clouds(painter, 0.56)
    waves = painter.hills(0.59, 0.012, 0.3)
    painter.ridge(
        11, lambda x: waves(x) - smooth(0.1, 0.95, x * -painter.side / painter.half) * 0.16, mist=(0.12, 0.2, 0.5)
    )
    birds(painter)
    water(painter, 0.58, 14)
    mist(painter, 9, 0.585, 0.02, 0.5)
    if painter.recipe.subject is Subject.BOAT:
        _afloat(painter, 0.67)
    _stage(painter, _shore(painter, 1.0, 0.18))
    _grass(painter)


def _lake(painter: Painter) -> None:
    sky(painter, 0.6)
    clouds(painter, 0.5)
    painter.mountains(13, 0.58, 0.3, 0.6, snow=0.8)
    mist(painter, 12, 0.55, 0.05, 0.6)
    trees = _open_around_light(painter, silhouettes.conifer, 170, (0.03, 0.1), 0.03)
    painter.ridge(8, painter.hills(0.585, 0.03, 0.6), trees, mist=(0, 0.05, 0.4))
    birds(painter)
    water(painter, 0.62, 7)
    mist(painter, 6.5, 0.625, 0.025, 0.75)
    if painter.recipe.subject is Subject.BOAT:
        _afloat(painter, 0.72)
    _stage(painter, _shore(painter, 1.0, 0.16))
    painter.plants(1.5, silhouettes.reed, 70, (0.16, 0.36))
    _grass(painter)


def _river(painter: Painter) -> None:
    sky(painter, 0.64)
    clouds(painter, 0.5)
    painter.ridge(13, painter.hills(0.56, 0.06, 0.7))
    mist(painter, 12, 0.58, 0.05, 0.5)
    trees = _open_around_light(painter, silhouettes.leafy_tree, 26, (0.08, 0.16), 0.12)
    painter.ridge(8, painter.hills(0.61, 0.02, 0.6), trees, mist=(0, 0.06, 0.4))
    birds(painter)
    if painter.recipe.subject is Subject.BRIDGE:
        painter.cut(5.5, lambda pen, random: painter.subject(pen, random, 0.645), 0.3, 0.8)
    water(painter, 0.645, 6)
    mist(painter, 5.5, 0.65, 0.03, 0.6)
    if painter.recipe.subject is Subject.BOAT:
        _afloat(painter, 0.75)
    for distance, y, side in ((4.6, 0.72, -painter.side), (3.4, 0.8, painter.side)):
        painter.ridge(distance, _bank(painter, y, side, 0.12), along(silhouettes.bush, 14, (0.03, 0.09)))
    _stage(painter, _bank(painter, 0.86, painter.side, -0.25))
    painter.plants(1.4, silhouettes.reed, 60, (0.14, 0.32))
    _grass(painter)


def _road(painter: Painter) -> None:
    sky(painter, 0.66)
    clouds(painter, 0.55)
    painter.ridge(14, painter.hills(0.6, 0.07, 0.8))
    mist(painter, 12, 0.62, 0.05, 0.5)
    trees = _open_around_light(painter, silhouettes.leafy_tree, 14, (0.05, 0.12), 0.1)
    painter.ridge(8, painter.hills(0.66, 0.04, 0.9), trees)
    mist(painter, 7, 0.68, 0.04, 0.5)
    birds(painter)
    _stage(painter, painter.hills(0.74, 0.02, 1.1), distance=3.2, extra=fringes.path(painter.light.x, painter.side))
    painter.plants(2.2, silhouettes.bare_tree, 5, (0.5, 0.8), y=0.9, clear=0.35, bend=0.006)
    _grass(painter)


def _plain(painter: Painter) -> None:
    sky(painter, 0.72)
    clouds(painter, 0.62)
    painter.ridge(14, painter.hills(0.68, 0.03, 0.9))
    mist(painter, 12, 0.69, 0.04, 0.5)
    painter.ridge(8, painter.hills(0.72, 0.02, 0.9), along(silhouettes.leafy_tree, 9, (0.05, 0.1)))
    mist(painter, 7, 0.74, 0.03, 0.5)
    birds(painter)
    _stage(painter, painter.hills(0.8, 0.03, 1.1), distance=3)
    painter.plants(1.8, silhouettes.grass, 500, (0.05, 0.15), y=1.0)
    _grass(painter)


def _garden(painter: Painter) -> None:
    bloom = 0.0 if painter.snowy else 0.8
    sky(painter, 0.66)
    clouds(painter, 0.5)
    trees = _open_around_light(painter, silhouettes.leafy_tree, 22, (0.12, 0.26), 0.08)
    painter.ridge(11, painter.hills(0.6, 0.03, 0.5), trees)
    mist(painter, 9, 0.6, 0.06, 0.5)
    painter.ridge(6, painter.hills(0.7, 0.0, 1), fringes.wall)
    rays(painter, 5, 0.3)
    birds(painter)
    tree = silhouettes.bare_tree if painter.snowy else silhouettes.blossoming_tree
    painter.ridge(4.5, painter.hills(0.77, 0.01, 0.9), _open_around_light(painter, tree, 6, (0.3, 0.5), 0.3))
    mist(painter, 4.5, 0.78, 0.05, 0.35)
    _stage(painter, painter.hills(0.83, 0.012, 1.1), extra=None if painter.snowy else fringes.flowers)
    _bough(painter, bloom)
    _grass(painter)


def _city(painter: Painter) -> None:
    dark = painter.recipe.time_of_day in (TimeOfDay.NIGHT, TimeOfDay.DUSK)
    sky(painter, 0.72)
    clouds(painter, 0.45)
    rows = (
        (13.0, 0.70, 0.34, 0.0, 0.1),
        (8.0, 0.74, 0.46, 0.09, 0.2),
        (5.0, 0.79, 0.62, 0.24, 0.3),
        (3.4, 0.81, 0.95, 0.46, 0.3),
    )
    for distance, y, high, gap, lights in rows:
        houses = fringes.facades(high, lights if dark else lights / 5, light_x=painter.light.x, gap=gap)
        painter.ridge(distance, painter.hills(y, 0.0, 1), houses, tall=high * 1.4, mist=(-0.12, 0.04, 0.55))
        if distance > 5:
            mist(painter, distance * 0.9, y - 0.02, 0.07, 0.45)
    birds(painter)
    water(painter, 0.81, 3.4, clear=0.3)
    painter.cut(2.9, _street_lamps, 0.4)
    if _stands(painter.recipe):
        _afloat(painter, 0.9, 2.6)


def _street_lamps(pen: Pen, random: Random) -> None:
    for x in (-0.72, -0.44, 0.44, 0.72):
        silhouettes.lantern(pen.standing(x, 0.8 + abs(x) * 0.12, 0.12 + abs(x) * 0.3), random)


def _village(painter: Painter) -> None:
    sky(painter, 0.66)
    clouds(painter, 0.5)
    painter.ridge(13, painter.hills(0.58, 0.08, 0.8))
    mist(painter, 12, 0.6, 0.06, 0.5)
    painter.ridge(8, painter.hills(0.64, 0.04, 0.7), along(silhouettes.conifer, 110, (0.03, 0.09)))

    def houses(pen: Pen, random: Random, line: Line) -> None:
        if painter.recipe.subject is not Subject.TOWER:
            silhouettes.tower(pen.standing(-painter.side * 0.35, 0.7, 0.3), random)
        along(silhouettes.house, 11, (0.08, 0.13))(pen, random, line)

    painter.ridge(5.5, painter.hills(0.7, 0.03, 0.6), houses)
    mist(painter, 5, 0.72, 0.04, 0.5)
    birds(painter)
    trees = _open_around_light(painter, silhouettes.leafy_tree, 9, (0.1, 0.2), 0.12)
    painter.ridge(4.5, painter.hills(0.77, 0.03, 0.8), trees)
    mist(painter, 4.5, 0.79, 0.04, 0.4)
    _stage(painter, painter.hills(0.84, 0.03, 1.1))
    _grass(painter)


_SETTINGS: dict[Setting, Callable[[Painter], None]] = {
    Setting.FOREST: _forest,
    Setting.SEA: _sea,
    Setting.LAKE: _lake,
    Setting.MOUNTAINS: _mountains,
    Setting.RIVER: _river,
    Setting.ROAD: _road,
    Setting.PLAIN: _plain,
    Setting.GARDEN: _garden,
    Setting.CITY: _city,
    Setting.VILLAGE: _village,
    Setting.INTERIOR: interior,
}
