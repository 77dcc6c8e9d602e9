# GPL-3.0-or-later
"""restic, which carries the bytes of a restore point: 0.14 and newer.

Secrets go by environment only. Every call has a deadline: restic itself retries a store that is away for ever.
Exit codes mean more from 0.17 on; before, every failure is a 1 and the text has to be read.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import shutil
import socket
import stat
import time
from dataclasses import dataclass, field
from typing import Any, Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from . import command
from .points import Store

FULL_ID = re.compile(r"^[0-9a-f]{64}\Z")
GRACE = 10.0
SHORT = 300.0
# Seconds for an answer, and between two questions: a store that is only busy says so and answers the next.
ASKED = 15.0
# A gateway says within a minute and a half whether it can begin (orchestrator/run/gateway_http.py).
GATEWAY_ASKED = 120.0
LONGEST_ANSWER = 2000
PAUSES = (1.0, 3.0)

OK = "ok"
INCOMPLETE = "incomplete"
NO_REPOSITORY = "no repository"
NO_BUCKET = "no bucket"
LOCKED = "locked"
AWAY = "store away"
WRONG_PASSWORD = "wrong password"  # noqa: S105 - the name of a failure
FAILED = "failed"

CODES = {0: OK, 3: INCOMPLETE, 10: NO_REPOSITORY, 11: LOCKED, 12: WRONG_PASSWORD}

# Read only for exit code 1. A missing repository is told from a missing bucket and from a store that refuses or is
# away: all of them end in "Is there a repository at the following location?", and only the first may be made.
TEXTS = (
    ("The specified bucket does not exist", NO_BUCKET),
    ("unable to open config file: Stat: The specified key does not exist", NO_REPOSITORY),
    # Through the gateway.
    ("unable to open config file: <config/> does not exist", NO_REPOSITORY),
    ("repository is already locked", LOCKED),
    ("wrong password or no key found", WRONG_PASSWORD),
)

# What restic says of an object that is not what its name says: 0.14, and newer ones.
SPOILT = ("invalid data returned", "ciphertext verification failed", "does not match id")

# Go's file modes, which restic writes.
GO_KINDS = ((1 << 31, "folder"), (1 << 27, "link"))
GO_BITS = ((1 << 23, stat.S_ISUID), (1 << 22, stat.S_ISGID), (1 << 20, stat.S_ISVTX))


class ResticError(Exception):
    """restic could not do what was asked; `kind` says why as far as it is known."""

    def __init__(self, message: str, kind: str = FAILED) -> None:
        super().__init__(message)
        self.kind = kind


class Incomplete(ResticError):
    """A snapshot was stored without some files that could not be read: it may not stand for a restore point."""

    def __init__(self, snapshot: str, unread: list[str]) -> None:
        shown = ", ".join(unread[:3]) or "restic names none"
        super().__init__(f"{len(unread)} files could not be read, such as {shown}", INCOMPLETE)
        self.snapshot = snapshot
        self.unread = unread


@dataclass(frozen=True)
class Node:
    """One path of a snapshot: kind, size, permissions, owner and group."""

    kind: str
    size: int
    mode: int
    owner: int
    group: int


@dataclass(frozen=True)
class Listing:
    """A snapshot's full id and everything that is in it, by absolute path."""

    snapshot: str
    tags: list[str]
    paths: list[str]
    nodes: dict[str, Node]

    def below(self, folder: str) -> dict[str, Node]:
        """Return what lies below a folder, the folder itself left out, by path inside it."""
        start = folder.rstrip("/") + "/"
        return {path[len(start) :]: node for path, node in self.nodes.items() if path.startswith(start)}


