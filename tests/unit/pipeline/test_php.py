"""PHP of our own, run by a real PHP: it must be sound, read every wp-config.php, and keep a frozen site closed."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import pytest

from plugins.module_utils import baseline, command, freeze, freeze_php, staging, staging_php, wordpress, wordpress_php
from plugins.module_utils import silence as silence_module
from plugins.module_utils.database import Database
from plugins.module_utils.silence import Silence
from plugins.module_utils.staging import Staging, StagingError
from plugins.module_utils.wordpress import WordPressError

from .sites import RUN, site_at

PHP = shutil.which("php")
pytestmark = pytest.mark.skipif(PHP is None, reason="php is not installed")

TEXTS = {
    "PROGRAM": wordpress_php.PROGRAM,
    "STAGING": staging_php.STAGING,
    "ROUTER": staging_php.ROUTER,
    "MAINTENANCE": freeze_php.MAINTENANCE,
    "ONE_TIME": freeze_php.ONE_TIME % {"seal": "0" * 64},
}
LOAD = "require_once ABSPATH . 'wp-settings.php';\n"
ACCOUNT = """define('DB_NAME', 'shop');
define('DB_USER', 'owner');
define('DB_PASSWORD', 's3cret');
define('DB_HOST', 'localhost');
$table_prefix = 'wp_';
if (!defined('ABSPATH')) { define('ABSPATH', __DIR__ . '/'); }
"""


@pytest.mark.parametrize("name", TEXTS)
def test_every_text_is_php(name: str, tmp_path: Path) -> None:
    (tmp_path / "x.php").write_text(TEXTS[name], encoding="utf-8")
    done = subprocess.run(["php", "-l", str(tmp_path / "x.php")], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


# ---- wp-config.php ------------------------------------------------------------------------------------------------------


def configured(folder: Path, text: str, place: str = "htdocs/wp-config.php") -> wordpress.Configuration:
    """Read a site whose configuration has this text."""
    (folder / "htdocs").mkdir(exist_ok=True)
    (folder / "work").mkdir(exist_ok=True)
    (folder / "htdocs/wp-settings.php").write_text(
        "<?php throw new Exception('WordPress was loaded');", encoding="utf-8"
    )
    (folder / place).write_text(text, encoding="utf-8")
    return wordpress.configuration(site_at(folder), str(folder / "work"))


@pytest.mark.parametrize(
    "text",
    [
        "<?php\n" + ACCOUNT + LOAD,
        "<?php\n" + ACCOUNT + "require_once(ABSPATH . 'wp-settings.php');",
        "<?php\n" + ACCOUNT + 'include ABSPATH . "wp-settings.php"; ?>\n',
        "<?php\n" + ACCOUNT + "if (file_exists(ABSPATH . 'wp-settings.php')) require ABSPATH . 'wp-settings.php';\n",
        "<?php\n" + ACCOUNT + "/** Loads it. */ require_once ABSPATH . 'wp-settings.php'; // done\n",
        "<?php\n" + ACCOUNT + "require_once(\n    ABSPATH\n    . 'wp-settings.php'\n);\n",
        # What comes after it calls functions of WordPress, which are not there.
        "<?php\n" + ACCOUNT + LOAD + "add_filter('xmlrpc_enabled', '__return_false');\n",
        "<?php " + ACCOUNT.replace("\n", " ") + LOAD,
        "\ufeff<?php\n" + ACCOUNT + LOAD,
        "<?php\r\n" + ACCOUNT.replace("\n", "\r\n") + LOAD,
        "<?php\ndeclare(strict_types=1);\n" + ACCOUNT + LOAD,
        "<?php\necho 'junk'; print \"\\nUPKEEP-ANSWER:{}\\n\";\n" + ACCOUNT + LOAD,
        "<?php\nob_start(); ob_end_flush();\n" + ACCOUNT + LOAD,
        "<?php\ntrigger_error('careful', E_USER_WARNING); echo $undefined;\n" + ACCOUNT + LOAD,
        "<?php\nif ($_SERVER['HTTP_HOST'] !== 'shop.example.test') { die('no'); }\n" + ACCOUNT + LOAD,
        "<?php\n$name = basename(__FILE__); if ($name !== 'wp-config.php') { die($name); }\n" + ACCOUNT + LOAD,
        "<?php\nfunction secret() { return 's3cret'; }\n" + ACCOUNT.replace("'s3cret'", "secret()") + LOAD,
    ],
)  # fmt: skip
def test_a_configuration_is_read_without_loading_wordpress(tmp_path: Path, text: str) -> None:
    found = configured(tmp_path, text)

    assert (found.credentials.name, found.credentials.user, found.credentials.password) == ("shop", "owner", "s3cret")
    assert (found.prefix, found.multisite, found.debug_log, found.plugins) == ("wp_", False, "", "")
    assert found.content == str(tmp_path / "htdocs/wp-content")
    assert found.path == str(tmp_path / "htdocs/wp-config.php")


@pytest.mark.parametrize(
    "password",
    ["", " ", "'", '"', "\\", "a\\nb", "a#b;c", "pässwörd", "日本語", "$(id)`id`", "\n", "%s", "{{ x }}", "0", "💥"],
)
def test_any_password_is_read_as_it_is(tmp_path: Path, password: str) -> None:
    quoted = password.replace("\\", "\\\\").replace("'", "\\'")
    found = configured(tmp_path, "<?php\n" + ACCOUNT.replace("s3cret", quoted) + LOAD)

    assert found.credentials.password == password


def test_a_password_that_is_a_number_is_a_text(tmp_path: Path) -> None:
    found = configured(tmp_path, "<?php\n" + ACCOUNT.replace("'s3cret'", "12345") + LOAD)

    assert found.credentials.password == "12345"


def test_a_configuration_may_lie_one_level_above(tmp_path: Path) -> None:
    text = "<?php\n" + ACCOUNT.replace("s3cret", "' . basename(__DIR__) . '") + LOAD
    found = configured(tmp_path, text, "wp-config.php")

    assert found.path == str(tmp_path / "wp-config.php")
    assert found.credentials.password == tmp_path.name


def test_a_configuration_may_include_another(tmp_path: Path) -> None:
    (tmp_path / "secrets.php").write_text("<?php\n" + ACCOUNT, encoding="utf-8")
    found = configured(tmp_path, "<?php\nrequire_once __DIR__ . '/../secrets.php';\n" + LOAD)

    assert found.credentials.password == "s3cret"


@pytest.mark.parametrize(
    ("more", "content", "plugins", "log"),
    [
        ("", "{root}/wp-content", "", ""),
        ("define('WP_CONTENT_DIR', '/srv/content/');", "/srv/content", "", ""),
        ("define('WP_CONTENT_DIR', __DIR__ . '/app');", "{root}/app", "", ""),
        ("define('WP_PLUGIN_DIR', '/srv/x/../plugins');", "{root}/wp-content", "/srv/plugins", ""),
        # WordPress writes a log of its own only with WP_DEBUG; PHP's is the one to look at otherwise.
        ("define('WP_DEBUG', false); define('WP_DEBUG_LOG', true);", "{root}/wp-content", "", ""),
        ("define('WP_DEBUG', true); define('WP_DEBUG_LOG', true);", "{root}/wp-content", "", "{root}/wp-content/debug.log"),
        ("define('WP_DEBUG', true); define('WP_DEBUG_LOG', 'true');", "{root}/wp-content", "", "{root}/wp-content/debug.log"),
        ("define('WP_DEBUG', true); define('WP_DEBUG_LOG', '/var/log/x.log');", "{root}/wp-content", "", "/var/log/x.log"),
        ("define('WP_DEBUG', true); define('WP_DEBUG_LOG', 'x.log');", "{root}/wp-content", "", ""),
        ("define('WP_DEBUG', true);", "{root}/wp-content", "", ""),
    ],
)  # fmt: skip
def test_folders_and_logs_that_a_configuration_names(
    tmp_path: Path, more: str, content: str, plugins: str, log: str
) -> None:
    found = configured(tmp_path, f"<?php\n{more}\n{ACCOUNT}{LOAD}")
    root = str(tmp_path / "htdocs")

    assert (found.content, found.plugins, found.debug_log) == (
        content.format(root=root),
        plugins,
        log.format(root=root),
    )


def test_prefix_and_network_are_read(tmp_path: Path) -> None:
    found = configured(
        tmp_path, "<?php\n" + ACCOUNT.replace("'wp_'", "'Blog-7_'") + "define('MULTISITE', true);\n" + LOAD
    )

    assert (found.prefix, found.multisite) == ("Blog-7_", True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<?php\n" + LOAD, "wp-config.php names no database"),
        ("<?php\ndie('maintenance');\n" + ACCOUNT, "PHP was ended while running wp-config.php"),
        ("<?php\ndefine('DB_PASSWORD', 's3cret'\n" + ACCOUNT, "wp-config.php cannot be run: ParseError in line 3"),
        ("<?php\nmissing('s3cret');\n" + ACCOUNT, "wp-config.php cannot be run: Error in line 2"),
        ("<?php\nrequire 's3cret.php';\n" + ACCOUNT, "WordPress failed at 'configuration'"),
    ],
)
def test_a_configuration_that_cannot_be_read_is_an_error_without_its_secrets(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(WordPressError) as failure:
        configured(tmp_path, text)

    assert said in str(failure.value)
    assert "'s3cret'" not in str(failure.value)


def test_a_site_without_a_configuration_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(WordPressError, match=r"wp-config\.php cannot be read"):
        configured(tmp_path, "<?php\n", "other.php")


# ---- the freeze ---------------------------------------------------------------------------------------------------------


@dataclass
class Frozen:
    """A tree with a page in it that loads `.maintenance` first, as WordPress does, behind PHP's own web server."""

    root: Path
    port: int

    def get(self, **headers: str) -> tuple[int, dict[str, str], str]:
        """Ask for the page."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("GET", "/index.php", headers=headers)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()
        finally:
            connection.close()

    def command_line(self, **environment: str) -> tuple[int, str]:
        """Run the page on the command line."""
        done = subprocess.run(
            ["php", str(self.root / "index.php")], capture_output=True, text=True, check=False,
            env={"PATH": os.environ["PATH"], **environment},
        )  # fmt: skip
        return done.returncode, done.stdout


# wp_is_maintenance_mode(), in short.
PAGE = """<?php
if (file_exists(__DIR__ . '/.maintenance')) {
    require __DIR__ . '/.maintenance';
    if (time() - $upgrading < 600) { http_response_code(503); echo 'maintenance of WordPress itself'; exit; }
    if (isset($upkeep_token) || isset($upkeep_seal)) { echo 'LEAK'; }
}
echo 'the site';
"""


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


@pytest.fixture
def frozen(tmp_path: Path) -> Iterator[Frozen]:
    """Return a small site, not frozen yet."""
    (tmp_path / "index.php").write_text(PAGE, encoding="utf-8")
    site = Frozen(tmp_path, free_port())
    with subprocess.Popen(
        ["php", "-S", f"127.0.0.1:{site.port}", "-t", str(tmp_path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError):
                site.get()
                break
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield site
        server.kill()


def test_a_frozen_site_is_closed_and_says_when_to_come_back(frozen: Frozen) -> None:
    assert frozen.get()[0] == 200
    freeze.freeze(str(frozen.root), freeze.new_token())
    status, headers, body = frozen.get()

    assert status == 503
    assert int(headers["retry-after"]) > 0
    # A visitor is brought to the page that he wanted.
    assert int(headers["refresh"]) > 0
    assert headers["cache-control"] == "no-store"
    assert body.endswith("</html>")
    assert "the site" not in body
    assert frozen.command_line() == (75, "")


def test_only_the_token_of_this_freeze_passes(frozen: Frozen) -> None:
    token = freeze.new_token()
    freeze.freeze(str(frozen.root), token)

    assert frozen.get(**{"X-Upkeep-Token": token})[::2] == (200, "the site")
    assert frozen.command_line(UPKEEP_TOKEN=token) == (0, "the site")
    for wrong in ("", "x", token[:-1], token + "x", freeze.new_token(), hashlib.sha256(token.encode()).hexdigest()):
        assert frozen.get(**{"X-Upkeep-Token": wrong})[0] == 503
        assert frozen.command_line(UPKEEP_TOKEN=wrong)[0] == 75


def test_a_new_freeze_does_not_know_the_old_token(frozen: Frozen) -> None:
    old, new = freeze.new_token(), freeze.new_token()
    freeze.freeze(str(frozen.root), old)
    freeze.freeze(str(frozen.root), new)

    assert frozen.get(**{"X-Upkeep-Token": old})[0] == 503
    assert frozen.get(**{"X-Upkeep-Token": new})[0] == 200


@pytest.mark.parametrize("seal", [None, "", " ", "\n"])
def test_without_a_seal_the_site_is_closed_to_everybody(frozen: Frozen, seal: str | None) -> None:
    freeze.freeze(str(frozen.root), "token")
    if seal is None:
        (frozen.root / freeze.SEAL).unlink()
    else:
        (frozen.root / freeze.SEAL).write_text(seal, encoding="ascii")

    assert frozen.get(**{"X-Upkeep-Token": "token"})[0] == 503
    assert frozen.get(**{"X-Upkeep-Token": ""})[0] == 503
    assert frozen.command_line(UPKEEP_TOKEN="token")[0] == 75


def test_thawing_opens_the_site_and_leaves_nothing(frozen: Frozen) -> None:
    freeze.freeze(str(frozen.root), "token")
    assert freeze.is_frozen(str(frozen.root))

    assert freeze.thaw(str(frozen.root))
    assert frozen.get()[::2] == (200, "the site")
    assert [path.name for path in frozen.root.iterdir()] == ["index.php"]
    assert not freeze.thaw(str(frozen.root))


def test_wordpresss_own_marker_is_not_taken_for_ours(tmp_path: Path) -> None:
    (tmp_path / freeze.MARKER).write_text("<?php $upgrading = 1; ?>", encoding="ascii")

    assert not freeze.is_frozen(str(tmp_path))
    assert not freeze.thaw(str(tmp_path))
    assert (tmp_path / freeze.MARKER).exists()


def test_what_a_killed_module_left_in_the_document_root_is_swept_away(tmp_path: Path) -> None:
    ours = [
        "upkeep-0123456789abcdef.php",
        "upkeep-0123456789abcdef.php.upkeep-tmp",
        ".maintenance.upkeep-tmp",
        ".upkeep-freeze",
    ]
    theirs = ["upkeep-notes.php", "upkeep-0123456789abcdef.php.bak", ".maintenance", "index.php"]
    for name in [*ours, *theirs]:
        (tmp_path / name).touch()

    assert freeze.sweep(str(tmp_path)) == sorted(ours)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(theirs)
    freeze.freeze(str(tmp_path), "token")
    assert freeze.sweep(str(tmp_path)) == []


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"opcache": False, "may_reset": False, "validate_timestamps": False, "revalidate_freq": 60}, ""),
        ({"opcache": True, "may_reset": True, "validate_timestamps": False, "revalidate_freq": 60}, ""),
        ({"opcache": True, "may_reset": False, "validate_timestamps": True, "revalidate_freq": 2}, ""),
        (
            {"opcache": True, "may_reset": False, "validate_timestamps": False, "revalidate_freq": 2},
            "checks no timestamps",
        ),
        ({"opcache": True, "may_reset": False, "validate_timestamps": True, "revalidate_freq": 60}, "every 60 s only"),
    ],
)
def test_an_opcode_cache_that_would_serve_old_code_is_known_before(said: dict[str, object], reason: str) -> None:
    assert bool(reason) == bool(freeze.stale_opcodes(said))
    assert reason in freeze.stale_opcodes(said)


def test_a_multisite_network_is_refused_and_nothing_else_is_wrong_with_it(tmp_path: Path) -> None:
    taken = {
        "web_server": {"opcache": False, "may_reset": True, "validate_timestamps": True, "revalidate_freq": 2},
        "headroom": {"free": 1, "needed": 0},
    }
    for more, refused in (
        ("", []),
        ("define('MULTISITE', true);", ["it is a multisite network, which this version does not update"]),
    ):
        configured(tmp_path, f"<?php\n{ACCOUNT}{more}\n{LOAD}")
        site = site_at(tmp_path)
        os.makedirs(site.run_folder(RUN), exist_ok=True)
        assert baseline.refusals(site, RUN, taken) == refused


# ---- the staging server -------------------------------------------------------------------------------------------------


@pytest.fixture
def copy(tmp_path: Path) -> Staging:
    """Return a staging copy of a site with one page, and no database."""
    site = site_at(tmp_path, staging={"port": free_port(), "database": "shop_staging"})
    folder = Path(site.run_folder(RUN), "staging")
    (folder / "htdocs").mkdir(parents=True)
    (folder / "htdocs/index.php").write_text(
        "<?php echo json_encode([DB_NAME, WP_CONTENT_DIR, getenv('http_proxy'), ini_get('allow_url_fopen'),"
        " $_SERVER['SCRIPT_NAME'], getmypid()]);",
        encoding="utf-8",
    )
    (folder / "htdocs/style.css").write_text("body {}", encoding="utf-8")
    (folder / "prepend.php").write_text(staging_php.STAGING, encoding="utf-8")
    (folder / "router.php").write_text(staging_php.ROUTER, encoding="utf-8")
    database = Database("shop_staging", "/x.cnf", "mariadb", "mariadb-dump")
    return Staging(site, str(folder), str(folder / "htdocs"), str(folder / "base"), database)


@pytest.mark.parametrize("name", ["shop", "SHOP"])
def test_productions_own_database_is_no_staging_database(tmp_path: Path, name: str) -> None:
    """What is opened as staging is emptied sooner or later."""
    site = site_at(tmp_path, staging={"port": 8081, "database": name})
    with pytest.raises(StagingError, match="is production's own database shop: refused"):
        staging.opened_staging(site, RUN, configured(tmp_path, "<?php\n" + ACCOUNT + LOAD))


def asked(copy: Staging, path: str) -> tuple[int, str]:
    """Ask the staging server."""
    connection = http.client.HTTPConnection("127.0.0.1", copy.site.staging_port, timeout=20)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def processes(copy: Staging) -> list[int]:
    """Return the processes of the staging server, workers included."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if staging.router(copy.folder).encode() in path.read_bytes():
                found.append(int(path.parent.name))
    return found


