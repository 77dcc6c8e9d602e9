"""The copy of a site sends mail, calls webhooks and shops, runs cron, writes to production: nothing of that leaves it, and production does all of it."""

from __future__ import annotations

import hashlib
import re
import socketserver
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest

from tests.pipeline import Site

pytestmark = pytest.mark.root

WAYS = ("wp_remote_post", "curl", "curl-without-a-proxy", "fsockopen", "stream_socket_client", "file_get_contents")
MAILS = ("wp_mail", "mail")
# Whose copy it is, the plugin knows by its database; each try is noted in a file, so that silence is not idleness.
TALKER = r"""<?php
function talk( $when ) {
	global $wpdb;
	$who  = $wpdb->get_var( 'SELECT DATABASE()' );
	$sink = 'http://@SINK@';
	$curl = function ( $path, $options = array() ) use ( $sink ) {
		$handle = curl_init( $sink . $path );
		curl_setopt_array( $handle, $options + array( CURLOPT_TIMEOUT => 3, CURLOPT_RETURNTRANSFER => true ) );
		return curl_exec( $handle );
	};
	$socket = function ( $stream, $path ) {
		if ( $stream ) { fwrite( $stream, "GET $path HTTP/1.0\r\n\r\n" ); fread( $stream, 100 ); fclose( $stream ); }
	};
	$ways = array(
		'wp_remote_post' => fn( $path ) => wp_remote_post( $sink . $path, array( 'timeout' => 3 ) ),
		'curl' => $curl,
		'curl-without-a-proxy' => fn( $path ) => $curl( $path, array( CURLOPT_PROXY => '', CURLOPT_NOPROXY => '*' ) ),
		'fsockopen' => fn( $path ) => $socket( @fsockopen( '@HOST@', @PORT@, $number, $text, 3 ), $path ),
		'stream_socket_client' => fn( $path ) => $socket( @stream_socket_client( 'tcp://@SINK@', $number, $text, 3 ), $path ),
		'file_get_contents' => fn( $path ) => @file_get_contents( $sink . $path ),
		'wp_mail' => fn( $path ) => wp_mail( 'customer@example.test', "talk $path", 'text' ),
		'mail' => fn( $path ) => @mail( 'customer@example.test', "talk $path", 'text' ),
	);
	if ( PHP_SAPI === 'cli' ) {
		// While releases are asked for, curl has a network, and docs/pipeline.md says that this way stays open then.
		unset( $ways['curl-without-a-proxy'] );
	}
	foreach ( $ways as $name => $way ) {
		$way( "/$who/$when/$name" );
		file_put_contents( "/tmp/talker-$who", "$when/" . PHP_SAPI . "/$name\n", FILE_APPEND );
	}
}
add_action( 'talk_later', fn() => talk( 'cron' ) );
add_action( 'init', function () {
	if ( ! wp_next_scheduled( 'talk_later' ) ) { wp_schedule_single_event( time() - 60, 'talk_later' ); }
	if ( ! wp_doing_cron() ) { talk( 'request' ); }
} );
"""

# Each line: by which PHP, how, and whether it was done. A new file beside a picture is the copy's own.
WRITER = r"""<?php
if ( defined( 'UPKEEP_STAGING' ) ) {
	$by_link = WP_CONTENT_DIR . '/@PICTURE@';
	foreach ( array( 'by its path' => '@ROOT@/wp-content/@PICTURE@', 'through a link' => $by_link, 'code' => '@ROOT@/wp-config.php' ) as $how => $path ) {
		$done = @file_put_contents( $path, 'x', FILE_APPEND ) || @chmod( $path, 0600 ) || @touch( $path ) || @unlink( realpath( $path ) );
		file_put_contents( '/tmp/talker-writes', PHP_SAPI . " $how " . ( $done ? 'done' : 'refused' ) . "\n", FILE_APPEND );
	}
	$own  = $by_link . uniqid( getmypid() ) . '.jpg';
	$read = md5_file( $by_link ) . ' ' . ( file_put_contents( $own, 'x' ) && unlink( $own ) ? 'own' : 'none' );
	file_put_contents( '/tmp/talker-writes', PHP_SAPI . " reads $read\n", FILE_APPEND );
}
"""


