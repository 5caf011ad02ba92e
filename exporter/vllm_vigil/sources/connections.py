"""A server's address and the process behind it -> how many connections its clients hold to it now.

Counted are the established connections of the port in the server's own network namespace, less those that we hold
ourselves to ask it. A client that waits for an answer keeps its connection; one that has hung up does not, whatever
vLLM's gauges say. vLLM closes a connection on which nothing is asked after 5 s.
"""

from __future__ import annotations

import os
import re
import sys
from ipaddress import IPv6Address, ip_address
from pathlib import Path

from vllm_vigil.sources.listeners import Address, Ip, addresses, link_to, published
from vllm_vigil.sources.processes import Process, Table, read_bytes
from vllm_vigil.sources.sockets import ESTABLISHED, ask

TABLE_BYTES = 1 << 24
"""As much of a table of connections as is read: 100,000 of them."""

IPV6_AGAIN = 11
"""For so many looks IPv6's table is passed over; the next comes after a minute."""

_OURS = re.compile(rb"^ *\d+: \S+ ([0-9A-F]+):([0-9A-F]{4}) 01 (?:\S+ +){5}(\d+) ", re.MULTILINE)


class Connections:
    """Counts them, look after look. `proc` is where /proc is.

    What is in our own network namespace the kernel is asked for. For others, and where it does not answer, there are
    the two tables in /proc, for each of which it walks all of its hash table: 2 to 6 ms. So IPv6's, in which most
    servers have nothing, is passed over while the port is not open there, but for one look in `IPV6_AGAIN`.
    """

    def __init__(self, proc: Path) -> None:
        self._proc = proc
        self._only_ipv4: dict[int, tuple[int | str, int]] = {}

    def count(self, address: Address, process: Process | None, table: Table) -> int | None:
        """How many clients are connected; None where that cannot be seen, as on another host."""
        proc = self._proc
        here = address.loopback or not address.ips.isdisjoint(addresses(proc))
        inside = published(address.port, table) if here else None
        if process is None and (not here or inside):
            return None
        pid = process.pid if process else "self"
        elsewhere = process is not None and inside is not None and addresses(proc, pid) != addresses(proc)
        found = self._established(pid, inside.port if inside and elsewhere else address.port)
        return found and max(0, found - self._held_by_us(address))

    def _established(self, pid: int | str, port: int) -> int | None:
        """The connections of that port of that process, from whichever side."""
        if _shares_network(self._proc, pid) and (asked := ask(self._proc, ESTABLISHED, port=port)) is not None:
            return len(asked)
        text = self._tables(pid, port)
        return len(re.findall(rb"^ *\d+: [0-9A-F]+:%04X \S+ 01 " % port, text, re.MULTILINE)) if text else None

    def _tables(self, pid: int | str, port: int) -> bytes:
        """What may hold connections to that port of that process."""
        known, looks = self._only_ipv4.get(port, (None, 0))
        if known == pid and looks:
            self._only_ipv4[port] = (pid, looks - 1)
            return _read(self._proc, pid, "tcp")
        ipv6 = _read(self._proc, pid, "tcp6")
        self._only_ipv4[port] = (pid, 0 if _is_open(ipv6, port) else IPV6_AGAIN)
        return (_read(self._proc, pid, "tcp") + b"\n" + ipv6).strip()

    def _held_by_us(self, address: Address) -> int:
        """Connections of ours to that address."""
        inodes = [inode for ip, inode in self._to(address.port) if _is_of(ip, address)]
        held = set(_sockets(f"{self._proc}/self/fd")) if inodes else set()
        return sum(f"socket:[{inode}]" in held for inode in inodes)

    def _to(self, port: int) -> list[tuple[Ip, int]]:
        """Where the connections to that port lead that begin in our network namespace, and their inodes."""
        asked = ask(self._proc, ESTABLISHED, remote_port=port)
        if asked is not None:
            return [(each.remote, each.inode) for each in asked]
        text = _read(self._proc, "self", "tcp", "tcp6")
        return [(_decoded(ip), int(inode)) for ip, to, inode in _OURS.findall(text) if int(to, 16) == port]


def _shares_network(proc: Path, pid: int | str) -> bool:
    """Whether its network is ours."""
    network = link_to(f"{proc}/{pid}/ns/net")
    return pid == "self" or (network != "" and network == link_to(f"{proc}/self/ns/net"))


def _is_open(text: bytes, port: int) -> bool:
    return re.search(rb"^ *\d+: [0-9A-F]+:%04X " % port, text, re.MULTILINE) is not None


def _read(proc: Path, pid: int | str, *names: str) -> bytes:
    return b"\n".join(read_bytes(f"{proc}/{pid}/net/{name}", TABLE_BYTES) for name in names).strip()


def _is_of(ip: Ip, address: Address) -> bool:
    return ip in address.ips or (address.loopback and ip.is_loopback)


def _decoded(text: bytes) -> Ip:
    """An address as the kernel shows it: words of 32 bits in the machine's byte order."""
    raw = bytes.fromhex(text.decode())
    if sys.byteorder == "little":
        raw = b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
    ip = ip_address(raw)
    return ip.ipv4_mapped or ip if isinstance(ip, IPv6Address) else ip


def _sockets(directory: str) -> list[str]:
    """What our open files are; one that is closed meanwhile is none."""
    try:
        names = os.listdir(directory)  # noqa: PTH208  # strings are all that is wanted
    except OSError:
        return []
    return [link_to(f"{directory}/{name}") for name in names]
