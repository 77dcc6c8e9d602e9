"""The updater reports success though nothing changed [wp-cli extension-command 90, 291]: what is on disk decides."""

from __future__ import annotations

import pytest

from tests.pipeline import WHOLE, Site

pytestmark = pytest.mark.root

# It gives WordPress's upgrader the files that are installed already. The upgrader is content.
MEDDLER = """<?php
add_filter( 'upgrader_source_selection', function ( $source ) {
    if ( false !== strpos( $source, 'lab-beta' ) ) { copy( WP_PLUGIN_DIR . '/lab-beta/lab-beta.php', $source . 'lab-beta.php' ); }
    return $source;
} );
"""


def test_updater_says_success(site: Site) -> None:
    site.put_file("wp-content/mu-plugins/meddler.php", MEDDLER)
    site.offer(newspack_blocks="4.33.0+old-header", lab_alpha="1.1", lab_beta="1.1")

    steps = site.run(*WHOLE)

    rehearsed, promoted = steps["rehearse"], steps["promote"]
    assert rehearsed.delivered == ["lab-alpha"]
    assert sorted(rehearsed.held) == ["lab-beta", "newspack-blocks"]
    assert "2.0.0, not 4.33.0" in rehearsed.held["newspack-blocks"]
    assert "WordPress ended the update, but 1.0 is there" in rehearsed.held["lab-beta"]
    assert promoted.outcome == "done", promoted.message
    assert promoted.delivered == ["lab-alpha"]
    observed = {file.split("/")[0]: plugin["version"] for file, plugin in promoted.evidence["after"]["plugins"].items()}
    versions = {slug: observed[slug] for slug in ("lab-alpha", "lab-beta", "newspack-blocks")}
    assert versions == {"lab-alpha": "1.1", "lab-beta": "1.0", "newspack-blocks": "2.0.0"}
    assert [site.version(slug) for slug in versions] == list(versions.values())
    site.serves("1.0")
    site.tidy()
