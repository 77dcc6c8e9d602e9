"""Releases: which of them a contract takes, and what is refused of the packages that publishers serve."""

from __future__ import annotations

import hashlib
import http.server
import io
import os
import stat
import struct
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from plugins.module_utils import packages
from plugins.module_utils.packages import Change, PackageError
from plugins.module_utils.release_choice import NO_LICENCE, Terms, choose
from tests.unit.pipeline import choices
from tests.unit.pipeline.choices import TODAY

GOOD = {
    "good/good.php": b"<?php\n/*\n * Plugin Name: Good\n * Version: 2.0\n */\n",
    "good/inc/a.php": b"<?php\n",
    "good/readme.txt": b"words\n" * 50,
}
PLUGIN = Change("plugin", "good", "good/good.php", "1.0", "2.0", "http://downloads.example.test/good.zip")
THEME = Change("theme", "leaf", "", "1.0", "2.0", "")
CORE = Change("core", "wordpress", "", "6.2.6", "6.5.5", "")


def offer(kind: str = "plugin", slug: str = "good", to: str = "2.0", **changes: Any) -> dict[str, Any]:
    """Return an offer as our PHP tells it."""
    file = f"{slug}/{slug}.php" if kind == "plugin" else ""
    package = f"http://downloads.example.test/{slug}.{to}.zip"
    return {"kind": kind, "slug": slug, "file": file, "from": "1.0", "to": to, "package": package, **changes}


def core(to: str, now: str = "6.2.6", **changes: Any) -> dict[str, Any]:
    """Return an offer of WordPress itself."""
    return offer("core", "wordpress", to, **{"from": now, **changes})


ALL = {"core": "major", "plugins": "all", "themes": "all"}
ALL_TERMS = Terms(ALL, [], TODAY)


@pytest.mark.parametrize(
    ("offers", "policy", "holds", "taken", "reasons"),
    [
        ([], ALL, [], [], []),
        ([offer(), offer("theme", "leaf")], ALL, [], ["good", "leaf"], []),
        # What the contract takes.
        ([offer()], {**ALL, "plugins": "none"}, [], [], ["the contract does not list it under plugins"]),
        ([offer(), offer(slug="b")], {**ALL, "plugins": ["b"]}, [], ["b"], ["the contract does not list it under plugins"]),
        ([offer()], {**ALL, "plugins": []}, [], [], ["the contract does not list it under plugins"]),
        ([offer("theme", "leaf")], {**ALL, "themes": "none"}, [], [], ["the contract does not list it under themes"]),
        ([offer("theme", "good")], {**ALL, "plugins": ["good"], "themes": []}, [], [], ["the contract does not list it under themes"]),
        ([core("6.5.5")], {**ALL, "core": "none"}, [], [], ["the contract says core: none"]),
        ([core("6.5.5")], {**ALL, "core": "minor"}, [], [], ["the contract says core: minor, and this is another branch"]),
        ([core("6.2.8")], {**ALL, "core": "minor"}, [], ["wordpress"], []),
        ([core("6.20")], {**ALL, "core": "minor"}, [], [], ["the contract says core: minor, and this is another branch"]),
        # Holds name one version: the next one is free.
        ([offer()], ALL, [{"kind": "plugin", "slug": "good", "version": "2.0", "reason": "breaks"}], [], ["breaks"]),
        ([offer()], ALL, [{"kind": "plugin", "slug": "good", "version": "2.0"}], [], ["held"]),
        ([offer(to="2.1")], ALL, [{"kind": "plugin", "slug": "good", "version": "2.0"}], ["good"], []),
        ([offer("theme", "good")], ALL, [{"kind": "plugin", "slug": "good", "version": "2.0"}], ["good"], []),
        ([core("6.5.5"), core("6.2.8")], ALL, [{"kind": "core", "slug": "wordpress", "version": "6.5.5"}], ["wordpress"], ["held"]),
        # Minor: no new first number.
        ([offer(to="1.9")], {**ALL, "plugins": "minor"}, [], ["good"], []),
        ([offer()], {**ALL, "plugins": "minor"}, [], [], ["the contract says plugins: minor, and this has another first number"]),
        ([offer("theme", "leaf", "v2.0", **{"from": "V01.4"})], {**ALL, "themes": "minor"}, [], [], ["the contract says themes: minor, and this has another first number"]),
        ([offer("theme", "leaf", "v1.10", **{"from": "1.9"})], {**ALL, "themes": "minor"}, [], ["leaf"], []),
        # A hold counts on its last day, and no longer.
        ([offer()], ALL, [{"kind": "plugin", "slug": "good", "version": "2.0", "until": "2026-11-23"}], [], ["held (until 2026-11-23)"]),
        ([offer()], ALL, [{"kind": "plugin", "slug": "good", "version": "2.0", "until": "2026-11-22"}], ["good"], []),
        # All versions but one are held.
        ([offer()], ALL, [{"kind": "plugin", "slug": "good", "only": "1.5", "reason": "fits"}], [], ["only 1.5 is wanted: fits"]),
        ([offer(to="1.5")], ALL, [{"kind": "plugin", "slug": "good", "only": "1.5", "version": None}], ["good"], []),
        # A licence is missing.
        ([offer(package="")], ALL, [], [], [NO_LICENCE]),
        # Names that are paths, options or markup.
        *[
            ([offer(**{"slug": "good", **wrong})], ALL, [], [], ["its name or version is not one that a release has"])
            for wrong in (
                {"slug": "../../etc"}, {"slug": "a/b"}, {"slug": ""}, {"slug": "-rf"}, {"slug": ".."}, {"slug": "a" * 101},
                {"slug": "good\n"}, {"slug": "a..b"}, {"to": "../2"}, {"to": ""}, {"to": "2.0\n"}, {"to": "2 0"},
                {"to": "<b>"}, {"file": "../x.php"}, {"file": "/etc/x.php"}, {"file": "good/good.txt"}, {"file": ""},
                {"file": "good/../../x.php"}, {"file": "good/good.php\n"}, {"kind": "language"},
            )
        ],
    ],
)  # fmt: skip
def test_the_contract_decides_which_releases_are_taken(
    offers: list[dict[str, Any]],
    policy: dict[str, Any],
    holds: list[dict[str, str]],
    taken: list[str],
    reasons: list[str],
) -> None:
    assert choices.chosen(offers, policy, holds) == (taken, reasons)


