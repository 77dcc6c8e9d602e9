"""A socket here leads to a port of the host, also where Ansible keeps no connection open."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from orchestrator.run.copy_forward import led_here
from orchestrator.run.gateway_forward import ForwardError
from tests.lab import Lab

pytestmark = pytest.mark.root


def test_a_connection_of_our_own_leads_to_the_host(lab: Lab, tmp_path: Path, sockets: Path) -> None:
    host = lab.host("shop")
    ssh = ["ssh", "-i", str(host.ssh_key), "-o", f"UserKnownHostsFile={host.known_hosts}", "-o", "IdentitiesOnly=yes"]
    name, here = f"{host.ssh_user}@{host.address}", sockets / "copy"

    with led_here(ssh, name, 80, here), socket.socket(socket.AF_UNIX) as visitor:
        visitor.connect(str(here))
        visitor.sendall(b"HEAD / HTTP/1.1\r\nHost: shop.example.test\r\nConnection: close\r\n\r\n")
        assert visitor.recv(100).startswith(b"HTTP/1.1 200")

    with pytest.raises(ForwardError, match="Permission denied"), led_here(ssh, f"nobody@{host.address}", 80, here):
        pass
