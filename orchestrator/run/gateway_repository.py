"""A session for a host's restic: it reaches its repository through the controller, and holds no key of the store.

What it may do is in gateway_session.py, how it speaks in gateway_http.py.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestrator.contract import model as contract
from orchestrator.errors import Refused
from orchestrator.run.bucket import Bucket, Keys
from orchestrator.run.gateway_door import LONGEST_SECONDS, Door, GatewayError
from orchestrator.run.gateway_forward import HOST_ADDRESS
from orchestrator.run.gateway_http import Gate
from orchestrator.run.gateway_server import USER
from orchestrator.run.gateway_session import Session, SessionError, Terms
from orchestrator.run.gateway_store import Shelf, StoreError
from orchestrator.run.host_points import points
from orchestrator.run.manifests import read_manifest, write_manifest
from orchestrator.run.restic_objects import Key
from orchestrator.run.snapshot_check import lacking

# A dump may take an hour and a half before restic says its first word.
IDLE_SECONDS = 7200.0


class RepositoryDoor(Door):
    """A session, and the way to it."""

    def __init__(
        self, session: Session, folder: Path, idle: float = IDLE_SECONDS, longest: float = LONGEST_SECONDS
    ) -> None:
        super().__init__(folder, idle, longest)
        self.session = session
        self._gate = Gate(session, self.secret)

    def start(self) -> None:
        """Begin to answer. The repository is looked at meanwhile, and whoever asks for anything of it waits for that."""
        self.answer_with(self._gate.handler())
        threading.Thread(target=self._gate.begin, daemon=True).start()

    def begun(self) -> None:
        """Return when the repository has been looked at. Raises Refusal with the reason why nothing comes of this session."""
        self._gate.wait()

    def asked(self, what: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Do what Ansible asks of this session. Raises GatewayError."""
        if what == "confirm":
            return {**self.session.confirm(str(given.get("snapshot"))), "report": self.report()}
        if what == "manifest":
            return self.write_manifest(given)
        if what == "end":
            # Before the answer: who was told that it is over finds no lock any more.
            self.session.end()
            return self.report()
        return super().asked(what, given)

    def url(self, port: int) -> str:
        """Return what restic is told."""
        return f"rest:http://{USER}:{self.secret}@{HOST_ADDRESS}:{port}/"

    def last_used(self) -> float:
        """Say when restic last came."""
        return self._gate.last

    def report(self) -> dict[str, Any]:
        """Say what the session did so far."""
        return {**self.session.report(), "requests": self._gate.requests}

    def write_manifest(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Write the manifest of the restore point whose snapshot was confirmed. Raises GatewayError."""
        snapshot = (given["manifest"].get("restic") or {}).get("snapshot")
        if not snapshot or snapshot != self.session.confirmed:
            raise SessionError("the manifest names another snapshot than the one that was confirmed")
        # The bucket is there, and the snapshot was looked at when it was confirmed.
        return written({**given, "create_bucket": False, "password": ""})

    def end(self) -> None:
        """End the session. Its locks go: they are all that others could still see of it."""
        try:
            self.session.end()
        except StoreError:
            # Nobody renews them: they are stale after half an hour.
            return


def opened_repository(given: Mapping[str, Any], folder: Path) -> RepositoryDoor:
    """Begin a session on the terms that were handed in; the store is asked beside. Raises GatewayError."""
    try:
        store, keys = dict(given["store"]), Keys(given["access_key"], given["secret_key"])
        terms = Terms(
            mode=given["mode"],
            point=given.get("point", ""),
            show=tuple(given.get("show", ())),
            budget=int(given.get("budget", Terms.budget)),
            make_bucket=bool(given.get("create_bucket")),
        )
        shelf = Shelf(**store, access_key=keys.access, secret_key=keys.secret)
        password = str(given["password"])
        limits = float(given.get("idle", IDLE_SECONDS)), float(given.get("longest", LONGEST_SECONDS))
    except (KeyError, TypeError, ValueError) as error:
        raise GatewayError(f"the gateway was not told what it needs: {error}") from None
    if terms.mode not in ("read", "write") or (terms.mode == "write" and not terms.point):
        raise GatewayError("a session is for reading, or for writing one restore point")
    session = Session(shelf, terms, password, lambda: datetime.now(UTC), lacking_in(store, keys))
    door = RepositoryDoor(session, folder, *limits)
    door.start()
    return door


def lacking_in(store: Mapping[str, Any], keys: Keys) -> Callable[[Key, str], str]:
    """Return who says what of a snapshot the store lacks."""

    def asked(key: Key, tree: str) -> str:
        place = contract.Store(store["endpoint"], store["bucket"], store["region"])
        try:
            return lacking(Bucket(place, keys, shared=True), str(store["prefix"]), key, tree)
        except Refused as error:
            raise SessionError(error.message) from None

    return asked


def read(given: Mapping[str, Any]) -> dict[str, Any]:
    """Read a manifest. Raises GatewayError."""
    try:
        return {"manifest": read_manifest(dict(given))}
    except points.PointError as error:
        raise GatewayError(str(error)) from None


def written(given: Mapping[str, Any]) -> dict[str, Any]:
    """Write a manifest. Raises GatewayError."""
    try:
        manifest, changed = write_manifest(dict(given))
    except points.PointError as error:
        raise GatewayError(str(error)) from None
    return {"manifest": manifest, "changed": changed}
