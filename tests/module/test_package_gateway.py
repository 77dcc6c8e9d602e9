"""A client's own packages in a real store, and their way to a host: the gateway here, the host's own code at the other end."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.contract import model
from orchestrator.errors import Refused
from orchestrator.run import artefacts, package_gateway
from orchestrator.run.archive import read_archive
from orchestrator.run.artefacts import Artefact
from orchestrator.run.bucket import Bucket, Keys, opened
from orchestrator.run.package_cache import PackageCache
from orchestrator.run.package_gateway import PackageDoor, Source
from orchestrator.run.package_store import PackageStore, stored
from orchestrator.run.release_catalogue import ReleaseCatalogue
from plugins.module_utils import package_source
from plugins.module_utils.packages import Change, PackageError
from tests.archives import pack
from tests.module.gateway_kit import BUCKET, Store, Way

ADDED = "2026-11-23T14:00:00+00:00"


def package(folder: Path, version: str = "2.0", text: str = "words") -> Path:
    """Write a plugin's package."""
    path = folder / f"forms-{version}-{text}.zip"
    header = f"<?php\n/* Plugin Name: Forms\n * Version: {version}\n */\n"
    pack(path, {"forms/forms.php": header, "forms/readme.txt": text})
    return path


def read(path: Path) -> Artefact:
    """Return what a package is, as it is put in."""
    return replace(read_archive(path), added=ADDED)


@pytest.fixture
def bucket(store: Store) -> Iterator[Bucket]:
    place = model.Store(store.endpoint, BUCKET, "us-east-1")
    with opened(place, Keys(store.access_key, store.secret_key)) as reached:
        yield reached


def handed(store: Store) -> dict[str, Any]:
    """Return what the gateway is told of the client's store."""
    options = store.options() | {"prefix": "acme/shop"}
    return {"client": "acme", "store": options, "access_key": store.access_key, "secret_key": store.secret_key}


def lying(store: Store) -> list[str]:
    """Return what lies in the store for the client."""
    folder = store.folder / BUCKET / "acme"
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# ---- the store ----------------------------------------------------------------------------------------------------------


def test_a_package_lies_under_its_checksum_and_the_index_names_it(bucket: Bucket, store: Store, tmp_path: Path) -> None:
    path = package(tmp_path)
    found = read(path)
    assert artefacts.read_index(bucket, "acme") == ()

    assert artefacts.add(bucket, "acme", path, found) == "added"
    assert artefacts.add(bucket, "acme", path, found) == "was so"

    assert lying(store) == [f"artefacts/{found.sha256}.zip", "artefacts/index.json"]
    assert (store.folder / BUCKET / "acme" / lying(store)[0]).read_bytes() == path.read_bytes()
    assert artefacts.read_index(bucket, "acme") == (found,)
    assert artefacts.read_index(bucket, "other") == ()


def test_the_same_version_with_other_bytes_is_refused_until_it_is_said(
    bucket: Bucket, store: Store, tmp_path: Path
) -> None:
    first, second = package(tmp_path), package(tmp_path, text="others")
    artefacts.add(bucket, "acme", first, read(first))
    before = lying(store)

    with pytest.raises(Refused, match=r"plugin forms 2\.0 is in the store of acme already with other bytes") as refused:
        artefacts.add(bucket, "acme", second, read(second))
    assert refused.value.next_step.startswith(f"upkeep artefact add {second} acme --replace")
    assert lying(store) == before

    assert artefacts.add(bucket, "acme", second, read(second), replace=True) == "replaced"
    assert artefacts.read_index(bucket, "acme") == (read(second),)


def test_a_release_is_taken_off_the_list_and_others_stay(bucket: Bucket, store: Store, tmp_path: Path) -> None:
    older, newer = package(tmp_path), package(tmp_path, "2.1")
    for path in (older, newer):
        artefacts.add(bucket, "acme", path, read(path))

    assert artefacts.remove(bucket, "acme", "forms", "3.0") == ()
    assert artefacts.remove(bucket, "acme", "forms", "2.0") == (read(older),)

    assert artefacts.read_index(bucket, "acme") == (read(newer),)
    assert f"artefacts/{read(older).sha256}.zip" not in lying(store)