def test_the_copy_is_served_with_another_database_and_no_way_out(copy: Staging) -> None:
    with copy.served():
        status, body = asked(copy, "/a/page/?x=1")
        name, content, proxy, fopen, script, _ = json.loads(body)

        assert status == 200
        assert (name, content) == ("shop_staging", f"{copy.root}/wp-content")
        assert (proxy, fopen, script) == (staging.NOWHERE, "0", "/index.php")
        assert asked(copy, "/style.css") == (200, "body {}")
        assert asked(copy, "/../router.php")[0] == 400
        assert asked(copy, "/%2e%2e/router.php")[0] == 400
        assert len(processes(copy)) > 1
    assert processes(copy) == []


def test_a_server_that_a_killed_module_left_is_stopped_with_its_workers(copy: Staging) -> None:
    left = copy.served()
    left.__enter__()
    os.kill(min(processes(copy)), signal.SIGKILL)
    assert processes(copy) != []

    with copy.served():
        assert asked(copy, "/style.css") == (200, "body {}")
    assert processes(copy) == []
    left.__exit__(None, None, None)


def test_a_port_that_somebody_else_has_is_refused(copy: Staging) -> None:
    """His pages would be taken for ours: whatever stands there answers at once, and PHP gives up later."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", copy.site.staging_port))
        other.listen()
        said = f"cannot be served on port {copy.site.staging_port}: is the port taken"
        with pytest.raises(StagingError, match=said), copy.served():
            pytest.fail("served")
    assert processes(copy) == []


def test_an_error_while_it_is_served_ends_the_server(copy: Staging) -> None:
    with pytest.raises(ZeroDivisionError), copy.served():
        raise ZeroDivisionError
    assert processes(copy) == []


WAYS_OUT = r"""<?php
[$port, $told] = [(int) $_GET['port'], []];
$ways = [
    'fsockopen' => fn() => fsockopen('127.0.0.1', $port, $number, $text, 2),
    'stream_socket_client' => fn() => stream_socket_client("tcp://127.0.0.1:$port", $number, $text, 2),
    'curl' => fn() => curl_exec(curl_init("http://127.0.0.1:$port/")),
    'curl without a proxy' => function () use ($port) {
        $handle = curl_init("http://127.0.0.1:$port/");
        curl_setopt_array($handle, [CURLOPT_PROXY => '', CURLOPT_NOPROXY => '*', CURLOPT_TIMEOUT => 2, CURLOPT_RETURNTRANSFER => true]);
        return curl_exec($handle);
    },
    'file_get_contents' => fn() => file_get_contents("http://127.0.0.1:$port/"),
];
foreach ($ways as $name => $way) { $told[$name] = (bool) @$way(); }
echo json_encode($told);
"""


@pytest.mark.parametrize("silence", [Silence(), Silence(by_socket=False, disabled="passthru")], ids=["alone", "PHP"])
def test_a_copy_reaches_nobody_and_no_way_out_is_fatal(copy: Staging, silence: Silence) -> None:
    if silence.by_socket:
        assert silence.evidence() == {"kept_by": "no network", "production": "by its modes alone"}
    Path(copy.root, "index.php").write_text(WAYS_OUT, encoding="utf-8")
    with socket.socket() as sink:
        sink.bind(("127.0.0.1", 0))
        sink.listen()
        sink.settimeout(0)
        with replace(copy, silence=silence).served():
            status, body = asked(copy, f"/?port={sink.getsockname()[1]}")
        assert status == 200, body
        assert len(json.loads(body)) == 5
        assert not any(json.loads(body).values()), body
        with pytest.raises(BlockingIOError):
            sink.accept()


WRITES = r"""<?php
$told = [];
foreach (json_decode($_GET['paths']) as $path) {
    $told[] = @file_put_contents($path, 'written by the copy') || @chmod($path, 0600) || @touch($path) || @unlink(realpath($path));
}
$told[] = (bool) @file_put_contents(__DIR__ . '/own.txt', 'its own') && unlink(__DIR__ . '/a.jpg');
exec('echo more >>' . escapeshellarg(json_decode($_GET['paths'])[0]), $lines, $code);
echo json_encode([...$told, $code === 0]);
"""


@pytest.mark.parametrize("silence", [Silence(), Silence(by_socket=False)], ids=["alone", "with a network"])
def test_nothing_that_runs_in_the_copy_writes_into_production(copy: Staging, silence: Silence) -> None:
    production, root = Path(copy.site.root), Path(copy.root)
    production.mkdir()
    (production / "a.jpg").write_text("a picture")
    (root / "a.jpg").symlink_to(production / "a.jpg")
    (root / "b.jpg").symlink_to(production / "a.jpg")
    (root / "index.php").write_text(WRITES, encoding="utf-8")
    before = os.lstat(production / "a.jpg")
    assert silence_module.possible(str(production), network=not silence.by_socket)
    kept = replace(silence, read_only=str(production))
    with replace(copy, silence=kept).served():
        paths = [
            str(production / "a.jpg"),
            str(root / "b.jpg"),
            "../../../../htdocs/a.jpg",
            f"/proc/self/root{production}/a.jpg",
        ]
        assert asked(copy, "/a.jpg") == (200, "a picture")
        status, body = asked(copy, "/?paths=" + quote(json.dumps(paths)))
    assert (status, json.loads(body)) == (200, [False, False, False, False, True, False])

    # As on a host where programs start in the site's own folder.
    with contextlib.chdir(production):
        done = command.run(["sh", "-c", "echo more >>a.jpg"], timeout=20, begin=kept.begin(), check=False)
        assert "Read-only file system" in done.err

    after = os.lstat(production / "a.jpg")
    assert (production / "a.jpg").read_text() == "a picture"
    assert (before.st_mode, before.st_mtime_ns, before.st_ctime_ns) == (
        after.st_mode,
        after.st_mtime_ns,
        after.st_ctime_ns,
    )
    assert [path.name for path in production.iterdir()] == ["a.jpg"]


def test_what_is_mounted_below_production_can_only_be_read_either(tmp_path: Path) -> None:
    """A namespace of one's own may not take away what a mount forbids already, such as programs with their owner's rights."""
    (tmp_path / "site/a b").mkdir(parents=True)
    script = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parents[3])!r})
from plugins.module_utils import silence
silence.withdraw({str(tmp_path / "site")!r})
flags = os.statvfs({str(tmp_path / "site/a b")!r}).f_flag
print(bool(flags & os.ST_RDONLY), bool(flags & os.ST_NOSUID), bool(flags & os.ST_NOEXEC))
"""
    mounted = f"mount -t tmpfs -o nosuid,noexec none '{tmp_path}/site/a b' && exec python3 -c \"$1\""
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mounted, "sh", script],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "True True True\n", done.stderr


