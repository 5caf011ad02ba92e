"""What the kernel tells of TCP sockets when it is asked."""

from __future__ import annotations

import os
import socket
from ipaddress import ip_address
from pathlib import Path

import pytest

from vllm_vigil.sources import sockets
from vllm_vigil.sources.sockets import ESTABLISHED, LISTEN, Socket, ask

PROC = Path("/proc")
LOCAL = ip_address("127.0.0.1")


def inode(of: socket.socket) -> int:
    """Its number, by which the kernel names it."""
    return os.fstat(of.fileno()).st_ino


def test_listeners_and_both_ends_of_a_connection_are_told_by_their_ports() -> None:
    """An end that nobody has accepted yet has no inode."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        port, its_port, user = server.getsockname()[1], client.getsockname()[1], os.getuid()
        assert [Socket(port, ip_address("0.0.0.0"), 0, user, inode(server))] == ask(PROC, LISTEN, port=port)  # noqa: S104  # what it says
        waiting = ask(PROC, ESTABLISHED, port=port)
        assert waiting is not None
        assert [(LOCAL, its_port, 0)] == [(each.remote, each.remote_port, each.inode) for each in waiting]
        accepted, _ = server.accept()
        with accepted:
            assert [Socket(port, LOCAL, its_port, user, inode(accepted))] == ask(PROC, ESTABLISHED, port=port)
            assert [Socket(its_port, LOCAL, port, user, inode(client))] == ask(PROC, ESTABLISHED, remote_port=port)


def test_a_server_of_both_families_has_its_clients_in_both() -> None:
    """One that came through IPv4 to an IPv6 socket is told by the address that it has."""
    with (
        socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server,
        socket.create_connection(("127.0.0.1", server.getsockname()[1])),
        socket.create_connection(("::1", server.getsockname()[1])),
    ):
        told = ask(PROC, ESTABLISHED, port=server.getsockname()[1])
        assert told is not None
        assert {LOCAL, ip_address("::1")} == {each.remote for each in told}


def test_many_sockets_come_in_many_messages() -> None:
    """A dump is more than one answer of the kernel long."""
    with socket.create_server(("127.0.0.1", 0), backlog=600) as server:
        clients = [socket.create_connection(server.getsockname()) for _ in range(600)]
        told = ask(PROC, ESTABLISHED, port=server.getsockname()[1])
        ports = {client.getsockname()[1] for client in clients}
        for client in clients:
            client.close()
    assert told is not None
    assert ports == {each.remote_port for each in told}


def test_where_the_kernel_does_not_answer_nothing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It has no such question, or no such protocol; and another /proc may be of another network."""
    monkeypatch.setattr(sockets, "BY_FAMILY", 99)
    assert ask(PROC, LISTEN) is None
    monkeypatch.setattr(sockets, "SOCK_DIAG", 31)
    assert ask(PROC, LISTEN) is None
    monkeypatch.undo()
    assert ask(PROC, LISTEN) is not None
    assert ask(tmp_path, LISTEN) is None