@pytest.mark.parametrize(
    ("versions", "newest"),
    [
        (["6.2.8", "6.5.5", "6.4.1"], "6.5.5"),
        (["6.9", "6.10"], "6.10"),
        (["6.5", "6.5.1"], "6.5.1"),
        (["6.5", "6.5-RC1"], "6.5"),
        (["6.5-beta2", "6.5-RC1"], "6.5-beta2"),
        (["6.5.1", "6.6-RC1"], "6.6-RC1"),
    ],
)
def test_of_several_versions_of_the_core_the_newest_is_taken(versions: list[str], newest: str) -> None:
    for order in (versions, versions[::-1]):
        chosen, _ = choose([offer(), *(core(version) for version in order)], ALL_TERMS)
        assert [(change.kind, change.to) for change in chosen] == [("core", newest), ("plugin", "2.0")]


@pytest.mark.parametrize(
    ("first", "fast", "waits"),
    [
        (None, [], "waits until 2026-11-30: first seen on 2026-11-23, and the contract waits 7 days"),
        ("2026-11-17", [], "waits until 2026-11-24: first seen on 2026-11-17, and the contract waits 7 days"),
        ("2026-11-16", [], ""),
        (None, ["good"], ""),
        (None, ["other"], "waits until 2026-11-30: first seen on 2026-11-23, and the contract waits 7 days"),
    ],
)
def test_a_release_waits_until_it_has_been_on_offer_for_long_enough(
    first: str | None, fast: list[str], waits: str
) -> None:
    seen = [{"kind": "plugin", "slug": "good", "version": version, "day": first} for version in ("2.0",) if first]
    others = [
        {"kind": "plugin", "slug": "good", "version": "1.9", "day": "2026-01-01"},
        {"kind": "theme", "slug": "good", "version": "2.0", "day": "2026-01-01"},
    ]
    policy = {**ALL, "cool_down_days": 7, "fast_lane": fast}

    chosen, skipped = choose([offer()], Terms(policy, [], TODAY, others + seen))

    assert [change.slug for change in chosen] == ([] if waits else ["good"])
    assert [one["reason"] for one in skipped] == ([waits] if waits else [])


def test_the_fast_lane_brings_nothing_that_is_held() -> None:
    policy = {**ALL, "cool_down_days": 7, "fast_lane": ["good"]}
    chosen, skipped = choose([offer()], Terms(policy, [{"kind": "plugin", "slug": "good", "version": "2.0"}], TODAY))
    assert (chosen, [one["reason"] for one in skipped]) == ([], ["held"])


def test_a_person_lets_these_very_bytes_go_and_no_others() -> None:
    let_go = {"kind": "plugin", "slug": "good", "version": "2.0", "sha256": "ab"}
    terms = Terms(ALL, [], TODAY, released=[let_go])
    assert terms.cleared(replace(PLUGIN, sha256="ab"))
    assert not terms.cleared(replace(PLUGIN, sha256="cd"))
    assert not terms.cleared(replace(PLUGIN, sha256="ab", to="2.1"))


