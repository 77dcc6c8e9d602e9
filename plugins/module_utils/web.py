# GPL-3.0-or-later
"""Ask a web server one question and say what came back.

The answer to trust is the one of the host's own web server. So the connection always goes to the
address and port of the place, whatever the site's name resolves to, and the name travels in the Host header.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import socket
import ssl
import time
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

USER_AGENT = "Upkeep-Probe/1"
MAX_BYTES = 8 * 1024 * 1024
REFUSED = "connection refused"
TIMED_OUT = "no whole answer in time"

_DEFAULT_PORTS = {"http": 80, "https": 443}
_REDIRECTS = (301, 302, 303, 307, 308)
_BLOCK = 64 * 1024


@dataclass(frozen=True)
class Target:
    """Name one place of a site: where to connect to, and what to call the site there."""

    address: str
    port: int
    host: str
    """The site's name as in the Host header: with its port when the site's URL has an unusual one."""
    scheme: str
    token: str = ""
    cookies: str = ""


@dataclass(frozen=True)
class Answer:
    """What came back. `error` is empty for a whole answer; with an error the status is 0."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    """Names in lower case; a repeated header is joined with commas."""
    body: bytes = b""
    """With an error: what had come by then."""
    seconds: float = 0.0
    error: str = ""
    path: str = ""
    """The path that answered in the end, after redirects."""
    cookies: tuple[str, ...] = ()
    """The Set-Cookie headers, each for itself, of the last answer."""


def target_for(url: str, address: str, port: int, token: str = "", cookies: str = "") -> Target:
    """Make the target of the site with this URL at this address: the Host header has the URL's port, not this one."""
    parts = urlsplit(url)
    return Target(address, port, _authority(parts.scheme, parts.netloc), parts.scheme, token, cookies)


def fetch(
    target: Target,
    path: str,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    timeout: float = 20,
    max_bytes: int = MAX_BYTES,
    *,
    follow: int = 0,
    body: bytes = b"",
) -> Answer:
    """Ask for one path and never raise. `timeout` is for everything together, redirects included.

    `body` is sent with the question when there is one. `follow` redirects are followed, and only to the same site: a probe that wanders off would
    praise a page that is not the client's.
    """
    started = time.monotonic()
    deadline = started + timeout
    sent = {**(headers or {}), "Content-Length": str(len(body))} if body else headers or {}
    answer = _ask(target, path, method, sent, deadline, max_bytes, body)
    while follow > 0 and answer.status in _REDIRECTS and method in ("GET", "HEAD"):
        onward = same_site_path(target, answer.headers.get("location", ""), answer.path)
        if not onward:
            break
        follow -= 1
        answer = _ask(target, onward, method, headers or {}, deadline, max_bytes)
    return replace(answer, seconds=time.monotonic() - started)


def same_site_path(target: Target, address: str, base: str = "/") -> str:
    """Say which path of this site the address means, or "" when it leads elsewhere. `base`: the page that names it."""
    here = f"{target.scheme}://{target.host}/"
    try:
        parts = urlsplit(urljoin(urljoin(here, base), address.strip()))
        # http or https does not matter: a staging place speaks http for a site that calls itself https.
        same = parts.scheme in _DEFAULT_PORTS and _authority(parts.scheme, parts.netloc) == _authority(
            target.scheme, target.host
        )
    except ValueError:
        return ""
    if not address.strip() or not same:
        return ""
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _authority(scheme: str, netloc: str) -> str:
    """Name and port in one spelling: lower case, no user, no port that goes without saying."""
    parts = urlsplit(f"//{netloc}")
    name = parts.hostname or ""
    name = f"[{name}]" if ":" in name else name
    if parts.port is None or parts.port == _DEFAULT_PORTS.get(scheme):
        return name
    return f"{name}:{parts.port}"


