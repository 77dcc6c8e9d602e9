# GPL-3.0-or-later
"""The host's own way back: a program that a promotion leaves waiting, and that goes back when nobody else does.

It is a file of its own in the run's folder and needs Python's standard library and the database client, nothing else: no
PHP, no Ansible, no other file of ours. Python and not a shell, because every host that Ansible reaches has it and a shell
has no atomic exchange of two folders (`mv --exchange` came with coreutils 9.5): no moment is ever without a tree.

It waits for the lock that the promotion's module holds. The kernel gives it that lock the moment the module ends, however it ends; a
module that is still there at the deadline is told to stop, and killed when it does not. Whoever has the lock reads
the journal: a promotion that was confirmed stays, one that was not goes back. So there is one winner, always. A person
may start it too, by its name and without arguments: it goes back at once, or says that there is nothing to go back from.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import http.client
import json
import os
import platform
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import time
from typing import Any, Callable, Iterator, Sequence

# linux/fs.h; the system call's numbers are in each architecture's unistd.h.
RENAME_EXCHANGE = 2
AT_FDCWD = -100
RENAMEAT2 = {"x86_64": 316, "aarch64": 276, "armv7l": 382, "ppc64le": 357, "s390x": 347, "riscv64": 276}

MARKER = ".maintenance"
SEAL = ".upkeep-freeze"
PUT_ASIDE = "upkeep_aside_"
PUT_AWAY = "upkeep_away_"
# Rows of a staging copy as they were copied.
STAGED = "upkeep_staged_"
# Only a database that has this table is ever emptied: a mistyped name must not cost a client another site.
STAGING_MARK = "upkeep_staging"
OURS = (PUT_ASIDE, PUT_AWAY, STAGED, STAGING_MARK)
LOCK_SECONDS = 60

# What a journal says of a promotion that has touched production and neither ended nor been put back.
BEGUN = ("frozen", "aside", "exchanged")
ORDERS, JOURNAL, ARMED, REFRESH = "orders.json", "promotion.json", "armed.json", "refresh"

# A module that is told to stop at its deadline gets this share of it for a way back of its own.
GRACE_SHARE = 10
# A database that is away comes back; meanwhile visitors read that the site is back in a moment.
TRY_AGAIN_SECONDS = 5.0
TRY_FOR_SECONDS = 3600.0
DRAIN_SECONDS = 10.0
QUIET_SECONDS = 0.15
REFRESH_SECONDS = 5.0
REFRESH_TRIES = 6

Query = Callable[[str], "list[list[str]]"]


class WayBackError(Exception):
    """The way back cannot be gone to its end now."""


def write_whole(path: str, text: str) -> None:
    """Write a file so that it is there whole or not at all (mode 0600)."""
    temporary = path + ".tmp"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def exchange(one: str, other: str) -> None:
    """Exchange two paths of one filesystem in one atomic step (renameat2 with RENAME_EXCHANGE). Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    number = RENAMEAT2.get(platform.machine())
    if number is None:
        raise OSError(f"no atomic exchange is known for a {platform.machine()} machine")
    done = libc.syscall(number, AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE)
    if done != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def is_frozen(root: str) -> bool:
    """Whether the marker in this tree is ours."""
    try:
        with open(os.path.join(root, MARKER), encoding="utf-8", errors="replace") as file:
            return "Written by Upkeep" in file.read(200)
    except OSError:
        return False


def thaw(root: str) -> bool:
    """Let everybody in again. Returns whether the tree was frozen by us."""
    was = is_frozen(root)
    for name in [MARKER, SEAL] if was else [SEAL]:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(root, name))
    return was