def test_a_missing_licence_is_a_duty_of_the_client() -> None:
    _, skipped = choose([offer(package=""), offer(slug="other")], ALL_TERMS)
    assert [(one["slug"], one["from"], one["duty_of"]) for one in skipped] == [("good", "1.0", "client")]
    _, skipped = choose([offer(package="")], Terms({**ALL, "plugins": "none"}, [], TODAY))
    assert "duty_of" not in skipped[0]


def test_a_change_survives_being_written_down() -> None:
    change = replace(PLUGIN, zip="/x.zip", sha256="ab", bytes=7)

    assert Change(**change.stored()) == change
    assert change.evidence() == {
        "kind": "plugin",
        "slug": "good",
        "from": "1.0",
        "to": "2.0",
        "sha256": "ab",
        "bytes": 7,
    }
    assert PLUGIN.evidence() == {"kind": "plugin", "slug": "good", "from": "1.0", "to": "2.0"}


# ---- what is in a package -----------------------------------------------------------------------------------------------


def packed(folder: Path, files: dict[str, bytes], change: Change = PLUGIN) -> Change:
    """Return a change whose package has these files."""
    with zipfile.ZipFile(folder / "package.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return replace(change, zip=str(folder / "package.zip"))


def test_a_sound_package_passes(tmp_path: Path) -> None:
    packages.inspect(packed(tmp_path, GOOD))
    packages.inspect(packed(tmp_path, {"leaf/style.css": b"/*\nTheme Name: Leaf\nVersion: 2.0\n*/"}, THEME))
    packages.inspect(packed(tmp_path, {"wordpress/wp-includes/version.php": b"<?php\n$wp_version = '6.5.5';\n"}, CORE))


def test_what_a_mac_adds_is_left_out_as_wordpress_does(tmp_path: Path) -> None:
    change = packed(tmp_path, {**GOOD, "__MACOSX/good/._good.php": b"\0"})
    packages.inspect(change)
    for name, content in GOOD.items():
        path = tmp_path / "wp-content/plugins" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    assert packages.differences(change, str(tmp_path)) == []


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({**GOOD, "good/../../evil.php": b"x"}, "a file outside of its folder good: 'good/../../evil.php'"),
        ({**GOOD, "../evil.php": b"x"}, "outside of its folder"),
        ({**GOOD, "/etc/cron.d/evil": b"x"}, "outside of its folder"),
        ({**GOOD, "good\\..\\evil.php": b"x"}, "outside of its folder"),
        ({**GOOD, "evil.php": b"x"}, "outside of its folder"),
        ({**GOOD, "goodness/evil.php": b"x"}, "outside of its folder"),
        ({name.replace("good/", "other/"): content for name, content in GOOD.items()}, "outside of its folder"),
        ({}, r"version \(none\), not 2.0"),
        ({"good/other.php": b"Version: 2.0"}, r"version \(none\), not 2.0"),
        ({**GOOD, "good/good.php": b"<?php\n// Version: 1.0\n"}, "version 1.0, not 2.0"),
        ({**GOOD, "good/good.php": b"<?php\n"}, r"version \(none\), not 2.0"),
        ({**GOOD, "good/good.php": b"<?php\n/* Version: 2.0.1 */"}, "version 2.0.1, not 2.0"),
    ],
)
def test_a_package_that_is_not_the_release_on_offer_is_refused(
    tmp_path: Path, files: dict[str, bytes], said: str
) -> None:
    with pytest.raises(PackageError, match=said):
        packages.inspect(packed(tmp_path, files))


def test_a_symbolic_link_in_a_package_is_refused(tmp_path: Path) -> None:
    change = packed(tmp_path, GOOD)
    with zipfile.ZipFile(change.zip, "a") as archive:
        member = zipfile.ZipInfo("good/uploads")
        member.create_system = 3
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(member, "/etc")

    with pytest.raises(PackageError, match="a symbolic link: 'good/uploads'"):
        packages.inspect(change)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "LARGEST_UNPACKED", 1000)
    with pytest.raises(PackageError, match="unpacks to more than 1000 bytes"):
        packages.inspect(packed(tmp_path, {**GOOD, "good/bomb": b"\0" * 2000}))

    monkeypatch.undo()
    monkeypatch.setattr(packages, "MOST_FILES", 4)
    with pytest.raises(PackageError, match="or 4 files"):
        packages.inspect(packed(tmp_path, {**GOOD, **{f"good/{number}": b"" for number in range(4)}}))


