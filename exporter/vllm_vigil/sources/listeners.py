"""Whose port it is: a server's address and the table of processes -> the process that listens there.

A listening socket has an inode, which the kernel tells (in another network namespace `/proc/PID/net/tcp{,6}`), and a
process that holds it has a link to that inode among its `/proc/PID/fd`. The links of other users' processes are closed
to us unless we are root, and a server that loads its model does not listen yet: then the port on the command line
tells, with the socket's user, which everyone may read, and only if that leaves one process.

A port that Docker publishes is held by `docker-proxy`, which names the container's address on its command line. An
address that is not of our network namespace is looked for in those of the vLLM processes. The tables list listening
sockets before connections, so that a host with many connections costs no more than one without.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from vllm_vigil.sources.processes import Process, Table, ancestry, read_bytes
from vllm_vigil.sources.sockets import LISTEN, ask

LISTENING = "0A"
DEFAULT_PORT = 8000

Ip = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server answers: the IP addresses that its name stands for, and its port."""

    ips: frozenset[Ip]
    port: int

    @property
    def loopback(self) -> bool:
        """Whether it means this network namespace, whatever its addresses are."""
        return any(ip.is_loopback or ip.is_unspecified for ip in self.ips)


@dataclass(frozen=True, slots=True)
class Listening:
    """One listening socket, and the user that opened it."""

    port: int
    inode: int
    uid: int


def listening(proc: Path, pid: int | str = "self") -> list[Listening]:
    """The listening TCP sockets of a process' network namespace; none where they cannot be read."""
    return [each for name in ("tcp", "tcp6") for each in _listening(proc / str(pid) / "net" / name)]


def _listening(path: Path) -> Iterator[Listening]:
    try:
        with path.open("r", encoding="ascii", errors="replace") as file:
            next(file, None)
            for line in file:
                fields = line.split()
                if len(fields) < 10 or fields[3] != LISTENING:
                    return
                yield Listening(int(fields[1].rpartition(":")[2], 16), int(fields[9]), int(fields[7]))
    except OSError:
        return


def addresses(proc: Path, pid: int | str = "self") -> frozenset[Ip]:
    """The addresses of a process' network namespace, from `fib_trie` and `if_inet6`."""
    net = f"{proc}/{pid}/net"
    found: set[Ip] = set()
    last = ""
    for line in read_bytes(f"{net}/fib_trie", 1 << 20).decode("ascii", "replace").splitlines():
        words = line.split()
        if words[:1] == ["|--"]:
            last = words[1]
        elif words[-1:] == ["LOCAL"] and words[:1] == ["/32"]:
            found.add(ip_address(last))
    for line in read_bytes(f"{net}/if_inet6", 1 << 16).decode("ascii", "replace").splitlines():
        found.add(ip_address(int(line.split()[0], 16).to_bytes(16, "big")))
    return frozenset(found)


