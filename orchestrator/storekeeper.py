"""Answer the commands about the store: check it, make it, prune it, with the keys that the client's vault has."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Mapping, Sequence
from zoneinfo import ZoneInfo

from orchestrator.errors import Busy, Refused, UpkeepError, Usage
from orchestrator.ledger.address import peek
from orchestrator.plan import guard
from orchestrator.plan.plan import ID, choose_sites
from orchestrator.plan.retention import Decision, Judged, decide
from orchestrator.planning import Client
from orchestrator.results import Answer
from orchestrator.run import bucket_trial, lock_renewal
from orchestrator.run.bucket import Bucket, Done, Keys, apply_policy, opened, prepare
from orchestrator.run.mend import Mended, mend
from orchestrator.run.prune import remove, stock
from orchestrator.run.restic import Restic, ResticFailed, repository
from orchestrator.run.store import KEYS
from orchestrator.settings import Settings
from orchestrator.vault import kept_for

# The key of the bucket's owner: it never leaves the controller. Without it the hosts' key has to do everything.
OWNER_KEYS = ("upkeep_store_access_key", "upkeep_store_secret_key")
PASSWORD = "site_snapshot_password"  # noqa: S105  # the name of a variable
# Unless it is "direct", the hosts' restic speaks through the controller, and no host is given a key.
TRANSPORT = "site_snapshot_transport"
CACHE = "restic-cache"


@dataclasses.dataclass(frozen=True)
class Secrets:
    """What the vault has for one site: the owner's keys, those that its host is given if it is, restic's password."""

    owner: Keys
    host: Keys | None
    password: str = dataclasses.field(repr=False)

    @property
    def apart(self) -> bool:
        """Whether the host has a key of its own."""
        return self.host is not None and self.host.access != self.owner.access


def check_store(settings: Settings, client: Client, token: str) -> Answer:
    """Try what a client's store does."""
    names = choose_sites(client.contract, ())
    vault = {name: secrets_of(settings, client, name) for name in names}
    return _checked(client, vault, token)


def init_store(settings: Settings, client: Client, token: str, *, program: str) -> Answer:
    """Make a client's bucket, set what guards it, and try what came of it."""
    names = choose_sites(client.contract, ())
    vault = {name: secrets_of(settings, client, name) for name in names}
    owner = vault[names[0]].owner
    probe = bucket_trial.probe_folder(client.id, names[0], token) + "init"
    with opened(client.contract.store, owner) as bucket:
        done = prepare(bucket, client.id, probe)
        if done[0].state != "not possible":
            done += [_repository(settings, client, bucket, name, each, program) for name, each in vault.items()]
    answer = _checked(client, vault, token)
    return {**answer, "done": [dataclasses.asdict(each) for each in done]}


def _repository(settings: Settings, client: Client, bucket: Bucket, site: str, secrets: Secrets, program: str) -> Done:
    """Make a site's repository, where hosts have a key of their own: restic asks for more than that key may, once."""
    what = f"repository of {site}"
    if not secrets.apart:
        return Done(what, "was so", "the first restore point makes it")
    config = f"{client.id}/{site}/restic/config"
    if bucket.ask("head_object", Key=config).ok:
        return Done(what, "was so")
    try:
        repository_of(settings, client, site, secrets, program).init()
    except ResticFailed as error:
        return Done(what, "not possible", str(error))
    return Done(what, "set" if bucket.ask("head_object", Key=config).ok else "not possible")


def mended_repository(settings: Settings, client: Client, bucket: Bucket, site: str, secrets: Secrets) -> Mended:
    """Mend what somebody wrote into a site's repository who should not have. Raises Refused when the store does not do it."""
    mended = mend(bucket, client=client.id, site=site, password=secrets.password)
    if mended.brought_back or mended.quarantined:
        # restic keeps what it has read, garbage too, and would go on seeing it.
        shutil.rmtree(settings.state / CACHE, ignore_errors=True)
    return mended


def repository_of(settings: Settings, client: Client, site: str, secrets: Secrets, program: str) -> Restic:
    """Return a site's repository, with the keys that the controller has."""
    return repository(
        program,
        client.contract.store,
        secrets.owner,
        client=client.id,
        site=site,
        password=secrets.password,
        cache=settings.state / CACHE,
    )