def tables_back(query: Query, copies: dict[str, str], known: Sequence[str], prefix: str) -> list[str]:
    """Rename copies back to their tables, in one statement, and drop what was not there before.

    `known` are the tables that existed before the change; of the others only the site's own, which begin with
    `prefix`, are dropped. Does nothing for copies that are already back: the statement is atomic, so either all
    copies are there or none. Returns the tables that were put back.
    """
    there = _tables(query)
    back = {table: copy for table, copy in copies.items() if copy in there}
    current = {name for name in there if not name.startswith(OURS)}
    _rename_over(query, there, [(table, _quoted(copy)) for table, copy in sorted(back.items())])
    came = sorted(current - set(known) - set(copies))
    _drop(query, [table for table in came if table.startswith(prefix)])
    _drop(query, _put_away(_tables(query)))
    return sorted(back)


def spares_back(query: Query, journal: dict[str, Any]) -> list[str]:
    """Put back what has no copy aside because staging still held its rows, and changed all the same. Returns the tables."""
    spares: list[str] = journal.get("spares", [])
    wanted = {table: journal["sums"][table].partition(":")[0] for table in spares}
    if not spares:
        return []
    rows = query("CHECKSUM TABLE " + ", ".join(_quoted(table) for table in spares))
    changed = [table for table, row in zip(spares, rows) if row[1] != wanted[table]]
    if changed:
        there = ", ".join(f"{_quoted(journal['staging'])}.{_quoted(table)}" for table in changed)
        held = query("CHECKSUM TABLE " + there)
        changed = [table for table, row in zip(changed, held) if row[1] == wanted[table]]
    take_over(query, changed, journal.get("staging", ""))
    return changed


def take_over(query: Query, tables: Sequence[str], other: str) -> None:
    """Put tables of another database of this server in the place of this one's, by one statement."""
    _rename_over(query, _tables(query), [(table, f"{_quoted(other)}.{_quoted(table)}") for table in tables])
    if tables:
        _drop(query, _put_away(_tables(query)))


def _rename_over(query: Query, there: Sequence[str], sources: Sequence[tuple[str, str]]) -> None:
    """Put each source, a quoted name, in the place of its table, all by one statement. What stood there is put away."""
    moves = []
    for number, (table, source) in enumerate(sources):
        if table in there:
            moves.append(f"{_quoted(table)} TO {_quoted(f'{PUT_AWAY}{number}')}")
        moves.append(f"{source} TO {_quoted(table)}")
    if moves:
        _drop(query, _put_away(there))
        # A statement that waits for ever would be carried out long after somebody gave up.
        query(f"SET SESSION lock_wait_timeout = {LOCK_SECONDS}; RENAME TABLE {', '.join(moves)}")


def started(process: int) -> str:
    """Return when a process began, in the kernel's own clock: with its number that names it for ever. "": it is gone."""
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as file:
            # The second field is the program's name in brackets and may hold spaces and brackets itself.
            return file.read().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def main(folder: str, seconds: float | None) -> int:
    """Wait for the module of this run to end, `seconds` at most, and go back unless it confirmed."""
    with open(os.path.join(folder, ORDERS), encoding="utf-8") as file:
        orders: dict[str, Any] = json.load(file)
    begun = time.monotonic()
    with open(orders["lock"], "a", encoding="utf-8") as lock:
        if seconds is None:
            why = "a person asked for it"
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                print("A task of Upkeep is at work on this site; nothing was touched.", file=sys.stderr)
                return 1
        else:
            write_whole(os.path.join(folder, ARMED), json.dumps({"pid": os.getpid()}))
            why = _wait(lock.fileno(), folder, orders, seconds)
            if not why:
                return 0
            begun = time.monotonic()
        while True:
            told = _look_and_act(folder, orders, why)
            if not told:
                return 0
            print(told, file=sys.stderr)
            if time.monotonic() - begun > TRY_FOR_SECONDS:
                return 1
            # Whoever else wants to put the site right gets the lock meanwhile.
            fcntl.flock(lock, fcntl.LOCK_UN)
            time.sleep(TRY_AGAIN_SECONDS)
            fcntl.flock(lock, fcntl.LOCK_EX)