def test_a_bomb_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    change = packed(tmp_path, {**GOOD, "good/bomb": b"\0" * 5_000_000})
    data = Path(change.zip).read_bytes()
    Path(change.zip).write_bytes(data.replace(struct.pack("<L", 5_000_000), struct.pack("<L", 5)))

    with pytest.raises(PackageError, match=r"damaged at 'good/bomb'|not a sound archive"):
        packages.inspect(change)


@pytest.mark.parametrize("harm", ["cut", "flipped", "text", "empty", "gone", "password"])
def test_a_damaged_package_is_refused(tmp_path: Path, harm: str) -> None:
    change = packed(tmp_path, GOOD)
    path = Path(change.zip)
    data = path.read_bytes()
    at = data.index(b"good/readme.txt") + len("good/readme.txt")
    if harm == "gone":
        path.unlink()
    elif harm == "password":
        # The flag "encrypted" of every file, in its own header and in the list at the end.
        clear = data.replace(b"PK\x03\x04\x14\x00\x00", b"PK\x03\x04\x14\x00\x01")
        path.write_bytes(clear.replace(b"\x14\x03\x14\x00\x00", b"\x14\x03\x14\x00\x01"))
    else:
        path.write_bytes(
            {
                "cut": data[: len(data) // 2],
                "flipped": data[: at + 3] + bytes([data[at + 3] ^ 0xFF]) + data[at + 4 :],
                "text": b"<html>404</html>",
                "empty": b"",
            }[harm]
        )

    with pytest.raises(PackageError, match=r"is damaged at|is not a sound archive"):
        packages.inspect(change)


@pytest.mark.parametrize(
    ("change", "member", "path"),
    [
        (PLUGIN, "good/good.php", "wp-content/plugins/good/good.php"),
        (THEME, "leaf/style.css", "wp-content/themes/leaf/style.css"),
        (CORE, "wordpress/wp-login.php", "wp-login.php"),
        (CORE, "wordpress/wp-content/themes/x/style.css", ""),
        (CORE, "wordpress/wp-config-sample.php", ""),
    ],
)
def test_where_the_files_of_a_package_land(change: Change, member: str, path: str) -> None:
    assert packages.installed_path(change, member) == path


def test_files_that_differ_from_the_package_are_named(tmp_path: Path) -> None:
    """An updater that reports success is not believed (extension-command issue 90)."""
    change = packed(tmp_path, GOOD)
    place = tmp_path / "wp-content/plugins"
    for name, content in GOOD.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    assert packages.differences(change, str(tmp_path)) == []
    (place / "good/readme.txt").write_bytes(b"w0rds\n" * 50)
    (place / "good/inc/a.php").unlink()

    assert packages.differences(change, str(tmp_path)) == [
        "wp-content/plugins/good/inc/a.php is missing",
        "wp-content/plugins/good/readme.txt is other than in the package",
    ]


# ---- where packages come from -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "", "good.zip", "/etc/passwd", "file:///etc/passwd", "ftp://198.51.100.7/x.zip", "gopher://198.51.100.7/x",
        "http:///x.zip", "http://user@198.51.100.7/x.zip", "http://user:word@198.51.100.7/x.zip", "http://@198.51.100.7/x",
        "http://169.254.169.254/latest/meta-data/", "http://[fe80::1]/x.zip", "http://127.0.0.1/x.zip", "http://127.1/x.zip",
        "http://2130706433/x.zip", "http://0x7f.1/x.zip", "http://[::1]/x.zip", "http://[::ffff:127.0.0.1]/x.zip",
        "http://[::ffff:169.254.169.254]/x.zip", "http://0.0.0.0/x.zip", "http://224.0.0.1/x.zip", "http://localhost/x.zip",
        "http://198.51.100.7:port/x.zip", "http://198.51.100.7:99999/x.zip", "http://[::1/x.zip",
        "http://" + "a" * 70 + ".example/x.zip",
    ],
)  # fmt: skip
def test_an_address_that_no_publisher_has_is_refused(url: str) -> None:
    with pytest.raises(PackageError, match=r"refusing the package address|cannot be resolved"):
        packages.refuse_address(url)


@pytest.mark.parametrize(
    "url", ["http://198.51.100.7/x.zip", "https://198.51.100.7:8443/x.zip?token=1", "http://10.1.2.3/x"]
)
def test_the_address_of_a_publisher_is_let_through(url: str) -> None:
    packages.refuse_address(url)


