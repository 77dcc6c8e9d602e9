"""Find out which promises a store keeps, by trying: what it says of itself is not enough.

rclone's store takes object lock and deletes the object all the same; Ceph 16 says that it blocks public access and then
refuses every upload. Everything is tried on small objects of our own, which are taken out again: below
`<client>/<site>/.upkeep-probe/` as a host's key would, and below `.upkeep-probe/` beside all clients.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.contract.model import Store
from orchestrator.plan import guard
from orchestrator.plan.guard import Finding
from orchestrator.run import lock_renewal
from orchestrator.run.bucket import ABSENT, SECONDS, Bucket, Keys, Said, Settings, opened
from orchestrator.run.store import MANIFEST

BODY = b"upkeep tries what this store does.\n" * 32
OTHER = b"somebody else was here"
INIT = "upkeep store init CLIENT"
POLICY = "upkeep store policy CLIENT"


@dataclass(frozen=True)
class Checked:
    """What was found out about a client's store. `left` are our own objects that a lock keeps in there for now."""

    findings: tuple[Finding, ...]
    left: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ground:
    """Where a trial takes place."""

    owner: Bucket
    settings: Settings
    client: str
    token: str
    inside: str
    outside: str

    @property
    def lock_days(self) -> int:
        """The promise of the contract."""
        return self.owner.store.lock_days

    @property
    def lock(self) -> dict[str, Any]:
        """What goes with each of our objects: a lock of seconds, where everything new is locked for days."""
        return self.owner.lock_for(SECONDS) if self.settings.locked_days else {}

    def put(self, key: str, body: bytes = BODY) -> Said:
        """Store one of our objects."""
        return self.owner.put(key, body, **self.lock)


def check(
    store: Store,
    owner: Keys,
    hosts: Mapping[str, Keys],
    *,
    client: str,
    sites: Sequence[str],
    token: str,
    wait: Callable[[float], None],
) -> Checked:
    """Try what a client's store promises. `hosts` has the keys that the hosts of the sites are given, if they are."""
    tls = _tls(store)
    with opened(store, owner) as bucket, opened(store, None) as stranger:
        there = bucket.ask("head_bucket")
        if not there.ok:
            none = _bucket(store, there)
            return Checked((replace(none, todo=none.todo.replace("CLIENT", client)), tls))
        inside, outside = probe_folder(client, sites[0], token), f".upkeep-probe/{token}/"
        ground = Ground(bucket, bucket.settings(), client, token, inside, outside)
        try:
            findings = [
                _bucket(store, there),
                tls,
                _bytes(ground),
                # Early, so that its seconds run out while the rest is tried.
                _lock(ground),
                _default_lock(ground, sites),
                *lock_renewal.finding(bucket, client, sites),
                _versions(ground),
                _private(ground, stranger),
                *guard.lifecycle_findings(ground.settings.rules, client, ground.lock_days),
                _conditional(ground),
            ]
            findings += _hosts(ground, owner, hosts)
        finally:
            left = _clear(ground, {outside, *(probe_folder(client, site, token) for site in sites)}, wait)
    return Checked(tuple(replace(each, todo=each.todo.replace("CLIENT", client)) for each in findings), left)


def probe_folder(client: str, site: str, token: str) -> str:
    """Return where the objects of a trial lie: among what is the site's own."""
    return f"{client}/{site}/.upkeep-probe/{token}/"


def _bucket(store: Store, there: Said) -> Finding:
    todo = "" if there.ok else INIT if there.status == 404 else "look at the key in the vault: the store refuses it"
    how = "it answers" if there.ok else "there is none" if there.status == 404 else f"looking at it was {there.words}"
    return Finding("bucket", f"There is a bucket {store.bucket}.", there.ok, True, how, todo)


def _tls(store: Store) -> Finding:
    safe = store.endpoint.startswith("https://")
    return Finding(
        "tls",
        "Nobody reads along on the way to the store, and it is the right one.",
        safe,
        # A contract that says http promises none of it; restic encrypts, but whoever listens can replay and delete.
        safe,
        "https, and its certificate was checked" if safe else "the contract says http: nothing is encrypted or signed",
        "" if safe else "write https into the contract's store.endpoint",
    )