class Sink(socketserver.ThreadingTCPServer):
    """Somebody out in the world who writes down what he is asked."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: str) -> None:
        self.heard: set[str] = set()
        super().__init__((address, 0), Ear)


class Ear(socketserver.StreamRequestHandler):
    """Take one request."""

    def handle(self) -> None:
        words = self.rfile.readline().decode(errors="replace").split()
        assert isinstance(self.server, Sink)
        self.server.heard.add(words[1] if len(words) > 1 else "a connection without a word")
        self.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")


@contextmanager
def talking(site: Site) -> Iterator[Sink]:
    """Let the site talk to somebody out in the world while the block lasts."""
    host = site.host.instance.controller_address
    with Sink(host) as sink:
        Thread(target=sink.serve_forever, daemon=True).start()
        port = str(sink.server_address[1])
        text = TALKER.replace("@SINK@", f"{host}:{port}").replace("@HOST@", host).replace("@PORT@", port)
        site.put_file("wp-content/mu-plugins/talker.php", text)
        try:
            yield sink
        finally:
            sink.shutdown()


@pytest.mark.parametrize("means", ["no network", "PHP's settings"])
def test_clone_talks_to_the_world(site: Site, means: str) -> None:
    if means != "no network":
        # Over the network the copy's database could not be reached without one.
        config = (site.root / "wp-config.php").read_text(encoding="utf-8")
        password = config.partition("'DB_PASSWORD', '")[2].partition("'")[0]
        site.host.sql(f"CREATE OR REPLACE USER shop@'127.0.0.1' IDENTIFIED BY '{password}'")
        for name in ("shop", "shop_staging"):
            site.host.sql(f"GRANT ALL ON {name}.* TO shop@'127.0.0.1'")
        site.put_file("wp-config.php", re.sub(r"('DB_HOST', )'[^']*'", r"\1'127.0.0.1'", config))
    site.offer(lab_alpha="1.1")
    picture = min((site.root / "wp-content/uploads").rglob("*.jpg"))
    inside = str(picture.relative_to(site.root / "wp-content"))
    site.put_file(
        "wp-content/mu-plugins/writer.php", WRITER.replace("@ROOT@", site.host.root).replace("@PICTURE@", inside)
    )
    looked_at = (picture, site.root / "wp-config.php")
    before = [
        (path.read_bytes(), path.stat()[:3], path.stat().st_mtime_ns, path.stat().st_ctime_ns) for path in looked_at
    ]
    site.host.run(["sh", "-c", "rm -f /tmp/talker-* /var/log/mail-sink/*"], check=True)
    with talking(site) as sink:
        steps = site.run("preflight", "stage", "rehearse", "release")
        # WordPress starts it once in a minute only, and lets the visitor go before it does the work.
        site.host.sql("DELETE FROM wp_options WHERE option_name = '_transient_doing_cron'")
        assert site.host.fetch("/wp-cron.php?doing_wp_cron").status == 200
        until = time.monotonic() + 20
        while f"talk /shop/cron/{MAILS[-1]}" not in " ".join(site.host.mails()) and time.monotonic() < until:
            time.sleep(0.2)

    assert steps["rehearse"].delivered == ["lab-alpha"], steps["rehearse"].evidence
    assert steps["stage"].evidence["silence"]["kept_by"] == means
    # The copy has pictures, beside which it writes its own, and nothing in it writes to production's.
    assert steps["stage"].evidence["silence"]["production"] == "read only"
    assert steps["stage"].evidence["clone"]["linked"] == len(
        [path for path in (site.root / "wp-content/uploads").rglob("*") if path.suffix in (".jpg", ".png", ".webp")]
    )
    writes = set(site.host.run(["cat", "/tmp/talker-writes"], check=True).stdout.splitlines())
    refused = {
        f"{sapi} {how} refused" for sapi in ("cli-server", "cli") for how in ("by its path", "through a link", "code")
    }
    digest = hashlib.md5(before[0][0], usedforsecurity=False).hexdigest()
    assert writes == refused | {f"{sapi} reads {digest} own" for sapi in ("cli-server", "cli")}
    after = [
        (path.read_bytes(), path.stat()[:3], path.stat().st_mtime_ns, path.stat().st_ctime_ns) for path in looked_at
    ]
    assert after == before
    heard, mails = sorted(sink.heard), " ".join(site.host.mails())
    # Production talks in every way, by request and by cron: so it is heard that the copy does not.
    for when in ("request", "cron"):
        assert {f"/shop/{when}/{way}" for way in WAYS} <= set(heard)
        assert all(f"talk /shop/{when}/{way}" in mails for way in MAILS), mails[-2000:]
    assert [each for each in heard if not each.startswith("/shop/")] == []
    assert "shop_staging" not in mails
    # The copy has tried: in its server and on the command line, but never by cron.
    tried = site.host.run(["cat", "/tmp/talker-shop_staging"], check=True).stdout.splitlines()
    ways = {f"request/{sapi}/{way}" for sapi in ("cli-server", "cli") for way in (*WAYS, *MAILS)}
    assert ways - {"request/cli/curl-without-a-proxy"} == set(tried)
