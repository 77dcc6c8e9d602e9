"""Judge addresses and paths that came from a contract, before anything connects to them or passes them on."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import unquote

from orchestrator.contract.suggest import quoted

URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9.-]{1,253})(?::(?P<port>[0-9]{1,5}))?/?"
)
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
URL_ALLOWED = "http:// or https://, a host, a port if need be, and nothing else, such as https://www.example.test"

LOOPBACK_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"})
# What answers here hands out a cloud machine's own credentials to whoever asks from inside.
METADATA_NAMES = frozenset(
    {
        "metadata", "metadata.google.internal", "metadata.goog", "metadata.azure.internal", "metadata.internal",
        "instance-data", "instance-data.ec2.internal", "metadata.packet.net", "metadata.platformequinix.com",
    }
)  # fmt: skip
METADATA_ADDRESSES = frozenset({"169.254.169.254", "100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254"})
TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")

# A site's files never lie here, and whoever says so has something else in mind.
SYSTEM_FOLDERS = (
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/lost+found", "/proc", "/root", "/run",
    "/sbin", "/sys", "/usr", "/var/backups", "/var/cache", "/var/lib/mysql", "/var/lib/postgresql", "/var/run",
    "/var/spool",
)  # fmt: skip
UNREADABLE_FOLDERS = ("/boot", "/dev", "/etc", "/proc", "/root", "/sys")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Url:
    """The parts of an address that stood the test."""

    scheme: str
    host: str
    port: int | None

    @property
    def normal(self) -> str:
        """The address as it is used: small letters, no closing slash."""
        return f"{self.scheme}://{self.host}" + (f":{self.port}" if self.port is not None else "")

    @property
    def effective_port(self) -> int:
        """The port that a visitor's browser connects to."""
        return self.port if self.port is not None else {"http": 80, "https": 443}[self.scheme]


def read_url(text: str) -> Url | None:
    """Return the parts of an address, or None when it has not the form of one."""
    match = URL.fullmatch(text)
    if match is None:
        return None
    port = int(match["port"]) if match["port"] else None
    return Url(match["scheme"], match["host"].lower(), port)


def url_problem(text: str, *, loopback: bool) -> str:
    """Say what is wrong with an address, or nothing. `loopback` tells whether this machine itself may be meant."""
    url = read_url(text)
    if url is None:
        return f"{quoted(text)} is not allowed: {_why_no_url(text)}. Allowed: {URL_ALLOWED}."
    if url.port is not None and not 1 <= url.port <= 65535:
        return f"{quoted(text)} has no possible port. Allowed: 1 to 65535."
    problem = _host_problem(url.host, loopback=loopback)
    return f"{quoted(text)} is not allowed: {problem}. Allowed: {URL_ALLOWED}." if problem else ""


def host_problem(text: str, *, loopback: bool) -> str:
    """Say what is wrong with a host's name or IP address, or nothing."""
    problem = _host_problem(f"[{text}]" if ":" in text else text, loopback=loopback)
    return f"{quoted(text)} is not allowed: {problem}. Allowed: an IP address or a host's name." if problem else ""


def _why_no_url(text: str) -> str:
    scheme, separator, rest = text.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    reasons = (
        (not separator or scheme not in {"http", "https"}, "only http and https are spoken here"),
        (authority == "", "it names no host"),
        ("@" in authority, "a user or password may not stand in it"),
        ("?" in rest or "#" in rest, "a question mark or a fragment may not stand in it"),
        (re.search(r"[^\x21-\x7e]", text) is not None, "write a foreign name in its xn-- form, without spaces"),
        ("/" in rest.removesuffix("/"), "a folder may not stand in it"),
    )
    return next((reason for wrong, reason in reasons if wrong), "it has not the form of an address")


def _host_problem(host: str, *, loopback: bool) -> str:
    if host in METADATA_NAMES:
        return "this is a cloud's metadata service"
    if host in LOOPBACK_NAMES or host.endswith(".localhost"):
        return "" if loopback else "this is the machine itself"
    address = _ip_address(host)
    if address is not None:
        return _address_problem(address, loopback)
    labels = host.split(".")
    # 2130706433, 0x7f.1 and 0177.0.0.1 are all 127.0.0.1 to a C library, and nothing to a person.
    if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", labels[-1]) or host.startswith("["):
        return "this is not an IP address as a person writes it"
    if len(host) > 253 or not all(LABEL.fullmatch(label) for label in labels):
        return "this is not a host's name in small letters"
    return ""


def _ip_address(host: str) -> Address | None:
    try:
        if host.startswith("["):
            return ipaddress.IPv6Address(host.strip("[]"))
        return ipaddress.IPv4Address(host)
    except ValueError:
        return None


def _address_problem(address: Address, loopback: bool) -> str:
    if isinstance(address, ipaddress.IPv6Address):
        # An IPv4 address may travel inside of an IPv6 one in four ways; it is the inner one that answers.
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if address in TRANSLATED:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return _address_problem(inner, loopback)
    if str(address) in METADATA_ADDRESSES:
        return "this is a cloud's metadata service"
    if address.is_link_local:
        return "this is a link-local address"
    if address.is_loopback:
        return "" if loopback else "this is the machine itself"
    if address.is_unspecified or address.is_multicast or address.is_reserved:
        return "this address belongs to no single machine"
    if isinstance(address, ipaddress.IPv4Address) and int(address) >> 24 == 0:
        return "this address belongs to no single machine"
    return ""


def path_problem(path: str, *, document_root: bool) -> str:
    """Say what is wrong with an absolute path on a host, or nothing."""
    parts = path.split("/")[1:]
    if any(part in {"", ".", ".."} for part in parts):
        return f"{quoted(path)} is not allowed: '..', '.', '//' and a closing '/' may not stand in a path."
    if any(part.startswith("-") for part in parts):
        return f"{quoted(path)} is not allowed: no part of a path may begin with '-', it would be read as an option."
    for folder in SYSTEM_FOLDERS if document_root else UNREADABLE_FOLDERS:
        if path == folder or path.startswith(folder + "/"):
            return f"{quoted(path)} is not allowed: {folder} belongs to the system. Allowed: such as /srv/shop/htdocs."
    if document_root and len(parts) < 2:
        return f"{quoted(path)} is not allowed: at least two folders deep, such as /srv/shop/htdocs."
    if document_root and ".upkeep" in parts:
        return f"{quoted(path)} is not allowed: .upkeep is where upkeep keeps its own things beside a site."
    return ""


def page_problem(path: str) -> str:
    """Say what is wrong with the path of a page, or nothing. What is hidden behind % is looked at too."""
    if path.startswith("//"):
        return f"{quoted(path)} is not allowed: '//' at the beginning names another host. Allowed: one '/'."
    if re.search(r"%(?![0-9A-Fa-f]{2})", path):
        return f"{quoted(path)} is not allowed: after '%' come two digits of 0-9 A-F."
    # Some servers undo the escape twice.
    plain = unquote(unquote(path, "latin-1"), "latin-1")
    if ".." in re.split(r"[/\\?&=]", plain):
        return f"{quoted(path)} is not allowed: '..' may not stand in it."
    if not plain.isprintable() and any(ord(each) < 32 or ord(each) == 127 for each in plain):
        return f"{quoted(path)} is not allowed: no control characters, not even behind '%'."
    return ""