def test_a_file_that_changes_meanwhile_is_not_stored(bucket: Bucket, store: Store, tmp_path: Path) -> None:
    path = package(tmp_path)
    found = read(path)
    path.write_bytes(b"something else")

    with pytest.raises(Refused, match="was changed while it was read"):
        artefacts.add(bucket, "acme", path, found)
    assert lying(store) == []


@pytest.mark.parametrize(
    "text", ["no json", "[]", '{"schema": 2, "artefacts": []}', '{"schema": 1, "artefacts": [{}]}']
)
def test_a_list_that_cannot_be_read_is_not_taken_for_an_empty_one(bucket: Bucket, tmp_path: Path, text: str) -> None:
    bucket.put(artefacts.index_key("acme"), text.encode())

    with pytest.raises(Refused, match=r"the list of packages acme/artefacts/index\.json cannot be read"):
        artefacts.add(bucket, "acme", package(tmp_path), read(package(tmp_path)))


def test_a_missing_bucket_is_said(store: Store, tmp_path: Path) -> None:
    place = model.Store(store.endpoint, "nowhere", "us-east-1")
    with opened(place, Keys(store.access_key, store.secret_key)) as reached:
        assert artefacts.read_index(reached, "acme") == ()
        with pytest.raises(Refused, match="no site is offered it") as refused:
            artefacts.add(reached, "acme", package(tmp_path), read(package(tmp_path)))
    assert refused.value.next_step == "upkeep store init acme"


# ---- the way to a host --------------------------------------------------------------------------------------------------


class Host:
    """What a host has of a run's gateway."""

    def __init__(self, door: PackageDoor, port: int, folder: Path) -> None:
        self.url, self.folder = door.url(port), folder

    def fetch(self, address: str) -> package_source.Fetched:
        """Fetch the package of a change, as a rehearsal does."""
        change = Change("plugin", "forms", "forms/forms.php", "1.0", "2.0", address)
        return package_source.fetch(change, str(self.folder), self.url)

    @property
    def credentials(self) -> str:
        """Return what the host shows to be answered."""
        known = self.url.removeprefix("http://").partition("@")[0]
        return "Basic " + package_gateway.base64.b64encode(known.encode()).decode()

    def status(self, path: str, credentials: str = "", body: bytes | None = None) -> int:
        """Ask for a path by hand; with a body, by POST."""
        return self.said(path, credentials, body)[0]

    def said(self, path: str, credentials: str = "", body: bytes | None = None) -> tuple[int, bytes]:
        """Return status and body of what is answered by hand."""
        base, _, rest = self.url.partition("@")
        request = urllib.request.Request(
            f"http://{rest.rstrip('/')}{path}", body, headers={"Authorization": credentials}
        )
        assert base
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status), answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()


@pytest.fixture
def host(bucket: Bucket, store: Store, tmp_path: Path) -> Iterator[Host]:
    """Return a host, a run for which begins now: what is in the index now is what it may have."""
    source = package_gateway.source_of(handed(store))
    cache = PackageCache(tmp_path / "kept", "http://192.0.2.1:9", "http://192.0.2.1:9")
    catalogue = ReleaseCatalogue(tmp_path / "kept", "http://192.0.2.1:9")
    door = PackageDoor(tmp_path, source, cache, catalogue)
    way = Way(door.socket)
    yield Host(door, way.port, tmp_path / "packages")
    way.close()
    door.close()
    assert not door.socket.exists()


@pytest.fixture
def added(bucket: Bucket, tmp_path: Path) -> Artefact:
    """Put a package into the client's store."""
    path = package(tmp_path)
    artefacts.add(bucket, "acme", path, read(path))
    return read(path)


def test_a_host_gets_the_package_that_it_has_chosen(added: Artefact, host: Host, tmp_path: Path) -> None:
    fetched = host.fetch(f"artefact:{added.sha256}")

    assert Path(fetched.change.zip).read_bytes() == package(tmp_path).read_bytes()
    assert fetched.evidence() == {
        "kind": "plugin", "slug": "forms", "to": "2.0", "sha256": added.sha256, "origin": "catalogue", "checked": "its SHA-256",
    }  # fmt: skip