@dataclass(frozen=True)
class Repository:
    """One restic repository in a store. The environment holds its secrets, so it is not shown."""

    program: str
    environment: dict[str, str] = field(repr=False)
    location: str = ""
    may_make_bucket: bool = True
    through_gateway: bool = False
    unmade: str = ""
    bucket: str = ""

    def version(self) -> str:
        """Return restic's own version, such as 0.14.0."""
        done = self._start(["version"], SHORT)
        found = re.search(r"restic (\d+\.\d+\.\d+\S*)", done.out)
        if done.code != 0 or not found:
            raise ResticError(f"{self.program} does not answer like restic")
        return found.group(1)

    def backup(
        self, paths: list[str], *, host: str, tags: list[str], exclude: list[str], timeout: float
    ) -> tuple[str, dict[str, Any]]:
        """Store a snapshot of `paths`. Returns its id as far as restic says it, and restic's summary.

        Makes the repository when, and only when, there is none. Raises Incomplete when a file could not be read.
        """
        arguments = ["backup", "--json", "--host", host]
        for tag in tags:
            arguments += ["--tag", tag]
        for pattern in exclude:
            arguments += ["--exclude", pattern]
        try:
            done = self._call([*arguments, "--", *paths], timeout)
        except ResticError as error:
            if error.kind not in (NO_REPOSITORY, NO_BUCKET):
                raise
            self._init(error)
            done = self._call([*arguments, "--", *paths], timeout)
        summary = next((line for line in _lines(done.out) if line.get("message_type") == "summary"), {})
        snapshot = str(summary.get("snapshot_id", ""))
        if done.code == 3:
            raise Incomplete(snapshot, _unread(done.err))
        if not snapshot:
            raise ResticError("restic ended well but named no snapshot")
        return snapshot, summary

    def listing(self, snapshot: str, *, timeout: float = 3 * SHORT) -> Listing:
        """Return what is in a snapshot, asked of the store. Raises ResticError when there is none with that id."""
        head: dict[str, Any] = {}
        nodes = {}
        for line in _lines(self._call(["ls", "--json", snapshot], timeout).out):
            if line.get("struct_type") == "snapshot" or line.get("message_type") == "snapshot":
                head = line
            elif "path" in line:
                nodes[str(line["path"])] = _node(line)
        # restic 0.14 ends with 0 when it knows no such snapshot.
        if not FULL_ID.match(str(head.get("id", ""))) or not str(head["id"]).startswith(snapshot):
            raise ResticError(f"the repository has no snapshot {snapshot}")
        return Listing(str(head["id"]), list(head.get("tags") or []), list(head.get("paths") or []), nodes)

    def forget(self, snapshot: str) -> None:
        """Remove one snapshot, which no manifest names. What it holds stays until the repository is pruned.

        Through the gateway there is nothing to do: a snapshot that the controller does not confirm is forgotten there.
        """
        if self.through_gateway:
            return
        self._call(["forget", "--", snapshot], SHORT)

    def restore(self, snapshot: str, target: str, *, timeout: float, include: Sequence[str] = ()) -> None:
        """Put a snapshot's files below `target`, or those that the patterns `include` name.

        The id must be whole: `latest` may be anybody's.
        """
        if not FULL_ID.match(snapshot):
            raise ResticError(f"{snapshot!r} is not the full id of a snapshot")
        arguments = ["restore", "--target", target]
        for pattern in include:
            arguments += ["--include", pattern]
        self._call([*arguments, "--", snapshot], timeout)

    def _init(self, missing: ResticError) -> None:
        if not self.may_make_bucket and (missing.kind == NO_BUCKET or self._has_no_bucket()):
            raise ResticError(self.unmade or str(missing), NO_BUCKET) from missing
        done = self._start(["init"], SHORT)
        # Somebody else may have made it in the meantime.
        if done.code != 0 and "already" not in done.err:
            raise ResticError(f"restic cannot make the repository {self.location}: {said(done.err)}")

    def _has_no_bucket(self) -> bool:
        """Ask whether the bucket is missing. Some stores (Ceph) let restic believe that only the key is, and `init` makes it."""
        try:
            return bool(self.bucket) and _status(self.bucket) == 404
        except (OSError, http.client.HTTPException) as error:
            raise ResticError(f"the store does not say whether there is a bucket: {error}", AWAY) from error

    def _call(self, arguments: list[str], timeout: float) -> command.Finished:
        """Run restic; a lock that a dead run left behind is removed once, one that is alive is respected."""
        done = self._start(arguments, timeout)
        # Through the gateway no host removes a lock but its own, and stale ones are not even shown.
        if meaning(done) == LOCKED and not self.through_gateway:
            # `unlock` removes stale locks only; --remove-all would break a lock that is alive.
            self._start(["unlock"], SHORT)
            done = self._start(arguments, timeout)
        if done.code != 0 and any(text in done.err for text in SPOILT):
            # It may be the cache that is spoilt: restic keeps what it has read, garbage too, until it is thrown away.
            shutil.rmtree(self.environment.get("RESTIC_CACHE_DIR", ""), ignore_errors=True)
            done = self._start(arguments, timeout)
        kind = meaning(done)
        if kind == OK or (kind == INCOMPLETE and arguments[0] == "backup"):
            return done
        if kind == LOCKED:
            raise ResticError(
                f"somebody is at work in the repository ({_who(done.err)}). Try again later: a lock that nobody"
                " renews counts no more after half an hour",
                kind,
            )
        raise ResticError(f"restic {arguments[0]} failed ({kind}): {said(done.err)}", kind)

    def _start(self, arguments: list[str], timeout: float) -> command.Finished:
        argv = [self.program, *arguments]
        try:
            return command.run(argv, timeout=timeout, extra_environment=self.environment, check=False, grace=GRACE)
        except command.CommandFailed as error:
            raise ResticError(str(error)) from error


def opened(
    program: str, store: Store, *, access_key: str, secret_key: str, password: str, cache: str, make_bucket: bool = True
) -> Repository:
    """Return the repository of a site. Without the cache in `cache` an unchanged snapshot asks 100 times as much."""
    os.makedirs(cache, mode=0o700, exist_ok=True)
    secrets = {
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": secret_key,
        "RESTIC_PASSWORD": password,
        "AWS_DEFAULT_REGION": store.region,
        "RESTIC_REPOSITORY": store.repository,
        "RESTIC_CACHE_DIR": cache,
        "RESTIC_PROGRESS_FPS": "0.1",
    }
    may_make = make_bucket and not store.lock_days
    bucket = f"{store.endpoint}/{store.bucket}"
    return Repository(program, secrets, store.repository, may_make, unmade=store.unmade, bucket=bucket)