def _bytes(ground: Ground) -> Finding:
    key = f"{ground.inside}bytes"
    put, back = ground.put(key), ground.owner.get(key)
    wrong = {
        "MD5": {"ContentMD5": _b64(hashlib.md5(OTHER, usedforsecurity=False))},
        "SHA-256": {"ChecksumSHA256": _b64(hashlib.sha256(OTHER))},
    }
    said = {
        name: ground.owner.ask("put_object", Key=key, Body=BODY, **header, **ground.lock)
        for name, header in wrong.items()
    }
    words = "; ".join(f"an upload with a wrong {name} was {each.words}" for name, each in said.items())
    same = put.ok and back == BODY
    how = f"put and read back: {'the same' if same else 'NOT the same'} ({put.words}); {words}"
    # Signed requests carry a SHA-256 of their own, so one kind of checksum that is looked at is enough.
    checked = any(not each.ok for each in said.values())
    promise = "What is written comes back, and what was damaged on the way is refused."
    return Finding("bytes", promise, same and checked, True, how, "" if same and checked else "use another store")


def _lock(ground: Ground) -> Finding:
    """Try to remove, to release and to shorten what is locked."""
    promise = "What is locked can be removed by nobody until its time has come."
    key, promised = f"{ground.inside}locked", ground.lock_days > 0
    cannot = "choose a store that enforces object lock (Amazon S3, Ceph, MinIO), or take store.lock_days out"
    put = ground.owner.put(key, BODY, **ground.owner.lock_for(SECONDS))
    if not put.ok:
        todo = cannot if ground.settings.has_lock else (
            "make another bucket with upkeep store init: most stores lock only in a bucket that was made for it"
        )  # fmt: skip
        return Finding("lock", promise, False, promised, f"a locked object was {put.words}", todo)
    which = {"VersionId": put.value["VersionId"]} if put.value.get("VersionId") else {}
    tries = {"removing it": ground.owner.ask("delete_object", Key=key, **which)}
    if which and not tries["removing it"].ok:
        sooner = ground.owner.lock_for(1)["ObjectLockRetainUntilDate"]
        retention = {"Mode": "COMPLIANCE", "RetainUntilDate": sooner}
        tries["removing it as its owner may"] = ground.owner.ask(
            "delete_object", Key=key, BypassGovernanceRetention=True, **which
        )
        tries["shortening its time"] = ground.owner.ask("put_object_retention", Key=key, Retention=retention, **which)
    still = ground.owner.get(key, **({"version": which["VersionId"]} if which else {})) == BODY
    kept = still and all(not said.ok for said in tries.values())
    how = "; ".join(f"{what}: {said.words}" for what, said in tries.items())
    how = f"an object locked for {SECONDS:.0f} s: {how}; it is {'still there' if still else 'GONE'}"
    return Finding("lock", promise, kept, promised, how, "" if kept else cannot)


def _default_lock(ground: Ground, sites: Sequence[str]) -> Finding:
    """Look how long the newest restore point is locked; without one, how long the bucket says."""
    days, wanted = ground.settings.locked_days, ground.lock_days
    promise = f"Everything new is locked for {wanted or 'some'} days by itself."
    newest = _newest_manifest(ground, sites)
    if newest is None:
        how = f"the bucket says {days} days; there is no restore point yet to see it on"
        kept = days >= max(wanted, 1) and ground.settings.lock_is_strict
    else:
        head = ground.owner.ask("head_object", Key=newest)
        until, mode = head.value.get("ObjectLockRetainUntilDate"), head.value.get("ObjectLockMode")
        seen = (until - head.value["LastModified"]).total_seconds() / 86400 if until else 0.0
        how = f"the bucket says {days} days; the newest restore point is locked for {seen:.0f} ({mode or 'not at all'})"
        # Some stores count from the beginning of the upload, some from its end.
        kept = seen > max(wanted, 1) - 0.1 and mode == "COMPLIANCE" and days >= wanted
        if not kept and days >= max(wanted, 1):
            how += "; it was taken before the lock was set, or the store does not do what it says"
    todo = "" if kept else INIT if wanted else "write store.lock_days into the contract"
    return Finding("default-lock", promise, kept, wanted > 0, how, todo)


def _versions(ground: Ground) -> Finding:
    key = f"{ground.inside}versions"
    first = ground.put(key)
    ground.put(key, OTHER)
    deleted = ground.owner.ask("delete_object", Key=key)
    version = str(first.value.get("VersionId") or "")
    kept = bool(version) and ground.owner.get(key, version) == BODY
    how = f"overwritten and deleted ({deleted.words}): the first version is {'still there' if kept else 'gone'}"
    promise = "What is overwritten or deleted can be brought back."
    todo = "" if kept else f"{INIT}; if it stays so, this store has no versions"
    return Finding("versions", promise, kept, ground.lock_days > 0, how, todo)


