"""What a contract may say of a browser's look, and what follows for the roles."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.contract.model import Pictures
from orchestrator.plan.explain import explain
from orchestrator.plan.variables import place_variables
from tests.unit.contract.samples import UPDATE, changed, contract_with, mistakes_of, mistakes_with, written

PICTURES = (*UPDATE, "pictures")


def test_without_the_key_no_role_hears_of_pictures() -> None:
    contract = contract_with()
    assert contract.scope.update is not None
    assert contract.scope.update.pictures is None
    assert [name for name in place_variables(contract, "shop") if name.endswith("_pictures")] == []


def test_an_empty_wish_is_every_page_with_what_is_usual() -> None:
    contract = contract_with(PICTURES, {})
    assert contract.scope.update is not None
    assert contract.scope.update.pictures == Pictures((), 0.01, (), 1280)
    variables = place_variables(contract, "shop")
    assert variables["site_staging_pictures"] == variables["cms_update_pictures"] == {
        "pages": [{"name": "front page", "path": "/"}, {"name": "a post", "path": "/lab-post-1/"}],
        "threshold": 0.01,
        "masks": [],
        "width": 1280,
    }  # fmt: skip
    assert "looked at with a browser" in explain(contract).duties[1].words


def test_some_pages_of_the_kinds_that_a_browser_can_show() -> None:
    functions = [
        {"name": "front page", "path": "/"},
        {"name": "gone", "path": "/gone/", "status": 410},
        {"name": "news", "kind": "feed"},
        {"name": "bread", "kind": "search", "path": "/?s=bread", "text": ["3.20 EUR"]},
        {"name": "login", "kind": "login"},
    ]
    data = changed(("sites", "shop", "functions"), functions)

    def pages(wish: dict[str, Any]) -> list[str]:
        told: Any = place_variables(contract_with(PICTURES, wish, data), "shop").get(
            "cms_update_pictures", {"pages": []}
        )
        return [page["name"] for page in told["pages"]]

    assert pages({}) == ["front page", "bread", "login"]
    assert pages({"of": ["login", "front page"]}) == ["front page", "login"]
    for name in ("gone", "news"):
        (mistake,) = mistakes_of(written(changed(PICTURES, {"of": [name]}, data)))
        assert mistake.path == "scope.update.pictures.of[1]"
        assert "is no function that is a page. Allowed: all, or 'front page', 'bread' or 'login'." in mistake.message


@pytest.mark.parametrize(
    ("wish", "path", "words"),
    [
        ({"of": "some"}, "of", "'all'"),
        ({"of": ["frontpage"]}, "of[1]", "Did you mean 'front page'?"),
        ({"of": ["a post", "a post"]}, "of[2]", "stands here twice"),
        ({"threshold": 0}, "threshold", "0.0001"),
        ({"threshold": 1}, "threshold", "0.5"),
        ({"masks": ["div > p"]}, "masks[1]", "nothing else of CSS"),
        ({"masks": ["a[href='x']"]}, "masks[1]", "nothing else of CSS"),
        ({"width": 100}, "width", "320"),
        ({"widht": 800}, "widht", "Did you mean 'width'?"),
    ],
)
def test_a_wish_that_makes_no_sense_is_refused(wish: dict[str, Any], path: str, words: str) -> None:
    (mistake,) = mistakes_with(PICTURES, wish)
    assert mistake.path == f"scope.update.pictures.{path}"
    assert words in mistake.message
