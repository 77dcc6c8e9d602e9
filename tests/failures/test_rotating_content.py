"""What changes by itself between two pictures is unstable, not broken; a form that is gone is still missed, and an error too."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline import Site, Steps

pytestmark = pytest.mark.root

# Each time another colour: a part of the front page, and all of a post.
CAROUSEL = """<?php
add_action( 'wp_footer', function () {
	$page = 'lab_turn_' . md5( strtok( $_SERVER['REQUEST_URI'], '?' ) );
	$turn = (int) get_option( $page, 0 );
	update_option( $page, $turn + 1 );
	$colour = array( '#cc0000', '#00aa00', '#0000cc' )[ $turn % 3 ];
	echo is_single() ? "<style>body { background: $colour !important; }</style>"
		: "<div style='height: 200px; background: $colour'></div>";
} );
"""


def wants_pictures(site: Site) -> None:
    contract = site.shop.inventory / "contract.yml"
    text = contract.read_text(encoding="utf-8")
    promised = text.replace("    holds: []", "    pictures: {}\n    holds: []")
    assert promised != text
    contract.write_text(promised, encoding="utf-8")


def verdicts(steps: Steps) -> dict[str, str]:
    return {page["name"]: page["verdict"] for page in steps["rehearse"].evidence["pictures"]["pages"]}


def kept(folder: Path, pictures: dict[str, Any]) -> set[str]:
    """Assert that each file is what the evidence says, for its owner alone; return what they are."""
    told = [file for page in pictures["pages"] for file in page["files"]]
    for file in told:
        path = folder / file["file"]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == file["sha256"]
        assert (path.stat().st_size, stat.S_IMODE(path.stat().st_mode)) == (file["bytes"], 0o600)
    return {file["what"] for file in told}


def test_rotating_content(site: Site, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    wants_pictures(site)
    site.put_file("wp-content/mu-plugins/lab-carousel.php", CAROUSEL)
    site.offer(lab_banner="2.41")

    steps = site.run("preflight", "stage", "rehearse", "promote", upkeep_pictures_folder=str(folder))

    pictures = steps["rehearse"].evidence["pictures"]
    assert steps["rehearse"].outcome == "nothing-to-do", steps["rehearse"]
    assert verdicts(steps) == {"front page": "look", "a post": "look"}
    error = "JavaScript: ReferenceError: labBannerMissing is not defined"
    assert pictures["objections"] == [
        f"front page: {error}",
        f"a post: {error}",
        "a post: the form to /wp-comments-post.php is gone",
    ]
    front, post = pictures["pages"]
    assert front["notes"][0].endswith("of the page changes by itself and is left out")
    assert post["notes"][0].endswith("of the page changes by itself, so its picture is not judged")
    assert steps["rehearse"].held == {"lab-banner": f"A person should look: {'; '.join(pictures['objections'])}"}
    assert steps["promote"].outcome == "nothing-to-do"
    assert site.version() == "1.0"
    assert pictures["kept_by"] == "no network"
    shots = {f"{shot}, {what}" for shot in ("before", "again", "after") for what in ("picture", "response")}
    assert kept(folder, pictures) == {*shots, "difference"}

    site.offer(lab_alpha="1.1")
    steps = site.run("rehearse", "promote", "release", upkeep_pictures_folder=str(folder))

    assert steps["promote"].outcome == "done", steps
    assert verdicts(steps) == {"front page": "unstable", "a post": "unstable"}
    assert (site.version("lab-alpha"), site.version()) == ("1.1", "1.0")
    site.serves("1.0")
    site.tidy()