def _ask(
    target: Target,
    path: str,
    method: str,
    headers: dict[str, str],
    deadline: float,
    max_bytes: int,
    sent: bytes = b"",
) -> Answer:
    """One request, one answer, every foreign exception turned into words here."""
    path = quote(path.partition("#")[0], safe="/%?&=:;,+!$'()*@~[]|-._") or "/"
    status = 0
    received: dict[str, str] = {}
    cookies: tuple[str, ...] = ()
    body = bytearray()
    try:
        with _connect(target, deadline) as connected:
            connection = http.client.HTTPConnection(target.host)
            connection.sock = _Deadlined(connected, deadline)
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in {**_headers(target), **headers}.items():
                connection.putheader(name, value.encode("latin-1"))
            connection.endheaders(sent or None)
            response = connection.getresponse()
            status = response.status
            received = _received(response)
            cookies = tuple(response.headers.get_all("Set-Cookie") or ())
            while len(body) <= max_bytes:
                block = response.read(_BLOCK)
                if not block:
                    break
                body += block
            # read(n) says nothing about a body that ends before its Content-Length.
            left = response.length if method != "HEAD" else 0
        error = ""
        if len(body) > max_bytes:
            error = f"the answer is larger than {max_bytes} bytes"
        elif left:
            error = f"the answer broke off after {len(body)} bytes"
    except http.client.IncompleteRead as broken:
        body += broken.partial
        error = f"the answer broke off after {len(body)} bytes"
    except socket.timeout:
        error = TIMED_OUT
    except ConnectionRefusedError:
        error = REFUSED
    except http.client.HTTPException as broken:
        error = f"not an answer in HTTP: {type(broken).__name__}"
    except ssl.SSLError as broken:
        error = f"TLS failed: {broken.reason or broken}"
    except (OSError, ValueError) as broken:
        error = f"no answer: {broken}"
    if error and status:
        error += f" (its status was {status})"
    return Answer(0 if error else status, received, bytes(body[:max_bytes]), 0.0, error, path, cookies)


def _headers(target: Target) -> dict[str, str]:
    headers = {
        "Host": target.host,
        "User-Agent": USER_AGENT,
        "Accept": "*/*",
        # A cache that answers for a dead site would hide the outage.
        "Cache-Control": "no-cache",
        "Pragma": "no-cache",
        "Connection": "close",
    }
    if target.token:
        headers["X-Upkeep-Token"] = target.token
    if target.cookies:
        headers["Cookie"] = target.cookies
    return headers


def _received(response: http.client.HTTPResponse) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in response.getheaders():
        known = headers.get(name.lower())
        headers[name.lower()] = value if known is None else f"{known}, {value}"
    return headers


def _connect(target: Target, deadline: float) -> socket.socket:
    connected = socket.create_connection((target.address, target.port), timeout=_left(deadline))
    if target.scheme != "https":
        return connected
    try:
        context = ssl.create_default_context()
        if is_this_host(target.address):
            # Nobody can stand between this host and itself. The certificate may rightly belong to a
            # proxy in front, or not exist for staging; whether it is good is a question of monitoring.
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        connected.settimeout(_left(deadline))
        name = urlsplit(f"//{target.host}").hostname
        return context.wrap_socket(connected, server_hostname=name)
    except BaseException:
        connected.close()
        raise


def is_this_host(address: str) -> bool:
    """True for loopback and for an address of this host."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address == "localhost"
    if ip.is_loopback:
        return True
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as question:
            # Sends nothing: it asks the routing from where this host would speak to that address.
            question.connect((address, 9))
            return bool(ipaddress.ip_address(question.getsockname()[0]) == ip)
    except (OSError, ValueError):
        return False


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise socket.timeout("deadline")
    return left


class _Deadlined:
    """What http.client needs of a socket, with one deadline for everything instead of one timeout for each read."""

    def __init__(self, connected: socket.socket, deadline: float) -> None:
        self._socket = connected
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        self._socket.settimeout(_left(self._deadline))
        self._socket.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._socket, self._deadline))

    def close(self) -> None:
        """Leave the socket to its owner: http.client closes it before the body is read."""


class _Reader(io.RawIOBase):
    def __init__(self, connected: socket.socket, deadline: float) -> None:
        super().__init__()
        self._socket = connected
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._socket.settimeout(_left(self._deadline))
        return self._socket.recv_into(buffer)