class Listeners:
    """Finds the process behind an address. `denied` tells whether links of other users' processes were closed to us."""

    def __init__(self, proc: Path) -> None:
        self._proc = proc
        self.denied = False

    def find(self, address: Address, table: Table) -> Process | None:
        """The process that listens there, or that will once it has loaded; None if it is not one that we see."""
        known = _candidates(table)
        if not known:
            return None
        ours = addresses(self._proc)
        if not address.loopback and address.ips.isdisjoint(ours):
            return self._elsewhere(address, known)
        sockets = self._ours(address.port)
        found = self._holder(sockets, known)
        if found is None and (inside := published(address.port, table)):
            return self._elsewhere(inside, known)
        return found or self._asking(address.port, sockets, (each for each in known if self._at(each) == ours))

    def _ours(self, port: int) -> list[Listening]:
        """The sockets of our network namespace that listen on a port."""
        asked = ask(self._proc, LISTEN, port=port)
        if asked is not None:
            return [Listening(each.port, each.inode, each.user) for each in asked]
        return [each for each in listening(self._proc) if each.port == port]

    def _holder(self, sockets: Iterable[Listening], known: Iterable[Process]) -> Process | None:
        wanted = {f"socket:[{each.inode}]" for each in sockets}
        return next((process for process in known if wanted and self._holds(process, wanted)), None)

    def _holds(self, process: Process, wanted: set[str]) -> bool:
        directory = f"{self._proc}/{process.pid}/fd"
        try:
            names = os.listdir(directory)  # noqa: PTH208  # an API server has thousands
        except PermissionError:
            self.denied = True
            return False
        except OSError:
            return False
        return any(link_to(f"{directory}/{name}") in wanted for name in names)

    def _asking(self, port: int, sockets: Iterable[Listening], known: Iterable[Process]) -> Process | None:
        """The one process whose command line asks for that port; its user is that of the socket, if there is one."""
        users = {each.uid for each in sockets}
        found = [
            process
            for process in known
            if asked_port(process) == port and (not users or _user(self._proc, process.pid) in users)
        ]
        outermost = [each for each in found if not any(each.parent == other.pid for other in found)]
        return outermost[0] if len(outermost) == 1 else None

    def _elsewhere(self, address: Address, known: Iterable[Process]) -> Process | None:
        """The process in a network namespace that has one of the addresses."""
        there = [each for each in known if not address.ips.isdisjoint(self._at(each))]
        sockets = [each for process in there[:1] for each in listening(self._proc, process.pid)]
        of_port = [each for each in sockets if each.port == address.port]
        return self._holder(of_port, there) or self._asking(address.port, of_port, there)

    def _at(self, process: Process) -> frozenset[Ip]:
        return addresses(self._proc, process.pid)


def asked_port(process: Process) -> int | None:
    """The port that a server's command line asks for; None if it is no server's."""
    if not (process.program.startswith("vllm.entrypoints") or (process.program == "vllm" and "serve" in process.argv)):
        return None
    for word, following in zip(process.argv, (*process.argv[1:], ""), strict=True):
        name, _, value = word.partition("=")
        if name == "--port":
            text = value or following
            return int(text) if text.isdecimal() else None
    return DEFAULT_PORT


def _candidates(table: Table) -> list[Process]:
    """Every process that is vLLM, and its ancestors, since a program may have vLLM's engine built in."""
    found: dict[int, Process] = {}
    for process in table.values():
        if process.argv and process.is_vllm:
            found |= {each.pid: each for each in ancestry(table, process.pid)}
    return list(found.values())


def published(port: int, table: Table) -> Address | None:
    """Where docker-proxy passes a published port on to."""
    for process in table.values():
        if process.argv and process.program == "docker-proxy":
            options = dict(zip(process.argv[1::2], process.argv[2::2], strict=False))
            inside = options.get("-container-port", "")
            if options.get("-host-port") == str(port) and inside.isdecimal():
                return Address(literal(options.get("-container-ip", "")), int(inside))
    return None


def link_to(path: str) -> str:
    """Where a symbolic link leads; "" if it is gone or closed to us."""
    try:
        return os.readlink(path)  # noqa: PTH115  # one for each open file
    except OSError:
        return ""


def _user(proc: Path, pid: int) -> int | None:
    for line in read_bytes(f"{proc}/{pid}/status").splitlines():
        if line.startswith(b"Uid:"):
            return int(line.split()[1])
    return None


def literal(host: str) -> frozenset[Ip]:
    """The address that a text is, or that `localhost` stands for; none if it is a name."""
    try:
        return frozenset({ip_address("127.0.0.1" if host == "localhost" else host)})
    except ValueError:
        return frozenset()


def resolve(host: str) -> frozenset[Ip]:
    """The addresses of a name, none if it has none now. Asks the system's resolver, which may take its time."""
    try:
        return frozenset(ip_address(each[4][0]) for each in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))
    except (OSError, ValueError):  # ValueError: an IPv6 address with a zone that cannot be read
        return frozenset()
