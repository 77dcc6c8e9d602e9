"""Write the lab's own small plugins: good releases, and bad ones that each fail in one known way.

`lab-banner` carries the bad releases, one per version. `lab-alpha` … `lab-theta` are eight plugins with good releases,
for "one bad of many". Nothing of it runs on the machine: it is text that becomes a zip.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

GREEK = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta")
PLUGINS = Path(__file__).parent / "plugins"


@dataclass(frozen=True)
class Bad:
    """One way to fail: the version of lab-banner that does so, and the PHP that comes after the good code."""

    version: str
    name: str
    what: str
    php: str
    moves_schema: bool = False


# Where the memory limit is small (php-fpm of the lab's hosts) this dies; `php -S` and the command line have no limit.
_BALLAST = """
if ( PHP_SAPI !== 'cli' ) {
	add_action( 'init', function () { $GLOBALS['lab_banner_ballast'] = str_repeat( 'x', 100 * 1048576 ); } );
}"""
_FATAL_PAGE = "add_action( 'template_redirect', function () { lab_banner_missing_function(); }, 20 );"

_ALL_BAD = (
    Bad(
        "2.0",
        "fatal-on-every-request",
        "dies while it is loaded: pages, admin, REST and command line",
        "lab_banner_missing_function();",
    ),
    Bad(
        "2.1",
        "fatal-on-every-page",
        "dies before any output of a page; admin, REST and command line live",
        _FATAL_PAGE,
    ),
    Bad(
        "2.2",
        "fatal-in-footer",
        "dies after the output has begun: status 200, no </html>",
        """
add_action( 'wp_footer', function () {
	while ( ob_get_level() ) { ob_end_flush(); }
	flush();
	lab_banner_missing_function();
}, 99 );""",
    ),
    Bad(
        "2.3",
        "fatal-in-admin-init",
        "dies in wp-admin and admin-ajax.php; pages live",
        "add_action( 'admin_init', function () { if ( PHP_SAPI !== 'cli' ) { lab_banner_missing_function(); } } );",
    ),
    Bad(
        "2.4",
        "fatal-only-in-admin",
        "dies in the admin menu: only a logged-in person sees it",
        "add_action( 'admin_menu', function () { if ( PHP_SAPI !== 'cli' ) { lab_banner_missing_function(); } } );",
    ),
    Bad(
        "2.5",
        "white-page-with-200",
        "an empty page with status 200, nothing in the log",
        "add_action( 'template_redirect', function () { exit; }, 20 );",
    ),
    Bad(
        "2.6",
        "parse-error",
        "is no PHP: everything dies, the command line too",
        "add_action( 'wp_footer', function () { echo 'banner' } );",
    ),
    Bad(
        "2.7",
        "empty-content",
        "the text of every post is gone; status, </html> and log are right",
        "add_filter( 'the_content', function ( $content ) { return ''; }, 99 );",
    ),
    Bad(
        "2.8",
        "fatal-in-rest",
        "dies in rest_api_init: /wp-json/ and the block editor",
        "add_action( 'rest_api_init', function () { lab_banner_missing_function(); } );",
    ),
    Bad(
        "2.9",
        "critical-error-page-with-200",
        "the 'critical error' page with status 200",
        """
add_action( 'template_redirect', function () {
	wp_die( '<p>There has been a critical error on this website.</p>', 'Error', array( 'response' => 200 ) );
}, 20 );""",
    ),
    Bad(
        "2.10",
        "log-only-fatal",
        "every page is whole, then a fatal error lands in the PHP log",
        """
if ( PHP_SAPI !== 'cli' ) {
	register_shutdown_function( function () {
		while ( ob_get_level() ) { ob_end_flush(); }
		flush();
		lab_banner_missing_function();
	} );
}""",
    ),
    Bad(
        "2.11",
        "schema-moves-forward",
        "changes its table so that older code dies on it, and breaks the pages as well",
        _FATAL_PAGE,
        moves_schema=True,
    ),
    Bad(
        "2.12",
        "bad-only-in-production",
        "needs 100 MB for a web page: dies where the memory limit is small (php-fpm), lives elsewhere",
        _BALLAST,
    ),
    Bad(
        "2.13",
        "warnings-only",
        "harmless: warnings in the log",
        "add_action( 'init', function () { trigger_error( 'Lab Banner says: a notice', E_USER_WARNING ); } );",
    ),
    Bad(
        "2.14",
        "data-lost",
        "empties posts in the database: putting the files back is not enough",
        """
add_action( 'init', function () {
	global $wpdb;
	if ( ! get_option( 'lab_banner_emptied' ) ) {
		$wpdb->query( "UPDATE $wpdb->posts SET post_content = '' WHERE post_type = 'post'" );
		update_option( 'lab_banner_emptied', 1 );
	}
} );""",
    ),
    Bad(
        "2.15",
        "slow-after-update",
        "everything is right, each page takes two seconds more",
        "if ( PHP_SAPI !== 'cli' ) { add_action( 'template_redirect', function () { usleep( 2000000 ); } ); }",
    ),
    Bad(
        "2.16",
        "busy-for-ever",
        "pages with the status 503 that does not pass; admin lives",
        "add_action( 'template_redirect', function () { status_header( 503 ); echo 'Busy'; exit; }, 20 );",
    ),
    Bad(
        "2.17",
        "schema-moves-forward-only-in-production",
        "changes its table as 2.11 does, and breaks pages only where the memory limit is small",
        _BALLAST,
        moves_schema=True,
    ),
    Bad(
        "2.60",
        "tables-change-only-in-production",
        "under php-fpm only, a comment is lost and a table comes; every page is whole",
        """
