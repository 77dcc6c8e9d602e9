"""Make the folder of a new client: a contract that passes the check, and the places of its secrets."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from orchestrator.contract.address import host_problem
from orchestrator.contract.load import CONTRACT_FILE, parse_contract
from orchestrator.contract.schema import NAME
from orchestrator.contract.suggest import printable, quoted
from orchestrator.errors import Usage

VAULT = "group_vars/all/vault.yml"
USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")


@dataclass(frozen=True)
class Answers:
    """What is known about a new client. What is left empty gets a value that waits to be changed."""

    name: str = ""
    language: str = "en"
    time_zone: str = "Etc/UTC"
    site: str = "main"
    url: str = "https://www.example.com"
    host_address: str = "host.example.com"
    user: str = "www"
    root: str = "/srv/www/htdocs"
    endpoint: str = "https://s3.example.com"
    region: str = "us-east-1"


def scaffold(client: str, *, today: date, restic_password: str, answers: Answers | None = None) -> dict[str, str]:
    """Return the files of a new client's folder, by their path in it.

    Raises Usage or ContractInvalid when an answer cannot stand in a contract: then nothing is worth writing.
    """
    given = answers or Answers()
    if re.fullmatch(NAME, client) is None:
        raise Usage(f"{quoted(client)} is no name for a client.", "Use small letters, digits and hyphens.")
    if problem := host_problem(given.host_address, loopback=True):
        raise Usage(f"the host's address: {problem}", "Give the host's name or IP address.")
    if USER.fullmatch(given.user) is None:
        raise Usage(f"{quoted(given.user)} is no name of a user.", "Give the owner of the site's files.")
    files = {
        CONTRACT_FILE: _contract(client, given, today),
        "hosts.yml": _hosts(client, given),
        "group_vars/all/vars.yml": VARS,
        VAULT: VAULT_TEXT.format(password=json.dumps(restic_password)),
        ".gitignore": GITIGNORE,
    }
    parse_contract(files[CONTRACT_FILE], f"{client}/{CONTRACT_FILE}", folder=client)
    return files


def write_scaffold(inventories: Path, client: str, files: Mapping[str, str]) -> Path:
    """Write a new client's folder, whole or not at all, and return it. Raises Usage when there is one already."""
    folder = inventories / client
    if folder.exists() or folder.is_symlink():
        raise Usage(f"{printable(str(folder))} is there already; nothing was written.", f"upkeep check {client}")
    inventories.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{client}.", dir=inventories))
    try:
        draft.chmod(0o755)
        for name, text in files.items():
            path = draft / name
            path.parent.mkdir(parents=True, exist_ok=True)
            mode = 0o600 if name == VAULT else 0o644
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return folder


def _host(client: str, answers: Answers) -> str:
    return f"{client}-{answers.site}"


def _contract(client: str, answers: Answers, today: date) -> str:
    # JSON's strings are YAML's too: whatever an answer holds, it stays one value, and the check judges it.
    words = {key: json.dumps(value, ensure_ascii=False) for key, value in vars(answers).items()}
    words["name"] = json.dumps(answers.name or client, ensure_ascii=False)
    for key in ("name", "time_zone", "url", "root", "endpoint"):
        words[key] += _mark(answers, key)
    return CONTRACT.format(
        **words,
        client=json.dumps(client),
        bucket=json.dumps(f"upkeep-{client}"),
        host=json.dumps(_host(client, answers)),
        number=f"{today:%Y}-001",
        begins=today.isoformat(),
        ends=(today + timedelta(days=364)).isoformat(),
    )


def _hosts(client: str, answers: Answers) -> str:
    return HOSTS.format(
        host=_host(client, answers),
        address=json.dumps(answers.host_address) + _mark(answers, "host_address"),
        user=json.dumps(answers.user) + _mark(answers, "user"),
    )


def _mark(answers: Answers, key: str) -> str:
    """Return the mark of a value that nobody gave."""
    return "  # CHANGE" if getattr(answers, key) == getattr(Answers, key) else ""


CONTRACT = """\
# One client's promise. docs/contract.md explains every key; `upkeep check` says what is wrong, with the line.
# Read through all of it: what nobody told upkeep is marked with CHANGE.

schema: 1

client:
  id: {client}
  name: {name}
  language: {language}

agreement:
  number: "{number}"  # CHANGE
  signed: {begins}  # CHANGE
  begins: {begins}  # CHANGE
  ends: {ends}  # CHANGE
  time_zone: {time_zone}

contacts:
  - name: Somebody  # CHANGE
    role: client
    email: somebody@example.com  # CHANGE

store:  # the keys are in group_vars/all/vault.yml
  endpoint: {endpoint}
  bucket: {bucket}
  region: {region}
  # lock_days: 30  # so long nobody can remove a restore point: only where `upkeep store check` finds that it holds

sites:
  {site}:
    cms: wordpress
    url: {url}
    places:
      production:
        host: {host}
        root: {root}
      staging:
        port: 8081  # CHANGE: a free port of the host, from 1024 on
        database: staging  # CHANGE: an empty database that the site's database user owns
    functions:
      - name: front page
        path: /
        # text: [words that must stand in the page]

scope:
  backup: {{}}
  update:
    window: {{days: [mon, tue, wed, thu], from: "02:00", to: "05:00"}}
    core: minor
    plugins: all
    themes: all

retention: {{daily: 7, weekly: 4, monthly: 12, yearly: 2}}
"""

HOSTS = """\
# How Ansible reaches the places that contract.yml names.
# The host's key must be known before the first run: ssh-keyscan, compare it with the host's own, then add it.
# `ansible_user` is the owner of the site's files; no root is needed.

all:
  hosts:
    {host}:
      ansible_host: {address}
      ansible_user: {user}
"""

VARS = """\
# Settings of roles for all places of this client, as they stand in each role's defaults/main.yml.
# What follows from the contract is not repeated here: the inventory plugin sets it. Secrets are in vault.yml.
{}
"""

VAULT_TEXT = """\
# The secrets of this client. Encrypt this file: ansible-vault encrypt group_vars/all/vault.yml
site_snapshot_access_key: CHANGE
site_snapshot_secret_key: CHANGE
# Better: a second key, of the bucket's owner, that no host ever sees. See docs/store.md
# upkeep_store_access_key: CHANGE
# upkeep_store_secret_key: CHANGE
# Only where a site is no WordPress: the password of the database that the contract declares.
# upkeep_database_password: CHANGE
# Made at random, and best left so (docs/gateway.md says why). Without it nobody can read a restore point, you included:
# keep a copy somewhere else.
site_snapshot_password: {password}
"""

GITIGNORE = """\
# Secrets in the clear stay out of git. Remove this line once the file is encrypted with ansible-vault.
group_vars/all/vault.yml
"""
