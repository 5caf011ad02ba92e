"""A /proc of our own making: processes, sockets, network namespaces, cgroups, as files in a directory."""

from __future__ import annotations

import shutil
from pathlib import Path

PAGE = 4096


class ProcTree:
    """Files as the kernel would show them. Every process is in our network namespace unless it is given its own."""

    def __init__(self, root: Path, *, whole_host: bool = True) -> None:
        self.root = root
        (root / "self" / "net").mkdir(parents=True)
        (root / "stat").write_text("cpu  1 2 3\nbtime 1700000000\n")
        self.namespace("self", "127.0.0.1", "10.0.0.1")
        self.add(1, ["/sbin/init"], parent=0)
        if whole_host:
            self.add(2, [], parent=0, comm="kthreadd")

    def add(  # noqa: PLR0913  # what a process is made of
        self,
        pid: int,
        argv: list[str],
        *,
        parent: int = 1,
        comm: str | None = None,
        ticks: int = 1000,
        resident_bytes: int = PAGE,
        user: int = 1000,
        cgroup: str = "0::/",
        inodes: tuple[int, ...] = (),
        state: str = "S",
    ) -> None:
        """A process; one of the same number is replaced."""
        home = self.root / str(pid)
        shutil.rmtree(home, ignore_errors=True)
        (home / "fd").mkdir(parents=True)
        name = comm if comm is not None else Path(argv[0]).name[:15]
        rest = f"{state} {parent} " + "0 " * 17 + f"{ticks} 0 {resident_bytes // PAGE}"
        (home / "stat").write_text(f"{pid} ({name}) {rest} 0 0\n")
        (home / "comm").write_text(f"{name}\n")
        (home / "cmdline").write_bytes("\0".join([*argv, ""]).encode() if argv else b"")
        (home / "status").write_text(f"Name:\t{name}\nUid:\t{user}\t{user}\t{user}\t{user}\n")
        (home / "cgroup").write_text(f"{cgroup}\n")
        (home / "net").symlink_to(self.root / "self" / "net")
        for number, inode in enumerate(inodes):
            (home / "fd" / str(number)).symlink_to(f"socket:[{inode}]")

    def end(self, pid: int) -> None:
        """It has ended and was waited for."""
        shutil.rmtree(self.root / str(pid))

    def namespace(self, pid: int | str, *addresses: str) -> None:
        """A network namespace of the process' own, with these addresses and no sockets."""
        net = self.root / str(pid) / "net"
        if net.is_symlink():
            net.unlink()
        net.mkdir(exist_ok=True)
        lines = [f"     |-- {address}\n        /32 host LOCAL\n" for address in addresses]
        (net / "fib_trie").write_text("Main:\n" + "".join(lines))
        self.listen(pid)

    def listen(self, pid: int | str, *sockets: tuple[int, int, int]) -> None:
        """The listening sockets of that process' namespace, as (port, inode, user); and a connection, as always."""
        lines = ["  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"]
        rest = "00000000:00000000 00:00000000 00000000"
        for number, (port, inode, user) in enumerate(sockets):
            lines.append(f"{number}: 0100007F:{port:04X} 00000000:0000 0A {rest} {user} 0 {inode} 1 0 100 0 0 10 0\n")
        lines.append(f"9: 0100007F:1F90 0100007F:A6C0 01 {rest} 0 0 999 1 0 100 0 0 10 0\n")
        (self.root / str(pid) / "net" / "tcp").write_text("".join(lines))
