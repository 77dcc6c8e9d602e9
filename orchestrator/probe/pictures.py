"""Hold pictures of one page side by side: what moves by itself, and what an update changed beside that.

Pictures go in and out as the bytes of PNG files. Needs Pillow, which only contracts with pictures need.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO

from PIL import Image, ImageChops, ImageDraw

# So much may a colour differ, of 255, without being another one: edges of letters are drawn a little differently at times.
TOLERANCE = 16
# What moves is looked at in squares of so many pixels: a carousel's pictures do not differ in every pixel.
SQUARE = 16
# A page of which more moves than this share has no picture that could be judged.
TOO_UNSTABLE = 0.5

Box = tuple[int, int, int, int]
"""Left, top, right, bottom, in pixels; right and bottom are the first that do not belong to it."""


@dataclass(frozen=True)
class Comparison:
    """What two pictures of the same version, and one of the updated page, say. Shares are parts of 1."""

    unstable: float
    """How much of the page differed between the two pictures before."""
    moving: tuple[Box, ...] = ()
    """Where it did."""
    changed: float = 0.0
    """How much of all that stood still and is not masked is different afterwards."""
    difference: bytes = b""
    """The picture afterwards, pale, with what is different in red and what was left out in blue; empty when nothing is."""

    @property
    def judged(self) -> bool:
        """Whether enough of the page stands still to say anything."""
        return self.unstable <= TOO_UNSTABLE


def moving_parts(first: bytes, second: bytes, masks: Iterable[Box] = ()) -> tuple[float, tuple[Box, ...]]:
    """Return how much of a page differs between two pictures of the same version, and where, masks left out."""
    one, other = _sized(_read(first), _read(second))
    left_out = _painted(one.size, masks)
    boxes = tuple(_regions(ImageChops.subtract(_different(one, other), left_out)))
    there = ImageChops.subtract(_painted(one.size, boxes), left_out)
    return _share(there, _count(ImageChops.invert(left_out))), boxes


def compare(first: bytes, second: bytes, after: bytes, masks: Sequence[Box] = ()) -> Comparison:
    """Compare the picture after an update with the first of two before it. What differs between those two is left out."""
    unstable, moving = moving_parts(first, second, masks)
    if unstable > TOO_UNSTABLE:
        return Comparison(unstable, moving)
    old, new = _sized(_read(first), _read(after))
    left_out = _painted(new.size, [*masks, *moving])
    changed = ImageChops.subtract(_different(old, new), left_out)
    share = _share(changed, _count(ImageChops.invert(left_out)))
    return Comparison(unstable, moving, share, _drawn(new, changed, left_out) if share else b"")


def _read(picture: bytes) -> Image.Image:
    return Image.open(BytesIO(picture), formats=("PNG",)).convert("RGB")


def _sized(one: Image.Image, other: Image.Image) -> tuple[Image.Image, Image.Image]:
    """Give both the size of the larger one. What a picture does not have differs from whatever the other has there."""
    width, height = max(one.width, other.width), max(one.height, other.height)
    return _on(one, (width, height), (255, 0, 255)), _on(other, (width, height), (0, 255, 0))


def _on(picture: Image.Image, size: tuple[int, int], colour: tuple[int, int, int]) -> Image.Image:
    if picture.size == size:
        return picture
    canvas = Image.new("RGB", size, colour)
    canvas.paste(picture)
    return canvas


def _different(one: Image.Image, other: Image.Image) -> Image.Image:
    """Return white where two pictures differ, black elsewhere."""
    red, green, blue = ImageChops.difference(one, other).split()
    most = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    return most.point([0] * (TOLERANCE + 1) + [255] * (255 - TOLERANCE))


def _painted(size: tuple[int, int], boxes: Iterable[Box]) -> Image.Image:
    """Return white where any of the boxes is, black elsewhere."""
    picture = Image.new("L", size, 0)
    draw = ImageDraw.Draw(picture)
    for left, top, right, bottom in boxes:
        if right > left and bottom > top:
            draw.rectangle((left, top, right - 1, bottom - 1), fill=255)
    return picture


def _count(white: Image.Image) -> int:
    return white.histogram()[255]


def _share(white: Image.Image, of: int) -> float:
    return _count(white) / of if of else 0.0


def _regions(white: Image.Image) -> Iterable[Box]:
    """Yield a box around each connected region of squares with anything white in them, one square wider all around."""
    squares = white.reduce(SQUARE)
    columns, rows = squares.size
    open_squares = {index for index, value in enumerate(squares.tobytes()) if value}
    while open_squares:
        waiting = [open_squares.pop()]
        left, top, right, bottom = columns, rows, 0, 0
        while waiting:
            row, column = divmod(waiting.pop(), columns)
            left, top, right, bottom = min(left, column), min(top, row), max(right, column), max(bottom, row)
            # Squares that touch at a corner, or with one between them, belong together: words have gaps.
            for y in range(max(0, row - 2), min(rows, row + 3)):
                for x in range(max(0, column - 2), min(columns, column + 3)):
                    if (near := y * columns + x) in open_squares:
                        open_squares.remove(near)
                        waiting.append(near)
        yield (
            max(0, left - 1) * SQUARE,
            max(0, top - 1) * SQUARE,
            min(white.width, (right + 2) * SQUARE),
            min(white.height, (bottom + 2) * SQUARE),
        )


def _drawn(after: Image.Image, changed: Image.Image, left_out: Image.Image) -> bytes:
    pale = Image.blend(after.convert("L").convert("RGB"), Image.new("RGB", after.size, "white"), 0.6)
    blue = Image.blend(pale, Image.new("RGB", after.size, (40, 90, 200)), 0.35)
    picture = Image.composite(blue, pale, left_out)
    picture.paste((220, 20, 20), mask=changed)
    file = BytesIO()
    picture.save(file, "PNG", optimize=False)
    return file.getvalue()
