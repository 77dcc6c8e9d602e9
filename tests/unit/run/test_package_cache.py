"""What WordPress.org delivers, through a real server in its place: fetched once, checked, and kept for some days."""

from __future__ import annotations

import hashlib
import io
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from orchestrator.run import package_cache
from orchestrator.run.host_code import packages
from orchestrator.run.package_cache import KEEP_SECONDS, NO_CHECKSUMS, PackageCache
from orchestrator.run.publisher import NOT_AGAIN_SECONDS, NotReached
from tests.archives import pack

from .publishers import Desk, served

PLUGIN = "plugin/forms.2.1.zip"
SUMS = "/plugin-checksums/forms/2.1.json"
FILES = {"forms/forms.php": b"<?php\n/* Version: 2.1 */\n", "forms/inc/a.php": b"<?php\n"}
CORE_FILES = {
    "wordpress/index.php": b"<?php\n",
    "wordpress/wp-includes/version.php": b"<?php\n$wp_version = '6.5.5';\n",
}


def packed(files: dict[str, bytes]) -> bytes:
    """Return an archive of these files."""
    buffer = io.BytesIO()
    pack(buffer, files)
    return buffer.getvalue()


def sums(files: dict[str, bytes]) -> bytes:
    """Return the publisher's list of these files."""
    listed = {name.partition("/")[2]: {"sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()}
    return json.dumps({"files": listed}).encode()


@dataclass
class Publisher:
    """WordPress.org: what it answers by path, or with which status it refuses; `asked` are the paths of all requests."""

    port: int = 0
    answers: dict[str, bytes | int | str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    seconds: float = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    """Return a publisher on loopback, which only this test may use."""
    found = Publisher()

    class ByPath(Desk):
        def do_GET(self) -> None:
            found.asked.append(self.path)
            time.sleep(found.seconds)
            answer = found.answers.get(self.path, 404)
            if isinstance(answer, str):
                self.say(302, b"", Location=answer)
            elif isinstance(answer, int):
                self.say(answer, b"")
            else:
                self.say(200, answer)

    with served(ByPath, monkeypatch) as found.port:
        yield found


@pytest.fixture
def cache(publisher: Publisher, tmp_path: Path) -> PackageCache:
    return PackageCache(tmp_path / "kept", publisher.address, publisher.address)


def test_a_release_is_fetched_once_and_known_by_its_checksum(publisher: Publisher, cache: PackageCache) -> None:
    data = publisher.answers["/" + PLUGIN] = packed(FILES)
    publisher.answers[SUMS] = sums(FILES)

    first, second = cache.get(PLUGIN), cache.get(PLUGIN)

    assert first == second
    assert (first.sha256, first.bytes) == (hashlib.sha256(data).hexdigest(), len(data))
    assert first.checked == "the publisher's checksums of 2 files"
    assert cache.file(first).read_bytes() == data
    assert publisher.asked == ["/" + PLUGIN, SUMS]


def test_several_hosts_at_once_lead_to_one_question(publisher: Publisher, cache: PackageCache) -> None:
    publisher.answers["/" + PLUGIN] = packed(FILES)
    publisher.seconds = 0.05

    threads = [threading.Thread(target=cache.get, args=(PLUGIN,)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert publisher.asked == ["/" + PLUGIN, SUMS]


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        ({**FILES, "forms/forms.php": b"<?php evil();"}, "forms.php is another file"),
        ({"forms/forms.php": FILES["forms/forms.php"]}, "inc/a.php is not in the list"),
    ],
)
def test_what_does_not_agree_with_the_publishers_checksums_is_not_kept(
    publisher: Publisher, cache: PackageCache, tmp_path: Path, listed: dict[str, bytes], said: str
) -> None:
    publisher.answers["/" + PLUGIN], publisher.answers[SUMS] = packed(FILES), sums(listed)

    with pytest.raises(packages.PackageError, match=f"does not agree with the publisher's checksums: {said}"):
        cache.get(PLUGIN)
    assert list((tmp_path / "kept").glob("*.zip")) == []


def test_a_list_that_cannot_be_asked_for_is_not_taken_for_none(publisher: Publisher, cache: PackageCache) -> None:
    publisher.answers["/" + PLUGIN], publisher.answers[SUMS] = packed(FILES), 503

    with pytest.raises(packages.PackageError, match="the publisher's checksums cannot be asked"):
        cache.get(PLUGIN)


def test_a_file_may_have_several_checksums(publisher: Publisher, cache: PackageCache) -> None:
    listed = json.loads(sums(FILES))
    listed["files"]["inc/a.php"]["sha256"] = ["0" * 64, listed["files"]["inc/a.php"]["sha256"]]
    publisher.answers["/" + PLUGIN], publisher.answers[SUMS] = packed(FILES), json.dumps(listed).encode()

    assert cache.get(PLUGIN).checked == "the publisher's checksums of 2 files"


def test_what_authors_change_without_a_new_version_is_let_through(publisher: Publisher, cache: PackageCache) -> None:
    """A readme for the newest WordPress, and the list's memory of a file that went (wp-cli/checksum-command 22, 46)."""
    publisher.answers["/" + PLUGIN] = packed({**FILES, "forms/README.txt": b"tested up to 6.6"})
    publisher.answers[SUMS] = sums({**FILES, "forms/README.txt": b"tested up to 6.5", "forms/gone.php": b""})

    assert cache.get(PLUGIN).checked == "the publisher's checksums of 2 files"


def test_a_release_without_a_list_is_looked_at_as_an_archive(publisher: Publisher, cache: PackageCache) -> None:
    publisher.answers["/theme/leaf.1.4.zip"] = packed({"leaf/style.css": b"x"})
    publisher.answers["/" + PLUGIN] = packed({**FILES, "forms/../../up.php": b""})

    assert cache.get("theme/leaf.1.4.zip").checked == NO_CHECKSUMS
    with pytest.raises(packages.PackageError, match="outside of its folder forms"):
        cache.get(PLUGIN)


@pytest.mark.parametrize(("path", "locale"), [("release/", "en_US"), ("release/de_DE/", "de_DE")])
def test_wordpress_itself_is_held_against_the_list_of_its_language(
    publisher: Publisher, cache: PackageCache, path: str, locale: str
) -> None:
    publisher.answers[f"/{path}wordpress-6.5.5.zip"] = packed(CORE_FILES)
    listed = {
        name.partition("/")[2]: hashlib.md5(data, usedforsecurity=False).hexdigest()
        for name, data in CORE_FILES.items()
    }
    asked = f"/core/checksums/1.0/?version=6.5.5&locale={locale}"
    publisher.answers[asked] = json.dumps({"checksums": listed}).encode()

    assert cache.get(f"{path}wordpress-6.5.5.zip").checked == "the publisher's checksums of 2 files"

    missing = {**listed, "wp-login.php": "0" * 32, "wp-content/plugins/hello.php": "0" * 32}
    publisher.answers[f"/{path}wordpress-6.5.3.zip"] = packed(CORE_FILES)
    publisher.answers[asked.replace("6.5.5", "6.5.3")] = json.dumps({"checksums": missing}).encode()
    with pytest.raises(packages.PackageError, match=r"checksums: wp-login\.php is missing$"):
        cache.get(f"{path}wordpress-6.5.3.zip")

    publisher.answers[f"/{path}wordpress-6.5.4.zip"] = packed(CORE_FILES)
    publisher.answers[asked.replace("6.5.5", "6.5.4")] = b'{"checksums": false}'
    assert cache.get(f"{path}wordpress-6.5.4.zip").checked == NO_CHECKSUMS


@pytest.mark.parametrize("answer", [403, 404, 503, "http://192.0.2.1/x.zip", "http://169.254.169.254/latest/"])
def test_what_the_publisher_does_not_give_us_the_host_may_ask_for(
    publisher: Publisher, cache: PackageCache, answer: int | str
) -> None:
    publisher.answers["/" + PLUGIN] = answer

    with pytest.raises(NotReached):
        cache.get(PLUGIN)
    assert publisher.asked == ["/" + PLUGIN]


@pytest.mark.parametrize(
    "path",
    [
        "", "forms.zip", "plugin/forms.zip", "plugin/../forms.2.1.zip", "plugin/forms.2.1.zip?x", "plugin//forms.2.1.zip",
        "http://192.0.2.1/plugin/forms.2.1.zip", "plugin/forms.2.1.zip#@192.0.2.1", "@192.0.2.1/plugin/forms.2.1.zip",
        "release/../wordpress-6.5.5.zip", "release/wordpress-6.5.5.tar.gz", "plugin/for%2Fms.2.1.zip", "plugin/forms.2..1.zip",
        "plugin/forms.2.1.zip\n", "translation/x.zip",
    ],
)  # fmt: skip
def test_nothing_is_asked_for_that_is_no_path_of_a_release(
    publisher: Publisher, cache: PackageCache, path: str
) -> None:
    with pytest.raises(packages.PackageError, match="no path of a release"):
        cache.get(path)
    assert publisher.asked == []


def test_what_is_damaged_or_old_here_is_fetched_again(
    publisher: Publisher, cache: PackageCache, tmp_path: Path
) -> None:
    publisher.answers["/" + PLUGIN] = packed(FILES)
    kept = cache.get(PLUGIN)
    cache.file(kept).write_bytes(b"somebody else's")

    assert cache.get(PLUGIN) == kept
    assert cache.file(kept).read_bytes() == publisher.answers["/" + PLUGIN]
    assert len(publisher.asked) == 4

    long_ago = time.time() - KEEP_SECONDS - 1
    for each in (tmp_path / "kept").iterdir():
        os.utime(each, (long_ago, long_ago))
    cache.get(PLUGIN)
    assert len(publisher.asked) == 6
    cache.sweep()
    assert cache.file(kept).exists()
    for each in (tmp_path / "kept").iterdir():
        os.utime(each, (long_ago, long_ago))
    cache.sweep()
    assert list((tmp_path / "kept").iterdir()) == []


def test_a_way_that_leads_nowhere_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setattr(packages, "refuse_address", lambda url: None)
    asked = []

    def download(change: packages.Change, folder: str, *, only_from: str) -> packages.Change:
        asked.append(change.package)
        return real(change, folder, only_from=only_from)

    real = packages.download
    monkeypatch.setattr(packages, "download", download)
    for path in (PLUGIN, "plugin/other.1.0.zip"):
        with pytest.raises(NotReached, match="Connection refused"):
            PackageCache(tmp_path, nobody, nobody).get(path)
    assert asked == [f"{nobody}/{PLUGIN}"]

    (note,) = tmp_path.glob("*.away")
    os.utime(note, (time.time() - NOT_AGAIN_SECONDS,) * 2)
    with pytest.raises(NotReached, match="Connection refused"):
        PackageCache(tmp_path, nobody, nobody).get(PLUGIN)
    assert len(asked) == 2


def test_two_sources_are_not_taken_for_each_other(publisher: Publisher, cache: PackageCache, tmp_path: Path) -> None:
    publisher.answers["/" + PLUGIN] = packed(FILES)
    cache.get(PLUGIN)

    other = PackageCache(tmp_path / "kept", f"{publisher.address}/other", publisher.address)
    with pytest.raises(NotReached):
        other.get(PLUGIN)


def test_an_answer_without_end_is_refused(
    publisher: Publisher, cache: PackageCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package_cache, "LARGEST_ANSWER", 10)
    publisher.answers["/" + PLUGIN], publisher.answers[SUMS] = packed(FILES), sums(FILES)

    with pytest.raises(packages.PackageError, match="the publisher's checksums cannot be asked: too long"):
        cache.get(PLUGIN)


def test_a_language_pack_is_known_by_the_moment_of_which_it_is(publisher: Publisher, cache: PackageCache) -> None:
    place = "/translation/plugin/forms/2.1/de_DE.zip"
    path = "translation/plugin/forms/2.1/de_DE.2024-02-05.12-34-56.zip"
    publisher.answers[place] = packed({"forms-de_DE.mo": b"old"})
    old = cache.get(path)
    publisher.answers[place] = packed({"forms-de_DE.mo": b"new"})
    new = cache.get(path.replace("12-34-56", "12-34-57"))

    assert (cache.get(path), old.checked) == (old, NO_CHECKSUMS)
    assert new.sha256 != old.sha256
    assert publisher.asked == [place, place]
    publisher.answers["/translation/core/6.5.5/de_DE.zip"] = packed({"de_DE.mo": b"words", "index.php": b"<?php"})
    with pytest.raises(packages.PackageError, match="has a file that is none of its own"):
        cache.get("translation/core/6.5.5/de_DE.2024-02-05.12-34-56.zip")
    for wrong in ("translation/plugin/forms/2.1/de_DE.zip", "translation/../forms/2.1/de_DE.2024-02-05.12-34-56.zip"):
        with pytest.raises(packages.PackageError, match="no path of a release"):
            cache.get(wrong)