def test_bytes_that_somebody_has_changed_in_the_store_are_refused(added: Artefact, host: Host, store: Store) -> None:
    (store.folder / BUCKET / "acme" / "artefacts" / f"{added.sha256}.zip").write_bytes(b"somebody else's")

    with pytest.raises(PackageError, match="is not the one that was put into the client's store"):
        host.fetch(f"artefact:{added.sha256}")


def test_a_package_that_has_gone_is_said(added: Artefact, host: Host, store: Store) -> None:
    (store.folder / BUCKET / "acme" / "artefacts" / f"{added.sha256}.zip").unlink()

    with pytest.raises(PackageError, match="names this package and does not give it"):
        host.fetch(f"artefact:{added.sha256}")


def test_a_host_gets_nothing_else(added: Artefact, host: Host, bucket: Bucket) -> None:
    bucket.put("acme/shop/restic/config", b"secret")
    ours = host.credentials
    path = f"/artefact/{added.sha256}"

    assert host.status(path, ours) == 200
    for stranger in ("", "Basic ", "Bearer x", ours[:-4] + "AAAA"):
        assert host.status(path, stranger) == 401
    for other in (
        "/", "/artefact/", f"/artefact/{'0' * 64}", f"{path}/", "/artefact/../../shop/restic/config", "/shop/restic/config",
        f"/artefact/{added.sha256.upper()}", "//artefact", "/wordpress.org",
    ):  # fmt: skip
        assert host.status(other, ours) == 404, other
    for other in ("/wordpress.org/", "/wordpress.org/http://192.0.2.1/x.zip", "/wordpress.org/plugin/../x.zip"):
        assert host.status(other, ours) == 409, other


