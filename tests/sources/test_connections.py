"""How many clients are connected to a server."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from standins.proc_tree import ProcTree
from vllm_vigil.sources import sockets
from vllm_vigil.sources.connections import IPV6_AGAIN, Connections
from vllm_vigil.sources.listeners import Address, literal
from vllm_vigil.sources.processes import Processes

LOCAL = Address(literal("127.0.0.1"), 8000)
REAL = Path("/proc")


def seen(tree: ProcTree, address: Address, pid: int | None) -> int | None:
    """The connections of the server behind that process."""
    table = Processes(tree.root).look()
    return Connections(tree.root).count(address, table[pid] if pid else None, table)


def row(local: str, remote: str, inode: int = 1, state: str = "01") -> str:
    """A line of /proc/net/tcp."""
    rest = "00000000:00000000 00:00000000 00000000  1000        0"
    return f"   3: {local} {remote} {state} {rest} {inode} 1 0 20 4 1 10 -1\n"


@contextlib.contextmanager
def listening(family: socket.AddressFamily, host: str) -> Iterator[socket.socket]:
    """A server on this machine."""
    with socket.socket(family) as server:
        server.bind((host, 0))
        server.listen()
        yield server


def test_established_connections_of_the_port_count_and_no_others(tmp_path: Path) -> None:
    """Neither the listener, nor one that the client has closed, nor the client's own end, nor another port."""
    tree = ProcTree(tmp_path)
    tree.add(50, ["vllm", "serve"])
    (tree.root / "self" / "net" / "tcp").write_text(
        "  sl  local_address rem_address   st\n"
        + row("0100007F:1F40", "00000000:0000", state="0A")
        + row("0100007F:1F40", "0100007F:A6C0")
        + row("0100007F:1F40", "0100007F:A6C1", state="08")
        + row("0100007F:A6C0", "0100007F:1F40")
        + row("0100007F:1F41", "0100007F:A6C0")
    )
    (tree.root / "self" / "net" / "tcp6").write_text(
        "header\n" + row("0000000000000000FFFF00000100007F:1F40", "0000000000000000FFFF00000100007F:A6C0")
    )
    assert seen(tree, LOCAL, 50) == 2


def test_our_own_connections_are_none_of_the_clients(tmp_path: Path) -> None:
    """They are known by the sockets that we hold; another server's on the same port number are not taken off."""
    tree = ProcTree(tmp_path)
    (tree.root / "self" / "fd").mkdir()
    for number, inode in enumerate((71, 72)):
        (tree.root / "self" / "fd" / str(number)).symlink_to(f"socket:[{inode}]")
    (tree.root / "self" / "net" / "tcp").write_text(
        "header\n"
        + row("0100007F:1F40", "0100007F:A6C0")
        + row("0100007F:1F40", "0100007F:A6C1")
        + row("0100007F:A6C0", "0100007F:1F40", 71)
        + row("0100007F:A6C1", "0100007F:1F40", 73)
        + row("0100000A:A6C2", "0700000A:1F40", 72)
    )
    assert seen(tree, LOCAL, None) == 1


def test_a_server_in_a_container_is_looked_at_in_its_own_network(tmp_path: Path) -> None:
    """Under the port that it has there; Docker publishes it under another."""
    tree = ProcTree(tmp_path)
    proxy = ["docker-proxy", "-proto", "tcp", "-host-ip", "10.0.0.1", "-host-port", "9000"]
    tree.add(40, [*proxy, "-container-ip", "172.17.0.2", "-container-port", "8000"])
    tree.add(50, ["vllm", "serve"])
    tree.namespace(50, "127.0.0.1", "172.17.0.2")
    (tree.root / "50" / "net" / "tcp").write_text("header\n" + row("020011AC:1F40", "010011AC:A6C0"))
    address = Address(literal("127.0.0.1"), 9000)
    assert (seen(tree, address, 50), seen(tree, address, None)) == (1, None)


def test_what_cannot_be_seen_is_not_known(tmp_path: Path) -> None:
    """A server on another host, and one whose table is closed to us."""
    tree = ProcTree(tmp_path)
    assert seen(tree, Address(literal("192.0.2.1"), 8000), None) is None
    (tree.root / "self" / "net" / "tcp").unlink()
    assert seen(tree, LOCAL, None) is None


def test_real_connections_are_counted_and_ours_are_not() -> None:
    """On this machine's own /proc; a client of this process is one of ours."""
    with listening(socket.AF_INET, "127.0.0.1") as server:
        address = Address(literal("127.0.0.1"), server.getsockname()[1])
        with socket.create_connection(server.getsockname()):
            assert Connections(REAL).count(address, None, {}) == 0


def test_clients_of_others_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked of the kernel, and by its tables where it does not answer."""
    with listening(socket.AF_INET, "127.0.0.1") as server:
        address = Address(literal("127.0.0.1"), server.getsockname()[1])
        program = (
            f"import socket; s = socket.create_connection(('127.0.0.1', {address.port})); print(flush=True); input()"
        )
        with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            other.stdout.readline()
            with socket.create_connection(server.getsockname()):
                assert Connections(REAL).count(address, None, {}) == 1
                monkeypatch.setattr(sockets, "BY_FAMILY", 99)
                assert Connections(REAL).count(address, None, {}) == 1
            other.communicate(b"\n")


def test_a_server_of_ipv4_is_looked_for_in_ipv6_now_and_then(tmp_path: Path) -> None:
    """A port that opens there too is seen within a minute, and from then on at each look."""
    tree = ProcTree(tmp_path)
    ipv4, ipv6 = (tree.root / "self" / "net" / name for name in ("tcp", "tcp6"))
    ipv4.write_text("header\n" + row("0100007F:1F40", "0100007F:A6C0"))
    ipv6.write_text("header\n")
    connections = Connections(tree.root)
    assert 1 == connections.count(LOCAL, None, {})
    mapped = "0000000000000000FFFF00000100007F"
    for clients in (1, 2):
        ipv6.write_text("header\n" + clients * row(f"{mapped}:1F40", f"{mapped}:A6C1"))
        found = [connections.count(LOCAL, None, {}) for _ in range(IPV6_AGAIN + 1)]
        assert ([1] * IPV6_AGAIN + [2] if clients == 1 else [3] * (IPV6_AGAIN + 1)) == found