def store_policy(settings: Settings, client: Client, principal: str, *, apply: bool) -> Answer:
    """Say what the hosts' key should be allowed, and let it be so."""
    store = client.contract.store
    vault = secrets_of(settings, client, client.contract.sites[0].name)
    if vault.host is None:
        raise Refused(
            f"no host of {client.id} is given a key: there is nothing to allow.", f"upkeep store check {client.id}"
        )
    if not vault.apart:
        raise Refused(
            f"the vault of {client.id} has one key, which owns the bucket and is the hosts' as well; nothing was set.",
            "make a second key at the store, for the hosts; put the first one into the vault as "
            + " and ".join(OWNER_KEYS),
        )
    owner = ""
    if not principal and "amazonaws.com" not in store.endpoint:
        principal, owner = _ceph_user(client, vault.host), _ceph_user(client, vault.owner)
    done = None
    if apply:
        if not principal:
            raise Usage(
                "Amazon does not say whose key it is.", f"upkeep store policy {client.id} --principal ARN --apply"
            )
        with opened(store, vault.owner) as bucket:
            done = apply_policy(bucket, client.id, principal=principal, owner=owner)
        if done.state == "not possible":
            raise Refused(
                f"the store {store.endpoint} did not take the policy ({done.how}); nothing was set.",
                f"upkeep store policy {client.id}, and give it to whoever runs the store",
            )
    return {
        "client": client.id,
        "user_policy": guard.user_policy(store.bucket, client.id),
        "bucket_policy": guard.bucket_policy(
            store.bucket, client.id, principal=principal or "arn:aws:iam::ACCOUNT:user/NAME", owner=owner
        ),
        "applied": done.state if done else None,
    }


def prune_sites(
    settings: Settings, client: Client, sites: Sequence[str], unwanted: frozenset[str], *, sure: bool, program: str
) -> list[Answer]:
    """Decide for each site, and remove what goes when that is wanted. One site's trouble does not stop the others."""
    names = choose_sites(client.contract, sites)
    if unwanted and len(names) > 1:
        raise Usage("--forget names points of one site.", f"upkeep prune {client.id} --site SITE --forget ID")
    if strange := sorted(each for each in unwanted if ID.fullmatch(each) is None):
        raise Usage(f"'{strange[0][:60]}' is not the id of a restore point.", f"upkeep points {client.id}")
    answers = []
    for name in names:
        try:
            answers.append(_prune(settings, client, name, unwanted, sure=sure, program=program))
        except UpkeepError as error:
            answers.append(
                {
                    "site": name,
                    "exit_code": error.exit_code,
                    "message": error.message,
                    "next": error.next_step,
                    "kept": [],
                    "removed": [],
                    "done": None,
                }
            )
    return answers


def _prune(
    settings: Settings, client: Client, site: str, unwanted: frozenset[str], *, sure: bool, program: str
) -> Answer:
    contract, now = client.contract, settings.clock()
    in_use, seen, damaged = _ledger(settings, client.id, site, sure=sure)
    secrets = secrets_of(settings, client, site)
    restic = repository_of(settings, client, site, secrets, program)
    with opened(contract.store, secrets.owner) as bucket:
        # What stops restic would stop the prune; and a prune that leans on a false index takes away what is needed.
        mended = mended_repository(settings, client, bucket, site, secrets) if sure else None
        have = stock(bucket, restic, client=client.id, site=site, seen=seen, damaged=damaged)
        decision = decide(
            have.points,
            contract.retention,
            now,
            client=client.id,
            site=site,
            zone=ZoneInfo(contract.agreement.time_zone),
            in_use=in_use,
            unwanted=unwanted,
        )
        done = None
        if sure and decision.removed:
            done = remove(bucket, restic, have, decision, client=client.id, site=site)
        ending = None if decision.halted else lock_renewal.due(bucket, client.id, site)
        if sure and ending:
            lock_renewal.renew(bucket, ending)
    answer = _decision_answer(site, decision)
    answer["foreign"] = [each.id for each in have.foreign]
    answer["done"] = dataclasses.asdict(done) if done else None
    answer["mended"] = dataclasses.asdict(mended) if mended else None
    answer["locks"] = _locks_answer(ending, sure=sure)
    if decision.halted and sure:
        answer |= {"exit_code": Refused.exit_code, "message": f"{client.id}/{site}: {decision.halted}."}
        answer["next"] = f"upkeep points {client.id} --site {site}"
    elif (decision.removed or answer["locks"]) and not sure:
        answer["next"] = " ".join(
            ["upkeep prune", client.id, "--site", site, *(f"--forget {each}" for each in sorted(unwanted)), "--yes"]
        )
    return answer