def test_where_production_cannot_be_protected_pictures_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = site_at(tmp_path)
    Path(site.root).mkdir()
    assert silence_module.possible(site.root, network=True)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert (staging.protected(site), staging.why_copied(site)) == (site.root, "")

    # Its own folder would be read-only, too.
    (tmp_path / "htdocs/.upkeep").mkdir()
    (tmp_path / ".upkeep").symlink_to(tmp_path / "htdocs/.upkeep")
    assert staging.protected(site) == ""

    (tmp_path / ".upkeep").unlink()
    monkeypatch.setattr(silence_module, "possible", lambda *_, **__: False)
    assert staging.protected(site) == ""
    assert staging.why_copied(site) == "the kernel does not let production be read-only for the copy"
    # A copy that leads there already is never tried without.
    (tmp_path / "copied.json").write_text(json.dumps({"links": True}))
    assert staging.protected(site, str(tmp_path)) == site.root
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert staging.why_copied(site) == "it is root who makes the copy"


def test_php_may_ask_for_releases_and_for_nothing_else() -> None:
    without_curl = Silence(by_socket=False, disabled="exec, passthru", curl=False)
    assert without_curl.settings(asking=True) == ["-d", "disable_functions=exec,passthru"]
    (_, closed) = Silence().settings(asking=True)
    assert "fsockopen" in closed
    assert "curl_exec" not in closed
    assert without_curl.evidence()["because"] == "the database is reached over the network"