def test_what_the_controller_cannot_fetch_the_host_fetches(
    host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here = str(package(tmp_path))
    monkeypatch.setattr(
        package_source, "download", lambda change, _: replace(change, zip=here, sha256=read(Path(here)).sha256)
    )
    monkeypatch.setattr(
        package_gateway.packages, "refuse_address", lambda url: (_ for _ in ()).throw(PackageError("no way there"))
    )

    fetched = host.fetch("https://downloads.wordpress.org/plugin/forms.2.0.zip")

    assert (fetched.origin, fetched.asked) == ("publisher", "downloads.wordpress.org")
    assert fetched.checked == "not by the controller: no way there"
    assert json.dumps(fetched.evidence())


def test_what_the_controller_refuses_the_host_does_not_fetch(
    host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.zip"
    bad.write_bytes(b"no archive")
    monkeypatch.setattr(
        package_gateway.packages, "download", lambda change, folder, **_: replace(change, zip=str(bad), sha256="0" * 64)
    )

    with pytest.raises(PackageError, match=r"the controller has refused it: .* is not a sound archive"):
        host.fetch("https://downloads.wordpress.org/plugin/forms.2.0.zip")


# ---- which releases there are -------------------------------------------------------------------------------------------

QUESTION = json.dumps({"wordpress": "6.5.2", "installed": {"forms/forms.php": {"Name": "Forms"}}}).encode()


def test_a_host_is_told_what_another_one_led_to(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def publisher(url: str, **given: object) -> bytes:
        asked.append((url, given["agent"]))
        return b'{"plugins": {"forms/forms.php": {"new_version": "2.0"}}, "no_update": []}'

    monkeypatch.setattr("orchestrator.run.publisher.ask", publisher)
    for _ in range(2):
        status, body = host.said("/catalogue/plugins", host.credentials, QUESTION)
        assert status == 200
        assert json.loads(body)["records"] == {"forms/forms.php": {"new_version": "2.0"}}
    assert asked == [("http://192.0.2.1:9/plugins/update-check/1.1/", "WordPress/6.5.2; Upkeep")]


def test_a_host_asks_for_what_the_controller_cannot_say(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        package_gateway.packages, "refuse_address", lambda url: (_ for _ in ()).throw(PackageError("no way there"))
    )
    assert host.said("/catalogue/plugins", host.credentials, QUESTION) == (502, b"no way there")


def test_strange_questions_are_not_answered(host: Host) -> None:
    assert host.status("/catalogue/plugins", "", QUESTION) == 401
    for path in ("/catalogue/", "/catalogue/users", "/catalogue/plugins/", "/wordpress.org/plugin/forms.2.0.zip"):
        assert host.status(path, host.credentials, QUESTION) == 404, path
    for body in (b"", b"{", b"[]", QUESTION.replace(b"forms/", b"../"), b" " * 1024 * 1025):
        assert host.status("/catalogue/plugins", host.credentials, body) == 409
    told = [host.said("/catalogue/plugins", host.credentials, b"{}")[1] for _ in range(package_gateway.MOST_QUESTIONS)]
    assert told[-1] == b"so much is not asked in one run"


# ---- releases of WordPress.org in the client's store --------------------------------------------------------------------

FORMS = "https://downloads.wordpress.org/plugin/forms.2.0.zip"


class Rooms:
    """Controllers of one fleet, each with a folder of its own, and a WordPress.org that has a package or not."""

    def __init__(self, store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store, self.folder, self.downloads, self.away = store, folder, 0, False
        monkeypatch.setattr(package_gateway.packages, "download", self._download)
        monkeypatch.setattr(PackageCache, "_check", lambda *_: "the publisher's checksums")
        monkeypatch.setattr(package_source, "download", lambda *_: pytest.fail("the host asks by itself"))

    def _download(self, change: Change, folder: str, **_: object) -> Change:
        self.downloads += 1
        if self.away:
            raise PackageError("it was withdrawn")
        path = Path(folder) / "fetched.zip"
        path.write_bytes(package(self.folder).read_bytes())
        return replace(change, zip=str(path), sha256=read(path).sha256, bytes=path.stat().st_size)

    def fetch(self, controller: str, client: str = "acme") -> package_source.Fetched:
        """Let a host of a client fetch a release through a controller, in one run."""
        reached = Bucket(
            model.Store(self.store.endpoint, BUCKET, "us-east-1"), Keys(self.store.access_key, self.store.secret_key)
        )
        cache = PackageCache(self.folder / controller, "http://192.0.2.1:9", "http://192.0.2.1:9")
        door = PackageDoor(
            self.folder,
            Source(client, reached),
            cache,
            store=PackageStore(reached, client, self.folder / controller),
        )
        way = Way(door.socket)
        try:
            return Host(door, way.port, self.folder / "host").fetch(FORMS)
        finally:
            way.close()
            door.close()


@pytest.fixture
def rooms(store: Store, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rooms:
    assert bucket.ask("head_bucket").ok
    return Rooms(store, tmp_path, monkeypatch)


def test_a_release_is_fetched_by_one_controller_and_had_by_all(rooms: Rooms, bucket: Bucket, tmp_path: Path) -> None:
    sha256 = read(package(tmp_path)).sha256
    first = rooms.fetch("one")
    assert (first.origin, first.checked) == ("controller", "the publisher's checksums")
    assert lying(rooms.store) == [f"artefacts/wordpress.org/plugin/forms.2.0/{sha256}.zip"]
    assert [(each.path, each.sha256) for each in stored(bucket, "acme")] == [("plugin/forms.2.0.zip", sha256)]

    second = rooms.fetch("two")
    assert (second.origin, second.change.sha256) == ("store", sha256)
    assert second.checked.startswith("its SHA-256, in the client's store since ")
    assert (rooms.downloads, rooms.fetch("one").origin) == (1, "controller")

    # What lies in a client's store counts for no other client, wherever the bytes are.
    assert rooms.fetch("two", "beta").origin == "controller"
    assert rooms.downloads == 2


def test_a_release_that_was_withdrawn_is_given_from_the_store_however_old(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms.fetch("one")
    rooms.away = True
    monkeypatch.setattr("orchestrator.run.package_store.KEEP_SECONDS", -60.0)

    assert rooms.fetch("two").origin == "store"
    # It was asked for first, and once.
    assert rooms.downloads == 2


def test_bytes_in_the_store_that_are_others_are_not_given(rooms: Rooms) -> None:
    rooms.fetch("one")
    (path,) = (rooms.store.folder / BUCKET).rglob("*.zip")
    path.write_bytes(b"somebody else's")

    assert rooms.fetch("two").origin == "controller"
    assert rooms.downloads == 2


def test_what_is_too_old_goes_when_something_new_comes(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.run.package_store.STORED_DAYS", -1)
    rooms.fetch("one")

    assert lying(rooms.store) == []
