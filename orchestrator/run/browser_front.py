"""A door for a browser: a port of the loopback address here, behind it the socket that leads to a site's copy.

The copy speaks plain http, also where the site is https: then the door is the one that speaks TLS.
"""

from __future__ import annotations

import contextlib
import datetime
import select
import socket
import socketserver
import ssl
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ADDRESS = "127.0.0.1"
BLOCK = 1 << 16
# A browser that says nothing for so long has forgotten the connection.
IDLE_SECONDS = 60.0


@contextlib.contextmanager
def door(target: Path, certificate: ssl.SSLContext | None = None) -> Iterator[int]:
    """Listen while the block lasts and return the port. With a certificate, TLS is spoken at it."""

    class Visit(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as onward:
                self.request.settimeout(IDLE_SECONDS)
                onward.connect(str(target))
                if certificate is None:
                    _carry(self.request, onward)
                else:
                    with certificate.wrap_socket(self.request, server_side=True) as visitor:
                        _carry(visitor, onward)

    class Door(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False
        request_queue_size = 64

    with Door((ADDRESS, 0), Visit) as server:
        listening = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        listening.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            listening.join()


def _carry(visitor: socket.socket, onward: socket.socket) -> None:
    """Carry everything between the two until one has nothing more to say. One thread: TLS bears no two at a time."""
    while True:
        told = visitor.pending() if isinstance(visitor, ssl.SSLSocket) else 0
        ready = [visitor] if told else select.select([visitor, onward], [], [], IDLE_SECONDS)[0]
        if not ready:
            return
        for one in ready:
            block = one.recv(BLOCK)
            if not block:
                return
            (onward if one is visitor else visitor).sendall(block)


def certificate_for(host: str, folder: Path, now: datetime.datetime) -> ssl.SSLContext:
    """Make a certificate for this name that nobody but the browser of this moment believes. It lies in `folder`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "upkeep")])
    day = datetime.timedelta(days=1)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    file.touch(mode=0o600)
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