def _wait(lock: int, folder: str, orders: dict[str, Any], seconds: float) -> str:
    """Get the lock, and return why this way back would begin; "" when it was decided already that nothing goes back."""
    if _locked(lock, seconds):
        return "the promotion ended without a word"
    if _decided(orders, _journal(folder)):
        # The module only looks on: what the update left to be done in the background, and the site some minutes later.
        return ""
    _tell(orders, signal.SIGTERM)
    if not _locked(lock, seconds / GRACE_SHARE):
        _tell(orders, signal.SIGKILL)
        # Now it can only be somebody else who puts the site right, and who is waited for.
        fcntl.flock(lock, fcntl.LOCK_EX)
    return f"the promotion had not ended after {seconds:g} s"


def _tell(orders: dict[str, Any], number: int) -> None:
    if started(orders["process"]) == orders["started"]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(orders["process"], number)


def _locked(lock: int, seconds: float) -> bool:
    def late(number: int, frame: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, late)
    try:
        signal.setitimer(signal.ITIMER_REAL, max(0.001, seconds))
        fcntl.flock(lock, fcntl.LOCK_EX)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except TimeoutError:
        return False
    return True


def _look_and_act(folder: str, orders: dict[str, Any], why: str) -> str:
    """Go back if the journal says that there is something to go back from. Returns why that did not work, or ""."""
    journal = _journal(folder)
    state = journal.get("state")
    if _decided(orders, journal) or state not in BEGUN:
        return ""
    report: dict[str, Any] = {"why": why, "state": state, "at": _utc(time.time())}
    try:
        _go_back(folder, orders, journal, report)
    except (OSError, WayBackError) as error:
        return str(error)
    return ""


def _journal(folder: str) -> dict[str, Any]:
    try:
        with open(os.path.join(folder, JOURNAL), encoding="utf-8") as file:
            journal: dict[str, Any] = json.load(file)
    except OSError:
        return {}  # the run is over and its folder gone
    return journal


def _decided(orders: dict[str, Any], journal: dict[str, Any]) -> bool:
    """Whether the promotion came to its verdict. What was decided stands; at most visitors were still kept out."""
    if journal.get("state") not in ("confirmed", "back"):
        return False
    for tree in (orders["root"], orders["tree"]):
        thaw(tree)
    return True


def _go_back(folder: str, orders: dict[str, Any], journal: dict[str, Any], report: dict[str, Any]) -> None:
    """Exchange the trees back, rename the tables back, refresh, thaw, and leave the report. Safe to repeat at any point."""
    root, tree = orders["root"], orders["tree"]
    query = _database(orders)
    if os.stat(root).st_ino == journal["new"]:
        _drain(query)
        exchange(root, tree)
        report["tree_back"] = True
    if journal["copies"]:
        report["tables_back"] = tables_back(query, journal["copies"], journal["known"], orders["prefix"])
    if journal["state"] == "exchanged":
        report["tables_from_staging"] = spares_back(query, journal)
        report["opcodes"] = _refresh(folder, orders)
    _drop(query, [name for name in _tables(query) if name.startswith(PUT_ASIDE)])
    # Before the thaw: what visitors write from then on is never put at risk by somebody who still believes in the freeze.
    report["broken_seconds"] = round(time.time() - float(journal.get("frozen_at") or time.time()), 3)
    write_whole(os.path.join(folder, JOURNAL), json.dumps({**journal, "state": "back", "host": report}))
    for each in (root, tree):
        thaw(each)


def _database(orders: dict[str, Any]) -> Query:
    def query(statement: str) -> list[list[str]]:
        command = [orders["client"], "--defaults-file=" + orders["options"], "--batch", "--skip-column-names", "--raw"]
        done = subprocess.run([*command, orders["database"]], input=statement.encode(), capture_output=True)
        if done.returncode != 0:
            raise WayBackError(done.stderr.decode("utf-8", "replace").strip()[-300:] or "the database client failed")
        return [line.split("\t") for line in done.stdout.decode("utf-8", "replace").split("\n")[:-1]]

    return query