def _locks_answer(ending: lock_renewal.Due | None, *, sure: bool) -> Answer | None:
    """Tell which locks end before the newest point needs them, and whether they were renewed."""
    if ending is None or not ending.ending:
        return None
    return {
        "point": ending.point,
        "until": ending.until.isoformat(),
        "first": ending.first,
        "objects": [{"key": key, "locked_until": end.isoformat() if end else None} for key, end in ending.ending],
        "renewed": sure,
    }


def _ledger(
    settings: Settings, client: str, site: str, *, sure: bool
) -> tuple[dict[str, str], set[str], dict[str, tuple[str, ...]]]:
    """Ask the ledger which points are needed, which were seen complete, and of which something is lost.

    Raises Busy while a run has the site.
    """
    ledger = peek(settings.ledger)
    if ledger is None:
        return {}, set(), {}
    try:
        unfinished = [run for run in ledger.unfinished(client) if run.site == site]
        needed = [*unfinished, *(run for run in ledger.not_put_back(client) if run.site == site)]
        newest = next(iter(ledger.verifications(client, site)), None)
        seen = {point.id for point in ledger.points(client, site)}
    finally:
        ledger.close()
    if unfinished and sure:
        raise Busy(
            f"run {unfinished[0].id} has {client}/{site} and has not ended; nothing was removed.",
            f"upkeep status {client}; if it was interrupted: upkeep run --resume {client}",
        )
    damaged = {point: problems for point, problems in newest.points.items() if problems} if newest else {}
    return {run.point: f"run {run.id}" for run in needed}, seen, damaged


def secrets_of(settings: Settings, client: Client, site: str) -> Secrets:
    """Ask Ansible what the vault has for a site. Raises Refused when something is missing."""
    host = client.contract.site(site).production.host
    found = kept_for(settings, client, host, (*KEYS, PASSWORD), (*OWNER_KEYS, TRANSPORT))
    theirs = Keys(found[KEYS[0]], found[KEYS[1]])
    ours = Keys(found[OWNER_KEYS[0]], found[OWNER_KEYS[1]]) if all(key in found for key in OWNER_KEYS) else theirs
    return Secrets(ours, theirs if found.get(TRANSPORT) == "direct" else None, found[PASSWORD])


def _ceph_user(client: Client, keys: Keys) -> str:
    with opened(client.contract.store, keys) as bucket:
        user = bucket.user()
    return f"arn:aws:iam:::user/{user}" if user else ""


def _checked(client: Client, vault: Mapping[str, Secrets], token: str) -> Answer:
    store = client.contract.store
    owner = next(iter(vault.values())).owner
    hosts = {name: each.host for name, each in vault.items() if each.host is not None}
    checked = bucket_trial.check(
        store, owner, hosts, client=client.id, sites=tuple(vault), token=token, wait=time.sleep
    )
    broken = guard.broken(checked.findings)
    answer: Answer = {
        "client": client.id,
        "endpoint": store.endpoint,
        "bucket": store.bucket,
        "lock_days": store.lock_days,
        "kept": not broken,
        "findings": [dataclasses.asdict(each) for each in checked.findings],
        "left": list(checked.left),
        "exit_code": 0,
        "message": f"the store of {client.id} keeps what the contract promises.",
        "next": f"upkeep run {client.id}",
    }
    if broken:
        names = ", ".join(each.name for each in broken)
        clause = f" (store.lock_days: {store.lock_days})" if store.lock_days else ""
        promises = "1 promise" if len(broken) == 1 else f"{len(broken)} promises"
        answer |= {
            "exit_code": Refused.exit_code,
            "message": f"the store {store.endpoint} does not keep {promises} of the contract{clause}: {names}.",
            "next": broken[0].todo,
        }
    return answer


def _decision_answer(site: str, decision: Decision) -> Answer:
    return {
        "site": site,
        "exit_code": 0,
        "message": decision.halted,
        "next": "",
        "halted": decision.halted,
        "kept": [_judged(each) for each in decision.kept],
        "removed": [_judged(each) for each in decision.removed],
    }


def _judged(judged: Judged) -> Answer:
    return {"point": judged.id, "taken": judged.taken.isoformat(), "reasons": list(judged.reasons)}