def through(program: str, url: str, *, password: str, cache: str) -> Repository:
    """Return the repository of a site behind the gateway. The address holds the secret: by environment only."""
    os.makedirs(cache, mode=0o700, exist_ok=True)
    secrets = {
        "RESTIC_PASSWORD": password,
        "RESTIC_REPOSITORY": url,
        "RESTIC_CACHE_DIR": cache,
        "RESTIC_PROGRESS_FPS": "0.1",
    }
    return Repository(program, secrets, "behind the gateway", False, True)


def chosen(program: str, store: Store, given: Mapping[str, Any], *, cache: str, make_bucket: bool) -> Repository:
    """Return the repository by the way that a module was given: the gateway's address, or the keys of the store."""
    if given["gateway"]:
        reach_gateway(given["gateway"])
        return through(program, given["gateway"], password=given["password"], cache=cache)
    if not given["access_key"] or not given["secret_key"]:
        raise ResticError("neither the address of a gateway nor the keys of the store were handed in")
    reach(store)
    return opened(
        program,
        store,
        access_key=given["access_key"],
        secret_key=given["secret_key"],
        password=given["password"],
        cache=cache,
        make_bucket=make_bucket,
    )


def reach_gateway(url: str) -> None:
    """Wait until the gateway has looked at the repository. Raises ResticError with its words when nothing comes of it."""
    parts = urlsplit(url.partition(":")[2])
    credentials = base64.b64encode(f"{parts.username}:{parts.password}".encode()).decode()
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=GATEWAY_ASKED)
    try:
        connection.request("GET", "/config", headers={"Authorization": "Basic " + credentials})
        answer = connection.getresponse()
        told = answer.read(LONGEST_ANSWER).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        raise ResticError(f"the gateway on the controller does not answer: {error}", AWAY) from error
    finally:
        connection.close()
    # There need not be a repository yet.
    if answer.status not in (200, 404):
        raise ResticError(told or f"the gateway on the controller answers {answer.status}", AWAY)


def reach(store: Store) -> None:
    """Raise ResticError when the store answers nothing, or only that it cannot: restic itself would try for hours."""
    reason = ""
    for pause in (0.0, *PAUSES):
        time.sleep(pause)
        try:
            status = _status(store.endpoint)
            if status < 500:
                return
            reason = f"it answers {status}"
        except socket.timeout:
            reason = f"no answer within {ASKED:.0f} s"
            break
        except (OSError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
    raise ResticError(f"the store {store.endpoint} is away: {reason}. Type: upkeep store check {store.client}", AWAY)


def _status(address: str) -> int:
    """Ask without a key: a store says 403, or 404 where nothing is. No proxy, and nobody is followed, as with restic."""
    parts = urlsplit(address)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(str(parts.hostname), parts.port, timeout=ASKED)
    try:
        connection.request("HEAD", parts.path or "/")
        return int(connection.getresponse().status)
    finally:
        connection.close()


def meaning(done: command.Finished) -> str:
    """Say what an exit code and the words beside it mean; what is not known is a failure."""
    if done.code != 1:
        return CODES.get(done.code, FAILED)
    return next((kind for text, kind in TEXTS if text in done.err), FAILED)


def said(err: str) -> str:
    """Return what restic said went wrong: its Fatal line, in either of its two formats."""
    for line in reversed(list(_lines(err))):
        if line.get("message_type") == "exit_error":
            return str(line.get("message"))[:300]
    fatal = [line for line in err.splitlines() if line.startswith("Fatal:")]
    return fatal[-1][:300] if fatal else command.last_line(err)


def _who(err: str) -> str:
    """Return whose lock it is. restic's own last line names the command that breaks it: nobody is to be told that."""
    found = re.search(r"locked (?:exclusively )?by PID \d+ on \S+", err)
    return found.group(0) if found else said(err)


def _unread(err: str) -> list[str]:
    items = [str(line.get("item", "")) for line in _lines(err) if line.get("message_type") == "error"]
    return sorted({item for item in items if item})


def _lines(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        if line.startswith("{"):
            try:
                value = json.loads(line)
            except ValueError:
                continue
            if isinstance(value, dict):
                yield value


def _node(line: dict[str, Any]) -> Node:
    given = int(line.get("mode", 0))
    kind = next((name for bit, name in GO_KINDS if given & bit), "file" if line.get("type") == "file" else "special")
    mode = (given & 0o777) | sum(ours for bit, ours in GO_BITS if given & bit)
    return Node(kind, int(line.get("size", 0)), mode, int(line.get("uid", 0)), int(line.get("gid", 0)))
