"""hostile-contract: whatever stands in a contract, nothing is run, and a person reads the line and what is allowed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator.contract.load import check, load_contract
from orchestrator.errors import ContractInvalid
from tests.unit.contract.samples import (
    FUNCTION,
    PRODUCTION,
    REPOSITORY,
    SAMPLE,
    STAGING,
    UPDATE,
    URL,
    changed,
    mistakes_of,
    mistakes_with,
    sample_data,
    written,
)

CLIENT = ("client", "id")
HOST = (*PRODUCTION, "host")
ROOT = (*PRODUCTION, "root")
PHP = (*PRODUCTION, "programs", "php")
PAGE = (*FUNCTION, "path")
DATABASE = (*STAGING, "database")
PLUGIN = (*UPDATE, "plugins")
ENDPOINT = ("store", "endpoint")

# Every value that can become part of a command, a path, a query or a request.
ARGUMENTS = [
    CLIENT, HOST, ROOT, PHP, PAGE, DATABASE, URL, ENDPOINT, ("store", "bucket"), ("store", "region"),
    (*PRODUCTION, "address"), (*PRODUCTION, "error_log"), ("agreement", "number"), ("agreement", "time_zone"),
    ("client", "language"), ("contacts", 0, "email"), ("contacts", 0, "phone"),
]  # fmt: skip
WORDS = [
    ("client", "name"),
    ("contacts", 0, "name"),
    (*FUNCTION, "name"),
    (*FUNCTION, "text", 0),
    ("scope", "report", "promise"),
]
SHELL = [
    ";id",
    "a;id",
    "$(id)",
    "`id`",
    "a|id",
    "a&&id",
    "a>b",
    "a<b",
    "a'b",
    'a"b',
    "a\\b",
    "a b;c",
    "$HOME",
    "a*",
    "!id",
    "~root#",
]


def name(value: object) -> str:
    """Name a case without anything that a terminal or a file system minds."""
    text = ".".join(str(part) for part in value) if isinstance(value, tuple) else repr(value)
    return "".join(each if each.isalnum() or each in "._-" else "_" for each in text)[:40]


def dotted(path):
    """Write a path as a message does."""
    return "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in path)[1:]


def refused_at(path, value):
    """See that a value is refused at its line, in words that cannot forge a line of their own; return the words."""
    return refused_everywhere([path], value)[0]


def refused_everywhere(paths, value):
    """Put a value at many places of one contract at once, and see that each of them is refused at its own line."""
    data = sample_data()
    for path in paths:
        data = changed(path, value, data)
    text = written(data)
    mistakes = mistakes_of(text)
    lines = text.split("\n")
    for mistake in mistakes:
        assert str(mistake).isprintable()
        assert str(mistake).startswith(f"contract.yml:{mistake.line}:{mistake.column}: ")
    found = {mistake.path: mistake for mistake in mistakes}
    assert found.keys() >= {dotted(path) for path in paths}
    for path in paths:
        line = lines[found[dotted(path)].line - 1]
        assert f'"{path[-1]}": ' in line or isinstance(path[-1], int)
    return [found[dotted(path)].message for path in paths]


@pytest.mark.parametrize("value", SHELL, ids=name)
def test_hostile_contract_shell_characters_are_refused(value):
    paths = [path for path in ARGUMENTS if path != PAGE]
    assert all("llowed" in message or "zone" in message for message in refused_everywhere(paths, value))
    # In the query of a page `&` is an ordinary letter, and a page never becomes part of a command.
    if "&" not in value:
        refused_at(PAGE, f"/{value}")


@pytest.mark.parametrize("value", ["--exec=id", "-oProxyCommand=id", "-x", "-"], ids=name)
def test_hostile_contract_a_value_is_never_an_option(value):
    refused_everywhere(ARGUMENTS + WORDS, value)


@pytest.mark.parametrize("value", ["{{ lookup('pipe','id') }}", "x {% if 1 %}", "{# x #}", "a{{b"], ids=name)
def test_hostile_contract_a_value_is_never_a_template(value):
    refused_everywhere(ARGUMENTS + WORDS, value)


@pytest.mark.parametrize("value", ["a\nb", "a\n", "a\r", "a\x00b", "\x1b[2Ja", "a\tb"], ids=name)
def test_hostile_contract_control_characters_are_refused(value):
    refused_everywhere(ARGUMENTS + WORDS, value)


@pytest.mark.parametrize(
    "value", ["a\x9b31m", "a\u2028b", "a\u202eb", "a\u200bb", "\ufeffa", "a\x7f", "a\x85b"], ids=name
)
def test_hostile_contract_invisible_characters_are_refused(value):
    data = changed(("client", "name"), value)
    for text in (written(data), json.dumps(data, indent=1)):
        (mistake,) = mistakes_of(text)
        assert '"name"' in text.split("\n")[mistake.line - 1]
        assert str(mistake).isprintable()


@pytest.mark.parametrize("value", ["../etc", "..", "a/../b", "/srv/../etc", "/srv/a/.."], ids=name)
def test_hostile_contract_a_way_up_is_refused(value):
    refused_everywhere([CLIENT, HOST, ROOT, PHP, PAGE, DATABASE, ("store", "bucket"), ("agreement", "number")], value)


@pytest.mark.parametrize(
    "root",
    ["/", "/srv", "srv/shop", "./srv/shop", "~/htdocs", "/srv//shop", "/srv/shop/", "/srv/./shop", "/etc/nginx", "/proc/1/root",
     "/sys/kernel", "/dev/shm", "/root/site", "/boot/x", "/usr/share/www", "/bin/x", "/sbin/x", "/lib/x", "/lib64/x",
     "/run/x", "/var/lib/mysql/shop", "/srv/-x/htdocs", "/srv/.upkeep/x", "/srv/shop htdocs/x", "/srv/säge/x", "/" + "a" * 300],
    ids=name,
)  # fmt: skip
def test_hostile_contract_a_document_root_is_a_sites_own_folder(root):
    refused_at(ROOT, root)


@pytest.mark.parametrize(
    "page",
    ["", "shop", "//evil.test/", "http://evil.test/", "/a/../b", "/..", "/%2e%2e/x", "/%252e%252e/x", "/a%0d%0aHost:x",
     "/a%00", "/a%1b", "/a b", "/a#b", "/%zz", "/%", "/\\evil", "/ü", "/a%5c..%5cb", "/?x=../y", "/" + "a" * 600],
    ids=name,
)  # fmt: skip
def test_hostile_contract_a_page_is_a_page_of_the_site(page):
    refused_at(PAGE, page)


NO_URLS = [
    "ftp://shop.example.test", "file:///etc/passwd", "gopher://x.test", "javascript:alert(1)", "http:", "http://",
    "//shop.example.test", "shop.example.test", "http:/shop.example.test", "HTTP://shop.example.test", "http:// x.test",
    "http://user@shop.example.test", "http://user:secret@shop.example.test", "http://shop.example.test@evil.test",
    "http://shop.example.test/?a=b", "http://shop.example.test/#a", "http://shop.example.test/blog",
    "http://shop.example.test\\@evil.test", "http://shop.example.test:0", "http://shop.example.test:99999",
    "http://shop.example.test:80:80", "http://shop..example.test", "http://-shop.test", "http://shop-.test",
    "http://shop_x.test", "http://bücker.example", "http://" + "a" * 64 + ".test", "http://" + "a." * 200 + "test",
    "http://[fe80::1]", "http://[fe80::1%25eth0]", "http://[::ffff:169.254.169.254]", "http://[64:ff9b::a9fe:a9fe]",
    "http://[2002:a9fe:a9fe::1]", "http://[fd00:ec2::254]", "http://[zz]", "http://[::1", "http://[1.2.3.4]",
    "http://169.254.169.254", "http://169.254.1.1:80/", "http://100.100.100.200", "http://metadata.google.internal",
    "http://METADATA", "http://instance-data", "http://2852039166", "http://0xa9fea9fe", "http://0xa9.0xfe.1",
    "http://0251.0376.0251.0376", "http://169.254.43518", "http://224.0.0.1", "http://255.255.255.255",
    "http://0.0.0.0", "http://0.1.2.3", "http://[::]",
]  # fmt: skip
THIS_MACHINE = [
    "http://localhost", "http://LOCALHOST:80", "http://x.localhost", "http://127.0.0.1", "http://127.1.2.3:8080",
    "http://[::1]", "http://[::ffff:127.0.0.1]",
]  # fmt: skip


@pytest.mark.parametrize("value", NO_URLS, ids=name)
def test_hostile_contract_an_address_is_on_the_network_and_nowhere_else(value):
    assert all("Allowed: " in message for message in refused_everywhere([URL, ENDPOINT], value))


@pytest.mark.parametrize("value", THIS_MACHINE, ids=name)
def test_hostile_contract_a_site_is_never_the_machine_itself(value):
    assert "Allowed: " in refused_at(URL, value)


@pytest.mark.parametrize(
    "value",
    [
        "http://10.77.0.1:9000",
        "http://127.0.0.1:9000",
        "http://localhost:9000",
        "https://s3.eu-central-1.amazonaws.com",
    ],
)
def test_hostile_contract_an_honest_store_is_not_refused(value):
    assert mistakes_with(ENDPOINT, value) == ()


@pytest.mark.parametrize(
    "value", ["169.254.169.254", "fe80::1", "0.0.0.0", "metadata", "2130706433", "http://x", "a/b", "::"]
)
def test_hostile_contract_the_address_of_a_web_server_is_a_host(value):
    refused_at((*PRODUCTION, "address"), value)


@pytest.mark.parametrize("key", ["slug", "version"])
@pytest.mark.parametrize("value", ["../x", "a/b", "--x", "a;b", "a b", "", "a..b", "$(id)", "x\n", "é"], ids=name)
def test_hostile_contract_a_held_release_has_an_ordinary_name(key, value):
    hold = {"kind": "plugin", "slug": "akismet", "version": "5.1", "reason": "x", key: value}
    assert mistakes_with((*UPDATE, "holds"), [hold])
    if key == "slug":
        assert mistakes_with(PLUGIN, [value])


@pytest.mark.parametrize(
    "site", ["../x", "Shop", "a b", "-x", "", "a.b", "a\x1b", "{{x}}", "shop\n", "x" * 64], ids=name
)
def test_hostile_contract_a_site_has_an_ordinary_name(site):
    data = changed(("sites", "shop", "cms"), "wordpress")
    data["sites"] = {site: data["sites"]["shop"]}
    mistakes = mistakes_of(written(data))
    assert mistakes
    assert all(str(mistake).isprintable() for mistake in mistakes)


# YAML itself as a weapon

LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LAUGHS, "anchors (&name) are not allowed"),
        (LAUGHS, "aliases (*name) are not allowed"),
        ("client: &c {id: example}\nstore: {<<: *c}\n", "merge keys (<<) are not allowed"),
        ("client: !!python/object/apply:os.system ['id']\n", "tags (!name) are not allowed"),
        ("client: !vault x\n", "tags (!name) are not allowed"),
        ("%YAML 1.1\n---\nclient: 1\n", "YAML directives"),
        ("%TAG ! tag:evil.test,2026:\n---\nclient: 1\n", "YAML directives"),
        ("client: 1\n---\nclient: 2\n", "a second document begins here"),
        ("client: 1\nclient: 2\n", "the key 'client' stands here a second time, first on line 1"),
        ("client: {id: a, name: b, id: c}\n", "the key 'id' stands here a second time, first on line 1"),
        ("? {a: b}\n: c\n", "a key must be a plain word"),
        ("a: *a\n", "aliases (*name) are not allowed"),
        ("client: {id: example\n", "this is not YAML"),
        ("client:\n\tid: example\n", "this is not YAML"),
        ('client: "\\UFFFFFFFF"\n', "this is not YAML"),
        ("client: \x00\n", "the character '\\x00' is not allowed"),
        ("client: \x1b]0;x\x07\n", "the character '\\x1b' is not allowed"),
        ("client: a\rschema: 1\n", "the character '\\r' is not allowed"),
        ("[" * 100_000, "nested more than"),
        ("{a: " * 50_000, "nested more than"),
        ("- " * 100_000, "nested more than"),
        ("a: [" + "1," * 100_000 + "]\n", "more than 20000 values"),
        ("a: " + "x" * 300_000, "larger than 256 KiB"),
        ('? "' + "x" * 200_000 + '"\n: 1\n', "unknown key 'xxx"),
        ("a" * 64 + ": " + "9" * 100_000 + "\n", "unknown key"),
    ],
    ids=name,
)  # fmt: skip
def test_hostile_contract_yaml_that_surprises_is_refused_at_once(text, words):
    began = time.process_time()
    mistakes = mistakes_of(text)
    assert time.process_time() - began < 5
    assert any(words in mistake.message for mistake in mistakes)
    for mistake in mistakes:
        assert str(mistake).isprintable()
        assert len(str(mistake)) < 1000


def test_hostile_contract_bytes_that_are_not_utf_8_are_refused_with_their_line(tmp_path):
    path = tmp_path / "contract.yml"
    path.write_bytes(b"schema: 1\nclient: \xff\xfe\n")
    (mistake,) = check([path])
    assert (mistake.line, mistake.column) == (2, 9)
    assert "not UTF-8" in mistake.message


def test_hostile_contract_words_of_a_file_cannot_forge_a_line_of_ours(tmp_path):
    folder = tmp_path / "x\n0 mistakes\x1b[2J"
    folder.mkdir()
    path = folder / "contract.yml"
    path.write_text('"key\\n0 mistakes": 1\nclient: "\\e[2J\\r0 mistakes"\n')
    (folder / "hosts.yml").write_text('all: {hosts: {"a\\nb": 1}}\n')
    with pytest.raises(ContractInvalid) as caught:
        load_contract(path)
    lines = caught.value.message.split("\n")
    assert len(lines) == 1 + len(caught.value.mistakes)
    assert all(line.isprintable() for line in lines)


@pytest.fixture
def hostile_client(tmp_path):
    """A client's folder whose contract would run a command, if anything of it were run."""
    folder = tmp_path / "example"
    shutil.copytree(SAMPLE.parent, folder, ignore=shutil.ignore_patterns("vault.yml"))
    marker = tmp_path / "it-ran"
    text = (folder / "contract.yml").read_text()
    text = text.replace("name: Example Bakery", f"name: \"{{{{ lookup('pipe', 'touch {marker}') }}}}\"")
    text = text.replace("root: /srv/shop/htdocs", f"root: /srv/$(touch {marker})")
    (folder / "contract.yml").write_text(text)
    return folder, marker


@pytest.mark.parametrize("command", ["ansible-inventory", "ansible-playbook"])
def test_hostile_contract_nothing_runs(hostile_client, tmp_path, command):
    folder, marker = hostile_client
    play = tmp_path / "play.yml"
    play.write_text(
        "- hosts: all:localhost\n  gather_facts: false\n  connection: local\n  tasks:\n"
        "    - ansible.builtin.debug: {msg: it began}\n"
    )
    program = str(Path(sys.executable).with_name(command))
    arguments = ["--list"] if command == "ansible-inventory" else [str(play)]
    ended = subprocess.run(
        [program, "-i", str(folder), *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 10
    assert "it began" not in ended.stdout
    assert "2 mistakes in the contract; nothing was run." in ended.stderr
    assert f"{folder}/contract.yml:" in ended.stderr
    assert "client.name: " in ended.stderr
    assert "sites.shop.places.production.root: " in ended.stderr
    assert not marker.exists()
