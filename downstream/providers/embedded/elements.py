"""Air and water: sky, clouds, mist, shafts of light, lakes and seas, rain and snow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from downstream.providers.embedded.brush import Pen, Sheet, blur, noise, smooth
from downstream.providers.embedded.colour import mix
from downstream.providers.embedded.film import Layer, Life, Water
from downstream.providers.embedded.pixels import pack
from downstream.providers.embedded.vocabulary import Subject, Weather

if TYPE_CHECKING:
    from downstream.providers.embedded.brush import Array, Random
    from downstream.providers.embedded.painter import Painter


def sky(painter: Painter, horizon: float) -> None:
    """Paints air, sun or moon, and stars."""
    light, sheet, random = painter.light, painter.sheet(40, bottom=horizon + 0.2), painter.random()
    down = np.clip(sheet.y / horizon + noise(random, sheet, 0.16, 5, stretch=5) * 0.035, 0, 1.05)
    middle = mix(light.zenith, light.horizon, 0.42)
    colour = np.where(down < 0.6, mix(light.zenith, middle, down / 0.6), mix(middle, light.horizon, down / 0.4 - 1.5))
    colour = mix(colour, light.glow, light.halo_over(sheet) * 0.9)
    if light.disc:
        radius, edge = random.uniform(0.045, 0.062) * (0.8 if light.night else 1), 1.2 / painter.height
        seas = 1 - smooth(0.2, 1.6, noise(random, sheet, 0.02, 3)) * (0.14 if light.night else 0)
        far = np.hypot(sheet.x - light.x, sheet.y - light.y)
        colour = mix(colour, light.glow * seas, smooth(radius + edge, radius - edge, far))
    painter.add(sheet, colour, np.ones_like(down), 40, grain=2)
    if light.night and painter.recipe.weather is Weather.CLEAR:
        for phase in (0.0, 0.5):
            _stars(painter, phase)


def _stars(painter: Painter, phase: float) -> None:
    sheet, random = painter.sheet(39, bottom=0.6), painter.random()
    pen = Pen(sheet)
    for _ in range(260):
        size = 0.0007 + 0.0016 * random.random() ** 4
        pen.disc(random.uniform(sheet.left, sheet.right), 0.6 * random.random() ** 1.3, size, size)
    halo = np.clip(painter.light.halo_over(sheet) * 1.6, 0, 1)
    alpha = pen.shapes()[0] * smooth(0.58, 0.3, sheet.y) * (1 - halo)
    painter.add(sheet, painter.light.glow, alpha, 39, life=Life(pulse=0.75, period=4, phase=phase))


def clouds(painter: Painter, low: float) -> None:
    """Lays heaped clouds into the sky above ``low``: a few when it is clear or foggy, many otherwise."""
    few = painter.recipe.weather in (Weather.CLEAR, Weather.PETALS, Weather.FOG)
    light, sheet, random = painter.light, painter.sheet(18, bottom=low + 0.1), painter.random()
    pen = Pen(sheet)
    for y in np.sort(random.uniform(0.08, low - 0.04, 5 if few else 13)).tolist():
        _heap(pen, random, random.uniform(sheet.left, sheet.right), y, random.uniform(0.25, 0.8) * (1.15 - y / low))
    cut, bright, _ = pen.shapes()
    ragged, halo = noise(random, sheet, 0.09, 5, stretch=2) * 0.22, light.halo_over(sheet)
    alpha = smooth(0.25, 0.85, blur(cut, 0.006 * painter.height) + ragged * cut) * 0.8
    level = np.clip(blur(bright, 0.008 * painter.height) * (0.75 + halo) + ragged * 0.5, 0, 1)
    colour = mix(mix(light.zenith, light.haze, 0.55), mix(light.horizon, light.glow, 0.75), level)
    alpha = alpha * smooth(low + 0.08, low - 0.15, sheet.y)
    painter.add(sheet, mix(colour, light.glow, halo * 0.55), alpha, 18, grain=1, life=Life((0.05, 0), period=45))


def _heap(pen: Pen, random: Random, x: float, y: float, wide: float) -> None:
    pen.disc(x, y - wide * 0.02, wide * 0.42, wide * 0.06, catch=0.1)
    pen.disc(x, y - wide * 0.08, wide * 0.3, wide * 0.08, catch=0.3)
    puffs = zip(random.uniform(-1, 1, 46).tolist(), random.random(46).tolist(), strict=True)
    for across, up in sorted(puffs, key=lambda puff: -puff[1]):
        dome = (1 - across * across) ** 0.8
        size = wide * (0.025 + 0.075 * dome * random.uniform(0.5, 1))
        top = y - up * dome * wide * 0.2
        pen.disc(x + across * wide / 2, top, size, size * 0.62, catch=0.1 + 0.9 * up * dome)


def mist(painter: Painter, distance: float, y: float, spread: float, amount: float) -> None:
    """Lays a bank of mist that wanders, ``spread`` high and hiding ``amount``."""
    if painter.recipe.weather is Weather.FOG:
        spread, amount = spread * 1.4, min(0.9, amount * 1.5)
    sheet, random = painter.sheet(distance, y - spread * 2.2, y + spread * 2.2, coarse=4), painter.random()
    up = np.abs(sheet.y - y) / spread
    cloud = 0.62 + noise(random, sheet, spread * 0.8, 4, stretch=4) * 0.3
    alpha = np.clip(cloud * np.exp(-(up**2)) * smooth(2.2, 1.6, up) * amount, 0, 1)
    colour = mix(painter.haze(distance), painter.light.glow, painter.light.halo_over(sheet))
    painter.add(sheet, colour, alpha, distance, life=Life((0.09 * random.choice((-1, 1)).item(), 0.006), period=38))


def birds(painter: Painter) -> None:
    """Lays the flock, if birds are the subject, gliding on."""
    if painter.recipe.subject is Subject.BIRDS:
        life = Life(sway=(0.12 * painter.side, -0.03), period=40)
        painter.cut(4.4, lambda pen, random: painter.subject(pen, random, 0.62), 0, 0.7, life=life)


def rays(painter: Painter, distance: float, amount: float) -> None:
    """Lays shafts of light that fall from the sun, half as strong from the moon or a hidden sun."""
    light, sheet, random = painter.light, painter.sheet(distance, coarse=4), painter.random()
    right, down = sheet.x - light.x, sheet.y - light.y
    angle, far = np.arctan2(right, down), np.hypot(right, down)
    waves = sum(np.sin(angle * turns + random.uniform(0, 6.3)) for turns in range(5, 24, 3))
    shafts = smooth(-0.4, 3.2, waves) * smooth(-0.7, 0.6, np.cos(angle))
    alpha = (
        shafts
        * np.exp(-((far / 0.75) ** 2))
        * smooth(0, 0.12, far)
        * (amount if light.disc and not light.night else amount / 2)
    )
    painter.add(sheet, light.glow, alpha, distance, life=Life((0.03, 0), period=16))


def water(painter: Painter, line: float, distance: float, *, clear: float = 0.72) -> None:
    """Lays still water from ``line`` down to the viewer, ``clear`` as a mirror, and the light's path on it."""
    light, sheet, frame = painter.light, painter.sheet(distance, line - 0.01), painter.frame()
    depth = sheet.y - line
    colour = mix(light.horizon, mix(light.zenith, light.shade, 0.4), smooth(-0.05, 0.5, depth))
    alpha = np.clip(1 - clear + 0.38 * smooth(0, 0.5, depth), 0, 1) * (depth > 0) + 0 * sheet.x
    corner = sheet.left, sheet.top
    tint = Layer(pack(colour + 0 * alpha, alpha, 0), corner, sheet.scale, distance, Life())
    phases = noise(painter.random(), frame, 0.02, 3, stretch=7) * 1.9
    painter.things.append(Water(line, distance, phases, tint))
    for phase in (0.0, 0.5):
        _glints(painter, sheet, depth, distance, phase)


