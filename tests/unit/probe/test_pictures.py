"""Pictures side by side, with drawn ones: what changed, what moves by itself, what is masked."""

from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from orchestrator.probe.pictures import SQUARE, TOLERANCE, Box, Comparison, compare, moving_parts

SIZE = (320, 480)
CAROUSEL = (32, 32, 288, 128)
FORM = (64, 256, 224, 320)


def drawn(*patches: tuple[Box, str], size: tuple[int, int] = SIZE) -> bytes:
    picture = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(picture)
    for (left, top, right, bottom), colour in patches:
        draw.rectangle((left, top, right - 1, bottom - 1), fill=colour)
    file = BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


WHOLE = area((0, 0, *SIZE))
STILL = drawn((FORM, "navy"))


def test_the_same_picture_three_times_has_no_difference():
    assert compare(STILL, STILL, STILL) == Comparison(0.0)


def test_the_share_that_changed_is_counted_in_pixels_and_drawn_in_red():
    seen = compare(STILL, STILL, drawn())
    assert seen.changed == area(FORM) / WHOLE
    picture = Image.open(BytesIO(seen.difference))
    assert picture.size == SIZE
    assert picture.getpixel((100, 300)) == (220, 20, 20)
    assert picture.getpixel((5, 5)) == (255, 255, 255)


def test_a_colour_that_differs_by_a_little_is_the_same_one():
    little, more = f"rgb({TOLERANCE},0,0)", f"rgb({TOLERANCE + 1},0,0)"
    black = drawn((FORM, "black"))
    assert compare(black, black, drawn((FORM, little))).changed == 0
    assert compare(black, black, drawn((FORM, more))).changed == area(FORM) / WHOLE


def test_what_differs_between_two_pictures_of_the_same_version_is_left_out():
    red, green, blue = (drawn((CAROUSEL, colour), (FORM, "navy")) for colour in ("red", "green", "blue"))
    seen = compare(red, green, blue)
    assert seen.judged
    assert seen.changed == 0
    # The whole of it, and one square around.
    assert seen.moving == ((CAROUSEL[0] - SQUARE, CAROUSEL[1] - SQUARE, CAROUSEL[2] + SQUARE, CAROUSEL[3] + SQUARE),)
    assert seen.unstable == area(seen.moving[0]) / WHOLE


def test_a_form_that_is_gone_is_seen_beside_what_moves():
    red, green = (drawn((CAROUSEL, colour), (FORM, "navy")) for colour in ("red", "green"))
    seen = compare(red, green, drawn((CAROUSEL, "blue")))
    left = WHOLE - area(seen.moving[0])
    assert seen.changed == area(FORM) / left


def test_corners_of_one_carousel_cover_all_of_it():
    top, bottom = (32, 32, 48, 48), (64, 64, 80, 80)
    _, moving = moving_parts(drawn((top, "red"), (bottom, "red")), drawn())
    assert moving == ((16, 16, 96, 96),)


def test_two_places_far_apart_are_two():
    _, moving = moving_parts(drawn(((0, 0, 8, 8), "red"), ((300, 460, 310, 470), "red")), drawn())
    assert sorted(moving) == [(0, 0, 32, 32), (272, 432, 320, 480)]


def test_what_the_contract_masks_is_left_out():
    seen = compare(STILL, STILL, drawn(), [FORM])
    assert (seen.changed, seen.difference) == (0, b"")
    half = (FORM[0], FORM[1], FORM[2], FORM[1] + 32)
    assert compare(STILL, STILL, drawn(), [half]).changed == (area(FORM) - area(half)) / (WHOLE - area(half))


def test_what_is_masked_does_not_make_a_page_unstable():
    red, green = (drawn((CAROUSEL, colour)) for colour in ("red", "green"))
    assert moving_parts(red, green, [CAROUSEL]) == (0.0, ())


def test_a_page_of_which_more_than_half_moves_is_not_judged():
    much = (0, 0, 320, 300)
    seen = compare(drawn((much, "red")), drawn((much, "green")), drawn((FORM, "navy")))
    assert not seen.judged
    assert (seen.changed, seen.difference) == (0.0, b"")


@pytest.mark.parametrize("height", [400, 560])
def test_a_page_that_is_shorter_or_longer_afterwards_differs_there(height):
    after = drawn(size=(320, height))
    tallest = max(480, height)
    assert compare(drawn(), drawn(), after).changed == abs(height - 480) / tallest


def test_what_is_no_png_is_not_opened():
    file = BytesIO()
    Image.new("RGB", (8, 8)).save(file, "GIF")
    with pytest.raises(OSError, match="cannot identify"):
        compare(STILL, STILL, file.getvalue())


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(0, 250), st.integers(0, 400), st.integers(1, 60), st.integers(1, 60)),
    st.sampled_from(["red", "lime", "black"]),
)
def test_wherever_something_moves_its_third_state_is_no_change(place, colour):
    left, top, width, height = place
    box = (left, top, left + width, top + height)
    seen = compare(drawn((FORM, "navy")), drawn((FORM, "navy"), (box, "orange")), drawn((FORM, "navy"), (box, colour)))
    assert seen.changed == 0