def _private(ground: Ground, stranger: Bucket) -> Finding:
    key = f"{ground.inside}bytes"
    tries = {
        "reading": stranger.ask("get_object", Key=key),
        "listing": stranger.ask("list_objects_v2", Prefix=ground.inside),
        "writing": _may_write(ground, stranger, f"{ground.inside}stranger"),
    }
    kept = all(not said.ok and said.status < 500 for said in tries.values())
    how = "without a key: " + "; ".join(f"{what} {said.words}" for what, said in tries.items())
    if ground.settings.blocks:
        how += f"; the bucket blocks public access ({len(ground.settings.blocks)} of {len(guard.BLOCKS)} settings)"
    todo = "" if kept else f"{INIT}, and take every public grant out of the bucket's policy and ACL"
    return Finding("private", "Nobody without a key sees anything.", kept, True, how, todo)


def _conditional(ground: Ground) -> Finding:
    key = f"{ground.inside}bytes"
    said = ground.owner.put(key, BODY, IfNoneMatch="*", **ground.lock)
    kept = not said.ok and said.status in (409, 412)
    how = f"an upload over an object, with If-None-Match, was {said.words}"
    promise = "Of two that write the same object at once, one is told."
    return Finding("conditional", promise, kept, False, how, "" if kept else "nothing: the runs' leases see to it")


def _hosts(ground: Ground, owner: Keys, hosts: Mapping[str, Keys]) -> list[Finding]:
    """Try each key that a host is given, as a thief on that host would."""
    if not hosts:
        words = "no host is given a key: hosts speak to the controller's gateway"
        return [Finding("host-key", "A host can remove nothing.", True, ground.lock_days > 0, words)]
    others = _other_clients(ground)
    findings = []
    for access in dict.fromkeys(keys.access for keys in hosts.values()):
        site, keys = next((site, keys) for site, keys in hosts.items() if keys.access == access)
        with opened(ground.owner.store, keys) as host:
            found = _one_host(ground, host, site, others, shared=keys.access == owner.access)
        suffix = f" ({site})" if len({each.access for each in hosts.values()}) > 1 else ""
        findings += [replace(each, name=each.name + suffix) for each in found]
    return findings


def _one_host(ground: Ground, host: Bucket, site: str, others: int, *, shared: bool) -> list[Finding]:
    promised = ground.lock_days > 0
    mine = probe_folder(ground.client, site, ground.token)
    target, away = f"{mine}target", f"{ground.outside}other"
    first, _ = ground.put(target), ground.put(away)
    scope = POLICY if not shared else (
        "make a second key at the store for the hosts, and put the first one into the vault as "
        "upkeep_store_access_key and upkeep_store_secret_key"
    )  # fmt: skip

    works = {
        "writing": _may_write(ground, host, f"{mine}host"),
        "reading": host.ask("get_object", Key=target),
        "listing": host.ask("list_objects_v2", Prefix=mine),
    }
    abroad = {
        "listing everything": host.ask("list_objects_v2", MaxKeys=1),
        "listing others": host.ask("list_objects_v2", Prefix=ground.outside),
        "reading others": host.ask("get_object", Key=away),
        "writing elsewhere": _may_write(ground, host, f"{ground.outside}host"),
    }
    # What sites get as an update, and what stands for a restore point: the controller's alone.
    forges = {
        "writing a package": _may_write(ground, host, f"{ground.client}/artefacts/{ground.token}.zip"),
        "writing a manifest": _may_write(ground, host, f"{ground.client}/{site}/points/{ground.token}.json"),
    }
    settings = _change_settings(ground, host)
    destroys = {"deleting": host.ask("delete_object", Key=target)}
    version = str(first.value.get("VersionId") or "")
    if version:
        destroys["deleting a version"] = _delete_version(ground, host, target)
        destroys["writing over it"] = _may_write(ground, host, target)
    intact = ground.owner.get(target, version) == BODY
    survives = intact and not (version and destroys["deleting a version"].ok)
    return [
        _tried("host-key-works", "The hosts' key can take a restore point and read it.", works,
               all(said.ok for said in works.values()), True, "look at the key in the vault, then: " + POLICY),
        Finding("host-key-destroys", "A thief with the hosts' key destroys nothing.", survives, promised,
                f"{_words(destroys)}; the object is {'still there' if intact else 'GONE'}", "" if survives else scope),
        _tried("host-key-forges", "The hosts' key makes no package and no restore point.", forges,
               all(not said.ok for said in forges.values()), promised, scope),
        _tried("host-key-settings", "The hosts' key cannot change what guards the bucket.", settings,
               all(not said.ok for said in settings.values()) if settings else None, promised, scope),
        _tried("host-key-scope", f"The hosts' key sees nothing but {ground.client}/.", abroad,
               all(not said.ok for said in abroad.values()), others > 0, scope),
    ]  # fmt: skip