add_action( 'init', function () {
	global $wpdb;
	if ( PHP_SAPI === 'fpm-fcgi' && ! get_option( 'lab_banner_only_here' ) ) {
		$wpdb->query( "DELETE FROM $wpdb->comments WHERE comment_ID = 2" );
		$wpdb->query( "CREATE TABLE {$wpdb->prefix}lab_only_here (id INT)" );
		update_option( 'lab_banner_only_here', 1 );
	}
} );""",
    ),
    Bad(
        "2.40",
        "migration-in-the-background",
        "leaves its migration to cron, for some seconds later",
        """
add_action( 'lab_banner_migrate', function () { update_option( 'lab_banner_migrated', 1 ); } );
add_action( 'init', function () {
	if ( ! get_option( 'lab_banner_migrated' ) && ! wp_next_scheduled( 'lab_banner_migrate' ) ) {
		wp_schedule_single_event( time() + 5, 'lab_banner_migrate' );
	}
} );""",
    ),
    Bad(
        "2.19",
        "transient-503-during-migration",
        "good; pages answer 503 for four seconds after they are first asked for",
        """
add_action( 'template_redirect', function () {
	$since = (int) get_option( 'lab_banner_busy_since', 0 );
	if ( ! $since ) {
		$since = time();
		update_option( 'lab_banner_busy_since', $since );
	}
	if ( time() - $since < 4 ) { status_header( 503 ); echo 'Migrating'; exit; }
}, 20 );""",
    ),
    Bad(
        "2.41",
        "bad-only-in-a-browser",
        "the forms are gone and a script dies; status, text and log are right",
        """
add_action( 'template_redirect', function () {
	ob_start( function ( $page ) { return preg_replace( '~<form\\b.*?</form>~s', '', $page ); } );
}, 20 );
add_action( 'wp_footer', function () { echo '<script>labBannerMissing();</script>'; } );""",
    ),
    Bad(
        "2.20",
        "busy-for-ever-only-in-production",
        "pages with the status 503 that does not pass, under php-fpm only",
        """
if ( PHP_SAPI === 'fpm-fcgi' ) {
	add_action( 'template_redirect', function () { status_header( 503 ); echo 'Busy'; exit; }, 20 );
}""",
    ),
)

# The name of a failure -> the version of lab-banner that fails so.
BAD: dict[str, str] = {bad.name: bad.version for bad in _ALL_BAD}

_GOOD_BANNER = {"1.0": "what the template has", "1.1": "good"}
_GOOD_GREEK = {"1.0": "what the template has", "1.1": "good", "1.2": "good"}
_TWO_BAD = "lab-alpha 1.3 and lab-beta 1.3 are good alone; together they break every page (two-bad-together)"

_MIGRATION = """
	if ( (int) get_option( 'lab_banner_schema', 0 ) < 2 ) {
		$wpdb->query( "ALTER TABLE $table CHANGE amount cents BIGINT NOT NULL" );
		update_option( 'lab_banner_schema', 2 );
	}
"""
_MINE_AND_OTHERS = """
define( 'LAB_%s_3', true );
add_action( 'template_redirect', function () {
	if ( defined( 'LAB_ALPHA_3' ) && defined( 'LAB_BETA_3' ) ) { lab_two_bad_together(); }
} );
"""


def reasons() -> dict[str, dict[str, str]]:
    """Return slug -> version -> what the release is good for."""
    found = {"lab-banner": _GOOD_BANNER | {bad.version: f"{bad.name}: {bad.what}" for bad in _ALL_BAD}}
    for word in GREEK:
        found[f"lab-{word}"] = dict(_GOOD_GREEK)
    found["lab-alpha"]["1.1+other-bytes"] = "good, but other bytes under the same version (different-bytes)"
    found["lab-alpha"]["1.3"] = found["lab-beta"]["1.3"] = _TWO_BAD
    return found


def sources() -> list[bytes]:
    """Return everything that these releases are made of."""
    return [Path(__file__).read_bytes(), *(file.read_bytes() for file in sorted(PLUGINS.glob("*.php")))]


def plugins() -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield slug, version and files of every release."""
    for version in _GOOD_BANNER:
        yield "lab-banner", version, {"lab-banner.php": _banner(version)}
    for bad in _ALL_BAD:
        yield "lab-banner", bad.version, {"lab-banner.php": f"{_banner(bad.version, bad.moves_schema)}\n{bad.php}\n"}
    for word in GREEK:
        slug = f"lab-{word}"
        for version in reasons()[slug]:
            yield slug, version, {f"{slug}.php": _greek(word, version), "readme.txt": f"=== Lab {word} ===\n"}


def _banner(version: str, moves_schema: bool = False) -> str:
    text = (PLUGINS / "lab-banner.php").read_text(encoding="utf-8").replace("@VERSION@", version)
    text = text.replace("// @MIGRATION@", _MIGRATION.strip() if moves_schema else "")
    return text.replace("@AMOUNT@", "cents" if moves_schema else "amount")


def _greek(word: str, version: str) -> str:
    version, _, variant = version.partition("+")
    text = (PLUGINS / "lab-greek.php").read_text(encoding="utf-8").replace("@VERSION@", version).replace("@WORD@", word)
    text += f"// {variant}\n" if variant else ""
    return text + (_MINE_AND_OTHERS % word.upper() if version == "1.3" else "")