def _tables(query: Query) -> list[str]:
    return [
        row[0]
        for row in query(
            "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()"
            " AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY TABLE_NAME"
        )
    ]


def _put_away(names: Sequence[str]) -> list[str]:
    """Return what tables_back() renamed away; a restoration gives its tables other names, and keeps them."""
    return [name for name in names if name.startswith(PUT_AWAY) and name[len(PUT_AWAY) :].isdigit()]


def _drop(query: Query, tables: Sequence[str]) -> None:
    if tables:
        names = ", ".join(_quoted(table) for table in tables)
        query(
            f"SET SESSION foreign_key_checks = 0, SESSION lock_wait_timeout = {LOCK_SECONDS}; DROP TABLE IF EXISTS {names}"
        )


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _drain(query: Query) -> None:
    """Wait until what was at work when the module died has let go of the database, but not for ever."""
    begun = quiet = time.monotonic()
    while time.monotonic() - begun < DRAIN_SECONDS and time.monotonic() - quiet < QUIET_SECONDS:
        time.sleep(0.05)
        rows = query(
            "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND ID <> CONNECTION_ID()"
        )
        if rows[0][0] != "0":
            quiet = time.monotonic()


def _refresh(folder: str, orders: dict[str, Any]) -> str:
    """Make the web server's PHP run what is on disk now. Returns how, in words."""
    web = orders["web"]
    if not web["opcache"]:
        return "no opcode cache"
    for _ in range(1 if web["validate_timestamps"] else REFRESH_TRIES):
        if _ask(folder, orders["root"], web):
            return "emptied"
        time.sleep(1.0)
    if web["validate_timestamps"]:
        time.sleep(float(web["revalidate_freq"]) + 0.2)
        return f"looks at files every {web['revalidate_freq']} s by itself"
    return "PHP could not be told: it may go on running old code until it is restarted"


def _ask(folder: str, root: str, web: dict[str, Any]) -> bool:
    """Let PHP inside the web server empty its opcode cache: a file with a random name, there for one request."""
    name = f"upkeep-{secrets.token_hex(8)}"
    headers = {"Host": web["host"], "X-Upkeep-Token": web["token"]}
    try:
        with _placed(folder, root, name), contextlib.closing(http.client.HTTPConnection(web["host"])) as connection:
            connection.sock = _connected(web)
            connection.request("GET", f"/{name}.php?do=reset", headers=headers)
            return bool(json.loads(connection.getresponse().read()).get("reset"))
    except (OSError, ValueError, AttributeError, http.client.HTTPException):
        return False


def _connected(web: dict[str, Any]) -> socket.socket:
    connected = socket.create_connection((web["address"], web["port"]), timeout=REFRESH_SECONDS)
    if web["scheme"] != "https":
        return connected
    context = ssl.create_default_context()
    if web["here"]:
        # Nobody can stand between this host and itself.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(connected, server_hostname=web["host"].partition(":")[0])


@contextlib.contextmanager
def _placed(folder: str, root: str, name: str) -> Iterator[None]:
    paths = []
    try:
        for kind in (".json", ".php"):
            with open(os.path.join(folder, REFRESH + kind), encoding="utf-8") as file:
                text = file.read()
            paths.append(os.path.join(root, name + kind))
            with open(paths[-1], "w", encoding="utf-8") as file:
                file.write(text)
            # The web server's PHP may run as another user than the owner; the file says nothing secret.
            os.chmod(paths[-1], 0o644)
        yield
    finally:
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


if __name__ == "__main__":
    sys.exit(main(os.path.dirname(os.path.abspath(__file__)), float(sys.argv[1]) if sys.argv[1:] else None))
