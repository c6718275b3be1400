"""The race as a moving picture: every rival's way, frame by frame on one clock."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from rmsprop.errors import missing_extra
from rmsprop.race.plot import halo, landscape, new_figure, order, plain
from rmsprop.race.style import DASHES, LAND, Look, looks, near, shown_moments, verdict
from rmsprop.race.tournament import Race

_FRAMES = 72
# Of the land between two of its colours, and of each rival's colour on the way to white.
_SHADES, _BLENDS = 14, 8
# Milliseconds of a frame, of the first and of the last.
_EACH, _FIRST, _LAST = 80, 700, 2_500


def animate(race: Race, progress: Callable[[], object] = lambda: None, looked: Mapping[str, Look] | None = None) -> bytes:
    """Return the ways of the first runs as a GIF file's bytes; the clock runs faster later on.

    Args:
        race: the race.
        progress: called before each frame.
        looked: how each rival is drawn; by default as in the race's other pictures.

    Raises:
        MissingExtraError: matplotlib, or Pillow that comes with it, is not installed.
    """
    looked = looked or looks(race.entries)
    pictures = frames(race, progress, looked)
    palette = _palette(looked)
    reduced = [picture.quantize(palette=palette, dither=0) for picture in pictures]
    out = io.BytesIO()
    durations = [_FIRST, *[_EACH] * (len(reduced) - 2), _LAST] if len(reduced) > 1 else [_LAST]
    reduced[0].save(out, "GIF", save_all=True, append_images=reduced[1:], duration=durations, loop=0, optimize=False)
    return out.getvalue()


def frames(race: Race, progress: Callable[[], object] = lambda: None, looked: Mapping[str, Look] | None = None) -> list[Any]:
    """Return the pictures, as Pillow's images.

    Args:
        race: the race.
        progress: called before each of them.
        looked: how each rival is drawn.
    """
    try:
        from PIL import Image
    except ImportError:
        raise missing_extra("Pillow", "'rmsprop[race]'") from None
    figure = new_figure(7.2, 6.4, 100)
    ax = figure.add_axes((0.08, 0.075, 0.9, 0.83))
    landscape(ax, race)
    looked = looked or looks(race.entries)
    lines = []
    for entry in race.entries:
        look = looked[entry.rival.name]
        # A name may tell the learning rate already, where runs differ by it.
        name = entry.rival.name if ", lr " in entry.rival.name else f"{entry.rival.name}, lr {entry.lr:.2g}"
        label = plain(f"{name}: {verdict(entry)}")
        dash = DASHES[look.dash]
        (line,) = ax.plot([], [], dash, linewidth=look.width, color=look.color, zorder=order(entry.rival.name), animated=True)
        line.set_path_effects(halo(look.width) if dash == "-" else [])
        style: dict[str, Any] = {"color": look.color, "markersize": 9, "zorder": order(entry.rival.name) + 2}
        if look.marker != "x":
            style |= {"markeredgecolor": "white"}
        (head,) = ax.plot([], [], look.marker, animated=True, **style)
        ax.plot([], [], f"{dash}{look.marker}", color=look.color, linewidth=look.width, label=label)
        lines.append((entry, line, head))
    ax.legend(fontsize=8.5, loc="best", framealpha=0.9)
    clock = figure.text(0.98, 0.955, "", fontsize=13, weight="bold", ha="right", animated=True)
    figure.text(0.08, 0.955, plain(race.problem.name), fontsize=13, weight="bold")
    canvas = figure.canvas
    canvas.draw()
    still = canvas.copy_from_bbox(figure.bbox)
    pictures = []
    for moment in shown_moments(race, _FRAMES):
        progress()
        canvas.restore_region(still)
        for entry, line, head in lines:
            path = near(entry.path[: moment + 1], race.problem)
            line.set_data(*path.T)
            head.set_data(*path[-1:].T)
            ax.draw_artist(line)
        for _, _, head in lines:
            ax.draw_artist(head)
        clock.set_text(f"step {race.times[moment]:,}")
        figure.draw_artist(clock)
        pictures.append(Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy()))
    return pictures


def _palette(looked: Mapping[str, Look]) -> Any:
    """Return one palette for all frames, as a picture of Pillow's: made from the frames, it would flicker and merge the rivals."""
    from PIL import Image
    from PIL.ImageColor import getrgb

    land = [np.array(getrgb(color)[:3]) for color in LAND]
    colors = [low + (high - low) * k / _SHADES for low, high in pairwise(land) for k in range(_SHADES)]
    colors += [np.full(3, 255 * k // _SHADES) for k in range(_SHADES + 1)]
    for look in looked.values():
        pure = np.array(getrgb(look.color)[:3])
        # A line is blended with the white around it, and that with the land.
        colors += [pure + (255 - pure) * k / _BLENDS for k in range(_BLENDS)]
    flat = np.array(colors[:256]).round().astype(np.uint8).ravel().tolist()
    picture = Image.new("P", (1, 1))
    picture.putpalette(flat + flat[:3] * (256 - len(flat) // 3))
    return picture
