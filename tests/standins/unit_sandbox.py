"""Runs a command under the system-call rules of a systemd unit: `python -m standins.unit_sandbox UNIT COMMAND...`.

SystemCallFilter, SystemCallErrorNumber, MemoryDenyWriteExecute and RestrictAddressFamilies become the seccomp filters
that systemd would install (its own table of groups says what they hold). Capabilities, mounts and devices are left out.
"""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from functools import cache
from pathlib import Path

import pyseccomp

WRITE, EXEC, SHM_EXEC = 2, 4, 0o100000
HIGHEST_FAMILY = 46


def directives(unit: Path, section: str = "Service") -> list[tuple[str, str]]:
    """The `Key=value` lines of a section, in order."""
    found: list[tuple[str, str]] = []
    current = ""
    for line in unit.read_text().splitlines():
        if line.startswith("["):
            current = line.strip("[]")
        elif line and line[0] not in "#;" and current == section:
            key, _, value = line.partition("=")
            found.append((key, value))
    return found


@cache
def group(name: str) -> frozenset[str]:
    """The system calls of a group such as @system-service, from systemd-analyze."""
    text = subprocess.run(
        ["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    entries = {line.strip() for line in text.splitlines()[1:] if line.strip() and not line.strip().startswith("#")}
    return frozenset().union(*(group(entry) if entry.startswith("@") else {entry} for entry in entries))


def allowed(lines: list[tuple[str, str]]) -> set[str]:
    """The calls that the SystemCallFilter lines leave, in their order; @default is always among them."""
    left = set(group("@default"))
    for key, value in lines:
        if key == "SystemCallFilter":
            named = set().union(
                *(group(word) if word.startswith("@") else {word} for word in value.lstrip("~").split())
            )
            left = left - named if value.startswith("~") else left | named
    return left


def confine(unit: Path) -> None:
    """Install the unit's filters on this process; they hold for whatever it becomes."""
    lines = directives(unit)
    settings = dict(lines)
    if settings.get("MemoryDenyWriteExecute") == "yes":
        _no_new_code()
    families = {getattr(socket, name) for name in settings["RestrictAddressFamilies"].split()}
    _only_families(families)
    refusal = getattr(errno, settings["SystemCallErrorNumber"])
    rules = pyseccomp.SyscallFilter(pyseccomp.ERRNO(refusal))
    for name in sorted(allowed(lines)):
        try:
            number = pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name)
        except (ValueError, OSError):
            continue
        if number >= 0:
            rules.add_rule(pyseccomp.ALLOW, name)
    rules.load()


def _no_new_code() -> None:
    """Memory that may be written is never executed, nor made so afterwards."""
    rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    refuse, masked = pyseccomp.ERRNO(errno.EPERM), pyseccomp.MASKED_EQ
    rules.add_rule(refuse, "mmap", pyseccomp.Arg(2, masked, WRITE | EXEC, WRITE | EXEC))
    rules.add_rule(refuse, "mprotect", pyseccomp.Arg(2, masked, EXEC, EXEC))
    rules.add_rule(refuse, "pkey_mprotect", pyseccomp.Arg(2, masked, EXEC, EXEC))
    rules.add_rule(refuse, "shmat", pyseccomp.Arg(2, masked, SHM_EXEC, SHM_EXEC))
    rules.load()


def _only_families(families: set[int]) -> None:
    rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    for family in set(range(HIGHEST_FAMILY)) - families:
        rules.add_rule(pyseccomp.ERRNO(errno.EAFNOSUPPORT), "socket", pyseccomp.Arg(0, pyseccomp.EQ, family))
    rules.load()


if __name__ == "__main__":
    confine(Path(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - the command is the tests' own