def _glints(painter: Painter, sheet: Sheet, depth: Array, distance: float, phase: float) -> None:
    light, random = painter.light, painter.random()
    # Sparkles are fine and close together at the horizon, broad and sparse near by.
    fine, broad = noise(random, sheet, 0.006, 2, stretch=7), noise(random, sheet, 0.018, 2, stretch=9)
    path = np.exp(-(((sheet.x - light.x) / (0.05 + np.abs(depth) * 0.55)) ** 2)) * smooth(0.62, 0, depth)
    sparkle = smooth(0.75, 1.5, mix(fine, broad, smooth(0.02, 0.3, depth))) * (0.95 if light.disc else 0.35)
    alpha = sparkle * np.clip(path - 0.02, 0, 1) * (depth > 0.002)
    life = Life((0.03 - 0.06 * phase, 0), pulse=0.7, period=4.6, phase=phase)
    painter.add(sheet, light.glow, alpha, distance, life=life)


def weather(painter: Painter) -> None:
    """Lays what falls from the sky."""
    light = painter.light
    if painter.recipe.weather is Weather.SNOW:
        _falling(painter, 2.6, 260, (0.0022, 0.0022), light.white * 0.9, (0.014, 0.055))
        _falling(painter, 1.3, 60, (0.0045, 0.0045), light.white * 0.9, (0.02, 0.1))
    elif painter.recipe.weather is Weather.RAIN:
        _falling(painter, 2.0, 260, (0.0008, 0.028), light.white, (0.06, 0.9))
    elif painter.recipe.weather is Weather.PETALS:
        _falling(painter, 1.8, 60, (0.0045, 0.003), mix(light.lamp, light.white, 0.4), (0.035, 0.05))


def _falling(
    painter: Painter, distance: float, count: int, size: tuple[float, float], colour: Array, speed: tuple[float, float]
) -> None:
    """Lays ``count`` drops or flakes on paper whose edges fit together."""
    wide, high, random = round(painter.half * 2.2 * painter.height), round(1.15 * painter.height), painter.random()
    sheet = Sheet(0, 0, wide / painter.height, high / painter.height, painter.height)
    pen = Pen(sheet)
    slant = speed[0] / speed[1] * size[1]
    for _ in range(count):
        x, y, grown = random.uniform(0, sheet.right), random.uniform(0, sheet.bottom), random.uniform(0.5, 1.2)
        solid = random.uniform(0.25, 0.7)
        for right in (0, -sheet.right):
            for down in (0, -sheet.bottom):
                _drop(pen, x + right, y + down, size[0] * grown, size[1] * grown, slant, solid)
    alpha = pen.shapes()[0]
    layer = Layer(pack(colour + 0 * alpha, alpha, 0), (0, 0), painter.height, distance, Life(fall=speed))
    painter.things.append(layer)


def _drop(pen: Pen, x: float, y: float, across: float, high: float, slant: float, solid: float) -> None:
    if high > across * 3:
        pen.stroke([(x, y), (x + 2 * slant, y + 2 * high)], across * 2, across * 2, solid=solid)
    else:
        angles = np.linspace(0, 2 * np.pi, 10)
        pen.polygon(zip(x + across * (1 + np.cos(angles)), y + high * (1 + np.sin(angles)), strict=True), solid=solid)