def _tried(name: str, promise: str, tries: Mapping[str, Said], kept: bool | None, promised: bool, todo: str) -> Finding:
    return Finding(name, promise, kept, promised, _words(tries) or "not tried: there is nothing to change", "" if kept else todo)  # fmt: skip


def _may_write(ground: Ground, host: Bucket, key: str) -> Said:
    """Find out whether a key may write an object, without leaving one that would be locked for days."""
    begun = host.ask("create_multipart_upload", Key=key)
    if begun.ok:
        upload = begun.value["UploadId"]
        if not host.ask("abort_multipart_upload", Key=key, UploadId=upload).ok:
            ground.owner.ask("abort_multipart_upload", Key=key, UploadId=upload)
    return begun


def _change_settings(ground: Ground, host: Bucket) -> dict[str, Said]:
    """Let a host's key set what is set already: whoever may do that may set something else, too."""
    there, tries = ground.settings, {}
    if there.versioned:
        tries["versioning"] = host.ask("put_bucket_versioning", VersioningConfiguration={"Status": "Enabled"})
    if there.rules:
        rules = {"Rules": list(there.rules)}
        tries["lifecycle"] = host.ask("put_bucket_lifecycle_configuration", LifecycleConfiguration=rules)
    if there.locked_days:
        tries["lock"] = host.ask("put_object_lock_configuration", ObjectLockConfiguration=dict(there.lock))
    return tries


def _delete_version(ground: Ground, host: Bucket, key: str) -> Said:
    """Let a host's key remove one version for good: the mark of a deletion, because no lock hides the answer there."""
    marked = ground.owner.ask("delete_object", Key=key)
    version = marked.value.get("VersionId")
    return host.ask("delete_object", Key=key, **({"VersionId": version} if version else {}))


def _other_clients(ground: Ground) -> int:
    listed = ground.owner.ask("list_objects_v2", Delimiter="/").value.get("CommonPrefixes") or ()
    names = {str(each.get("Prefix", "")) for each in listed}
    return len(names - {f"{ground.client}/", ".upkeep-probe/"})


def _newest_manifest(ground: Ground, sites: Sequence[str]) -> str | None:
    keys = [key for site in sites for key in ground.owner.keys_below(f"{ground.client}/{site}/points/")]
    return max((key for key in keys if MANIFEST.fullmatch(key)), key=lambda key: key.rpartition("/")[2], default=None)


def _clear(ground: Ground, prefixes: set[str], wait: Callable[[float], None]) -> tuple[str, ...]:
    """Take our own objects out, all versions of them; what is locked for seconds is waited for, once."""
    left = [key for prefix in sorted(prefixes) for key in _clear_prefix(ground.owner, prefix)]
    if left:
        wait(SECONDS + 1)
        left = [key for prefix in sorted(prefixes) for key in _clear_prefix(ground.owner, prefix)]
    return tuple(left)


def _clear_prefix(bucket: Bucket, prefix: str) -> list[str]:
    listed = bucket.ask("list_object_versions", Prefix=prefix)
    entries: list[Any] = [*(listed.value.get("Versions") or ()), *(listed.value.get("DeleteMarkers") or ())]
    if not listed.ok:
        entries = list(bucket.ask("list_objects_v2", Prefix=prefix).value.get("Contents") or ())
    left = []
    for entry in entries:
        version = {"VersionId": entry["VersionId"]} if entry.get("VersionId") else {}
        said = bucket.ask("delete_object", Key=entry["Key"], **version)
        if not said.ok and said.code not in ABSENT:
            left.append(str(entry["Key"]))
    return left


def _words(tries: Mapping[str, Said]) -> str:
    return "; ".join(f"{what} {said.words}" for what, said in tries.items())


def _b64(digest: Any) -> str:
    return base64.b64encode(digest.digest()).decode()
