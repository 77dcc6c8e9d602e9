"""A look after an update beside two before it: JavaScript's errors, forms, links, pictures; each as a decision with reasons."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.probe.look import Judged, Look, judge, percent
from tests.unit.probe.test_pictures import CAROUSEL, FORM, drawn

ORDER = ("the form to /order/", "the field email of the form to /order/", "the button of the form to /order/")
PAGE = Look(
    "front page",
    200,
    drawn((FORM, "navy")),
    parts=(*ORDER, "the button Menu"),
    links=("/", "/cart/"),
)
RED, GREEN, BLUE = (drawn((CAROUSEL, colour), (FORM, "navy")) for colour in ("red", "green", "blue"))


def judged(after: Look, first: Look = PAGE, second: Look | None = None, threshold: float = 0.01) -> Judged:
    return judge(first, second or first, after, threshold)


def test_a_page_that_is_as_before_has_nothing_against_it():
    seen = judged(PAGE)
    assert (seen.objections, seen.notes, seen.verdict) == ((), (), "same")


ROWS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    # name: what is different afterwards, objections
    "error": ({"errors": ("ReferenceError: x is not defined",)}, ("JavaScript: ReferenceError: x is not defined",)),
    "form": ({"parts": ("the button Menu",)}, ("the form to /order/ is gone",)),
    "field": ({"parts": (ORDER[0], ORDER[2], "the button Menu")}, ("the field email of the form to /order/ is gone",)),
    "button": ({"parts": ORDER}, ("the button Menu is gone",)),
    "link": ({"links": ("/",)}, ("the link to /cart/ is gone",)),
    "more-than-before": ({"parts": (*PAGE.parts, "the form to /news/"), "links": (*PAGE.links, "/new/")}, ()),
    "status": ({"status": 404}, ("status 404, and 200 before",)),
    "picture": ({"picture": drawn()}, ("6.7 % of the picture is different, and 1 % may be",)),
    "not-seen": ({"error": "the browser saw nothing: Timeout"}, ("the browser saw nothing: Timeout",)),
}


@pytest.mark.parametrize("name", ROWS)
def test_what_is_different_afterwards(name):
    after, objections = ROWS[name]
    seen = judged(replace(PAGE, **after))
    assert seen.objections == tuple(f"front page: {each}" for each in objections)
    assert seen.verdict == ("look" if objections else "same")


def test_an_error_that_was_there_before_is_not_blamed_on_the_update():
    before = replace(PAGE, errors=("GET /a.js?ver=1.0 failed at line 10",))
    after = replace(PAGE, errors=("GET /a.js?ver=1.1 failed at line 22", "GET /a.js?ver=1.1 failed at line 22"))
    assert judged(after, before).objections == ()
    # One look before is enough: not every error comes each time.
    assert judged(after, PAGE, before).objections == ()


def test_one_of_two_forms_to_the_same_address_is_missed():
    twice = replace(PAGE, parts=(*ORDER, *ORDER))
    assert judged(replace(PAGE, parts=ORDER), twice).objections == ("front page: the form to /order/ is gone",)


def test_what_moves_by_itself_is_unstable_and_not_broken():
    seen = judged(replace(PAGE, picture=BLUE), replace(PAGE, picture=RED), replace(PAGE, picture=GREEN))
    assert (seen.objections, seen.verdict) == ((), "unstable")
    assert seen.notes == ("24 % of the page changes by itself and is left out",)


def test_a_form_that_is_gone_is_missed_on_a_page_that_is_all_movement():
    everything = (0, 0, 320, 480)
    red, green, blue = (replace(PAGE, picture=drawn((everything, colour))) for colour in ("red", "green", "blue"))
    seen = judged(blue, red, green)
    assert (seen.objections, seen.comparison.judged, seen.verdict) == ((), False, "unstable")
    assert seen.notes == ("100 % of the page changes by itself, so its picture is not judged",)
    lost = judged(replace(blue, parts=(), errors=("boom",)), red, green)
    assert lost.objections == (
        "front page: JavaScript: boom",
        "front page: the button Menu is gone",
        "front page: the form to /order/ is gone",
    )


def test_links_that_change_by_themselves_are_only_noted():
    one, other = replace(PAGE, links=("/", "/a/", "/b/")), replace(PAGE, links=("/", "/a/", "/c/"))
    seen = judged(replace(PAGE, links=("/", "/d/")), one, other)
    assert (seen.objections, seen.notes) == ((), ("links change by themselves; gone: /a/",))


def test_what_any_of_the_three_pictures_masks_is_left_out():
    assert judged(replace(PAGE, picture=drawn(), masks=(FORM,))).objections == ()


def test_the_threshold_is_the_contracts():
    gone = replace(PAGE, picture=drawn())
    assert judged(gone, threshold=0.06).objections
    assert not judged(gone, threshold=0.07).objections


def test_a_page_full_of_errors_is_told_in_a_few_words():
    told = judged(replace(PAGE, errors=tuple(f"oh {chr(97 + n)}" for n in range(9)))).objections
    assert len(told) == 6
    assert told[-1] == "front page: and 4 more"


@pytest.mark.parametrize(("share", "words"), [(0.01, "1 %"), (0.5, "50 %"), (0.0123, "1.2 %"), (0.00002, "0.002 %")])
def test_a_share_in_words(share, words):
    assert percent(share) == words
