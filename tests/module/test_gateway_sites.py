"""One gateway for all sites of one call of Ansible: each has its own way, and none reaches what is another's."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from orchestrator.contract import model
from orchestrator.run import artefacts
from orchestrator.run.bucket import Bucket, Keys
from orchestrator.run.gateway_client import STORE_SECONDS, Opening, Unanswered, asked
from orchestrator.run.places import content_root
from plugins.module_utils import package_source
from plugins.module_utils.packages import Change
from tests.depot import make_manifest
from tests.module.conftest import Repository
from tests.module.gateway_kit import BUCKET, RESTIC, Store, Way, tree
from tests.module.gateway_process import Running, running, terms, way_to
from tests.module.test_gateway_process import DUMP, LATER, until
from tests.module.test_package_gateway import package, read

# The gateway outlives whoever starts it.
pytestmark = pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")


@dataclass
class Site:
    """A site that takes a restore point through a gateway which others use as well."""

    name: str
    files: Path
    given: dict[str, Any]
    told: dict[str, Any]
    url: str

    @property
    def secret(self) -> str:
        return str(urlsplit(self.url.removeprefix("rest:")).password)

    def restic(self, *arguments: str, url: str = "", password: str = "") -> subprocess.CompletedProcess[str]:
        """Run restic, with another's address or password where a thief has them."""
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(self.files.parent), "RESTIC_PASSWORD": password or self.told["password"],
            "RESTIC_REPOSITORY": url or self.url, "RESTIC_CACHE_DIR": str(self.files.parent / f"cache of {self.name}"),
        }  # fmt: skip
        return subprocess.run(
            [str(RESTIC), *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    def backup(self) -> str:
        """Take a snapshot and have it confirmed."""
        for command in (("init",), ("backup", "--json", "--tag", f"point={LATER}", str(self.files))):
            done = self.restic(*command)
            assert done.returncode == 0, done.stderr
        short = json.loads(done.stdout.splitlines()[-1])["snapshot_id"]
        gateway = Running(self.told["control"].rpartition("/")[0])
        full = next(name for name in gateway.report(self.told)["added"]["snapshots"] if name.startswith(short))
        asked(self.told["control"], "confirm", {"snapshot": full})
        return full


def status(url: str, secret: str, path: str) -> int:
    """Ask at an address for a path, as somebody who has a secret."""
    parts = urlsplit(url.removeprefix("rest:"))
    known = "Basic " + base64.b64encode(f"upkeep:{secret}".encode()).decode()
    request = urllib.request.Request(f"http://127.0.0.1:{parts.port}{path}", headers={"Authorization": known})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.fixture
def gateway() -> Iterator[Running]:
    with running() as started:
        yield started


@pytest.fixture
def sites(store: Store, gateway: Running, tmp_path: Path) -> Iterator[list[Site]]:
    """Two sites of one client, whose repositories have nothing in common."""
    made = []
    for number, name in enumerate(("shop", "blog"), 1):
        given = terms(store, point=LATER)
        given["store"] = given["store"] | {"prefix": f"example/{name}"}
        files = tree(tmp_path / name, seed=number)
        made.append(Site(name, files, given, gateway.open(given), ""))
    with way_to(made[0].told) as one, way_to(made[1].told) as other:
        made[0].url, made[1].url = one, other
        yield made


def objects(store: Store, site: str) -> set[str]:
    """Return the paths of a repository's objects, as restic asks for them."""
    folder = store.folder / BUCKET / "example" / site / "restic"
    return {f"/{path.relative_to(folder).parts[0]}/{path.name}" for path in folder.rglob("*") if path.is_file()}


def test_sites_take_their_restore_points_at_once_and_none_has_a_part_of_the_others(
    store: Store, sites: list[Site], tmp_path: Path
) -> None:
    with ThreadPoolExecutor() as pool:
        snapshots = list(pool.map(Site.backup, sites))
    shop, blog = sites
    assert shop.secret != blog.secret
    assert shop.told["password"] != blog.told["password"]
    assert objects(store, "shop") & objects(store, "blog") == {"/config/config"}
    for site, snapshot in zip(sites, snapshots, strict=True):
        done = site.restic("restore", snapshot, "--target", str(tmp_path / "out"))
        assert done.returncode == 0, done.stderr
        for path in site.files.iterdir():
            assert (tmp_path / "out" / str(path).lstrip("/")).read_bytes() == path.read_bytes()


def test_a_thief_with_all_that_one_host_has_reaches_nothing_of_another(store: Store, sites: list[Site]) -> None:
    shop, blog = sites
    shop.backup()
    snapshot = blog.backup()
    theirs = sorted(objects(store, "blog") - {"/config/config"})
    assert any(path.startswith("/data/") for path in theirs)
    for path in ["/config", "/data/", "/keys/", "/locks/", "/snapshots/", *theirs]:
        # The other's port, one's own secret.
        assert status(blog.url, shop.secret, path) == 401, path
        # One's own port, and the name of what is the other's.
        if not path.endswith("/") and path != "/config":
            assert status(shop.url, shop.secret, path) == 404, path
    # So that the above is no accident: who was given this session reads them. Its key and its lock the host is not shown.
    assert {status(blog.url, blog.secret, path) for path in theirs if path.split("/")[1] not in ("keys", "locks")} == {
        200
    }
    stolen = blog.url.replace(blog.secret, shop.secret)
    assert shop.restic("snapshots", url=stolen).returncode != 0
    assert shop.restic("snapshots", url=stolen, password=blog.told["password"]).returncode != 0
    assert shop.restic("snapshots", password=blog.told["password"]).returncode != 0
    assert snapshot not in shop.restic("snapshots", "--json").stdout
    # Nor does anything on a host lead to where Ansible asks the gateway.
    for path in (f"/{blog.told['session']}", f"/{blog.told['session']}/end", "/read", "/repository"):
        assert status(shop.url, shop.secret, path) == 400


def test_the_end_of_one_session_is_not_the_end_of_another(store: Store, sites: list[Site]) -> None:
    shop, blog = sites
    parts = urlsplit(shop.url.removeprefix("rest:"))
    with socket.create_connection(("127.0.0.1", parts.port or 0), timeout=8) as waiting:
        # One of the host's connections is open, and says nothing. A stranger would have to go after 15 s in any case.
        asked(shop.told["control"], "end", {})
        assert waiting.recv(1) == b""
    with pytest.raises(Unanswered, match="the session is over"):
        asked(shop.told["control"], "confirm", {"snapshot": "0" * 64})
    assert not Path(shop.told["socket"]).exists()
    blog.backup()
    assert not (store.folder / BUCKET / "example" / "shop").exists()


# ---- packages beside repositories ------------------------------------------------------------------------------------


def wanted(store: Store, folder: Path, **more: Any) -> dict[str, Any]:
    """Return what a session for packages is opened with."""
    return {
        "client": "example", "store": store.options(), "access_key": store.access_key, "secret_key": store.secret_key,
        "wordpress_org": {}, "cache": str(folder / "kept"), "catalogue_minutes": 60, **more,
    }  # fmt: skip


def put(store: Store, folder: Path) -> artefacts.Artefact:
    """Put a package into the client's store."""
    bucket = Bucket(
        model.Store(store.endpoint, BUCKET, "us-east-1"), Keys(store.access_key, store.secret_key), shared=True
    )
    path = package(folder)
    found = read(path)
    artefacts.add(bucket, "example", path, found)
    return found


def test_packages_and_a_repository_are_served_by_one_process_and_not_by_one_session(
    repository: Repository, gateway: Running, tmp_path: Path
) -> None:
    added = put(repository.store, tmp_path)
    restic = gateway.open(terms(repository.store))
    with Opening(lambda: gateway.control, "packages", wanted(repository.store, tmp_path)) as opening:
        told = opening.led({})
    assert told["artefacts"] == [
        {"kind": "plugin", "slug": "forms", "file": "forms/forms.php", "version": "2.0", "sha256": added.sha256}
    ]
    way, restics = Way(Path(told["socket"])), Way(Path(restic["socket"]))
    url, repository_url = (
        each["url"].replace(":0/", f":{leads.port}/") for each, leads in ((told, way), (restic, restics))
    )
    change = Change("plugin", "forms", "forms/forms.php", "1.0", "2.0", f"artefact:{added.sha256}")
    fetched = package_source.fetch(change, str(tmp_path / "fetched"), url)
    assert hashlib.sha256(Path(fetched.change.zip).read_bytes()).hexdigest() == added.sha256
    theirs, ours = (str(urlsplit(each.removeprefix("rest:")).password) for each in (repository_url, url))
    path = f"/artefact/{added.sha256}"
    assert (status(url, ours, path), status(url, theirs, path)) == (200, 401)
    assert (status(repository_url, ours, "/config"), status(repository_url, theirs, "/config")) == (401, 200)
    assert status(repository_url, theirs, path) == 400
    assert status(url, ours, "/config") == 404
    way.close()
    restics.close()


def test_where_there_is_nothing_to_give_no_session_is_opened(store: Store, gateway: Running, tmp_path: Path) -> None:
    with Opening(lambda: gateway.control, "packages", wanted(store, tmp_path)) as opening:
        assert opening.begun() == {"artefacts": [], "session": "", "failure": ""}


def test_what_the_store_has_is_told_where_no_session_can_be_opened(
    store: Store, gateway: Running, tmp_path: Path
) -> None:
    added = put(store, tmp_path)
    source = {"downloads": "http://192.0.2.1:9", "api": "http://192.0.2.1:9"}
    (tmp_path / "kept").write_text("no folder")
    with Opening(lambda: gateway.control, "packages", wanted(store, tmp_path, wordpress_org=source)) as opening:
        told = opening.begun()
    assert [each["sha256"] for each in told["artefacts"]] == [added.sha256]
    assert told["session"] == ""
    assert told["failure"].startswith("the gateway for packages cannot begin")


def test_a_store_that_does_not_say_what_it_has_is_said_with_what_to_type(
    store: Store, gateway: Running, tmp_path: Path
) -> None:
    away = wanted(store, tmp_path) | {"store": store.options() | {"endpoint": "http://127.0.0.1:9"}}
    with (
        Opening(lambda: gateway.control, "packages", away, STORE_SECONDS) as opening,
        pytest.raises(Unanswered, match=r"the store http://127\.0\.0\.1:9 cannot be reached") as failed,
    ):
        opening.begun()
    assert failed.value.next_step == "curl -sI http://127.0.0.1:9"


# ---- Ansible's side -------------------------------------------------------------------------------------------------

# As a worker of Ansible does it.
WORKER = """
import json, os, sys
from pathlib import Path
from ansible import constants
from plugins.action import package_gateway, restore_point_manifest, store_gateway
from orchestrator.run.gateway_client import Opening, ask
given = json.loads(sys.stdin.read())
control = store_gateway.gateway()
assert Path(constants.DEFAULT_LOCAL_TMP, "upkeep-gateway").read_text() == control
ask(control, "read", given["read"])
for kind in ("repository", "packages"):
    with Opening(lambda: control, kind, given[kind]) as opening:
        opening.begun()
print(json.dumps(sorted(sys.modules)))
"""


def later(repository: Repository) -> dict[str, Any]:
    """Write a manifest, and return what reads it."""
    manifest = make_manifest(LATER, repository.snapshot, root="/srv/shop", dump=DUMP) | {
        "taken": "2026-11-23T02:00:00Z"
    }
    place = repository.store.folder / BUCKET / "example/shop/points" / f"{LATER}.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(manifest))
    keys = {name: terms(repository.store)[name] for name in ("store", "access_key", "secret_key")}
    return {**keys, "client": "example", "name": "shop", "point": "newest"}


def test_no_worker_of_ansible_loads_what_speaks_to_a_store(repository: Repository, tmp_path: Path) -> None:
    given = {
        "read": later(repository),
        "repository": terms(repository.store),
        "packages": wanted(repository.store, tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", WORKER], input=json.dumps(given), cwd=content_root(), capture_output=True, text=True, timeout=60,
        check=False, env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(content_root())},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert "orchestrator" in loaded
    assert loaded.isdisjoint({"boto3", "botocore", "s3transfer", "urllib3"})


PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - restore_point_manifest:
        state: read
        client: "{{ given.client }}"
        name: "{{ given.name }}"
        store: "{{ given.store }}"
        access_key: "{{ given.access_key }}"
        secret_key: "{{ given.secret_key }}"
      register: read
    - command: /bin/sh -c 'echo {{ read.manifest.point }} "$TMPDIR"/upkeep-gateway-*/control >>{{ seen }}'
"""


def test_a_call_of_ansible_has_one_for_all_its_hosts_and_leaves_nothing(
    repository: Repository, tmp_path: Path, sockets: Path
) -> None:
    temporary = sockets / "tmp"
    temporary.mkdir()
    play, hosts, variables = tmp_path / "play.yml", tmp_path / "hosts.yml", tmp_path / "vars.json"
    play.write_text(PLAY)
    hosts.write_text("all: {vars: {ansible_connection: local}, hosts: {one: {}, two: {}, three: {}, four: {}}}\n")
    variables.write_text(
        json.dumps(
            {"given": later(repository), "ansible_python_interpreter": sys.executable, "seen": str(tmp_path / "seen")}
        )
    )
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "TMPDIR": str(temporary), "LANG": "C.UTF-8",
        "ANSIBLE_CONFIG": str(content_root() / "ansible.cfg"), "ANSIBLE_LOCAL_TEMP": str(tmp_path / "local"),
    }  # fmt: skip
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(hosts), "-e", f"@{variables}", str(play)],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    # Each of the hosts has the same one, and there is no other.
    (seen,) = set((tmp_path / "seen").read_text().splitlines())
    assert len((tmp_path / "seen").read_text().splitlines()) == 4
    assert seen.startswith(f"{LATER} {temporary}/upkeep-gateway-")
    assert seen.count("/control") == 1
    assert not list((tmp_path / "local").iterdir())
    until(lambda: not list(temporary.glob("upkeep-gateway-*")))