@dataclass
class Publisher:
    """A publisher's server: what it does for each path."""

    port: int
    replies: dict[str, Callable[[http.server.BaseHTTPRequestHandler], None]] = field(default_factory=dict)

    def change(self, path: str) -> Change:
        """Return a change whose package is served at this path."""
        return replace(PLUGIN, package=f"http://127.0.0.1:{self.port}{path}")

    def serves(self, path: str, data: bytes, *, length: int | None = None, status: int = 200, **headers: str) -> None:
        """Answer with these bytes."""

        def reply(handler: http.server.BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            handler.send_header("Content-Length", str(len(data) if length is None else length))
            for name, value in headers.items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(data)

        self.replies[path] = reply


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    """Return a publisher; his address is on loopback, which only this test may use."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.replies[self.path](self)

        def log_message(self, format: str, *words: object) -> None:
            """Say nothing."""

    refuse = packages.refuse_address
    monkeypatch.setattr(
        packages, "refuse_address", lambda url: None if f"127.0.0.1:{found.port}/" in url else refuse(url)
    )
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Publisher(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        server.shutdown()
        thread.join()


def test_a_package_is_known_by_its_checksum(publisher: Publisher, tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    publisher.serves("/good.zip", data)
    change = packages.download(publisher.change("/good.zip"), str(tmp_path / "packages"))

    assert Path(change.zip).read_bytes() == data
    assert (change.sha256, change.bytes) == (hashlib.sha256(data).hexdigest(), len(data))
    assert stat.S_IMODE(os.stat(tmp_path / "packages").st_mode) == 0o700


def test_a_package_that_breaks_off_is_not_had(publisher: Publisher, tmp_path: Path) -> None:
    """Held as a bad release, it would not be tried again at that version."""
    publisher.serves("/good.zip", b"x" * 1000, length=2000)

    with pytest.raises(PackageError, match=r"broke off after 1000 of 2000 bytes|cannot be had"):
        packages.download(publisher.change("/good.zip"), str(tmp_path))


def test_a_package_that_is_too_large_is_not_had(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "LARGEST_PACKAGE", 999)
    publisher.serves("/good.zip", b"x" * 1000)

    with pytest.raises(PackageError, match="larger than 999 bytes"):
        packages.download(publisher.change("/good.zip"), str(tmp_path))


def test_a_package_that_never_ends_is_not_waited_for(publisher: Publisher, tmp_path: Path) -> None:
    publisher.serves("/good.zip", b"x" * 1000)

    with pytest.raises(PackageError, match="did not come within 0 s"):
        packages.download(publisher.change("/good.zip"), str(tmp_path), timeout=0)


@pytest.mark.parametrize(
    "leads_to",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://127.0.0.1:1/x.zip",
        "file:///etc/passwd",
        "ftp://198.51.100.7/x",
    ],
)
def test_a_redirect_to_an_address_that_no_publisher_has_is_not_followed(
    publisher: Publisher, tmp_path: Path, leads_to: str
) -> None:
    publisher.serves("/good.zip", b"", status=302, Location=leads_to)

    with pytest.raises(PackageError, match=r"refusing the package address|cannot be had"):
        packages.download(publisher.change("/good.zip"), str(tmp_path))


def test_a_redirect_to_a_publisher_is_followed(publisher: Publisher, tmp_path: Path) -> None:
    publisher.serves("/good.zip", b"", status=302, Location="/moved.zip")
    publisher.serves("/moved.zip", b"data")

    assert packages.download(publisher.change("/good.zip"), str(tmp_path)).bytes == 4


@pytest.mark.parametrize("path", ["/a b.zip", "/%zz.zip", "/missing.zip", "/gr\u00fcn.zip"])
def test_an_address_that_gives_nothing_is_an_error_of_that_package_alone(
    publisher: Publisher, tmp_path: Path, path: str
) -> None:
    publisher.serves("/missing.zip", b"no", status=404)
    publisher.serves("/%zz.zip", b"no", status=400)

    with pytest.raises(PackageError, match="cannot be had"):
        packages.download(publisher.change(path), str(tmp_path))


def test_the_list_of_an_archive_may_be_a_lie(tmp_path: Path) -> None:
    """Two files of one name: what zipfile reads is not what another program unpacks, and that shows on disk."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in GOOD.items():
            archive.writestr(name, content)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("good/inc/a.php", b"<?php evil();")
    (tmp_path / "package.zip").write_bytes(buffer.getvalue())
    change = replace(PLUGIN, zip=str(tmp_path / "package.zip"))
    packages.inspect(change)
    for name, content in GOOD.items():
        path = tmp_path / "wp-content/plugins" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    assert packages.differences(change, str(tmp_path)) == [
        "wp-content/plugins/good/inc/a.php is other than in the package"
    ]
