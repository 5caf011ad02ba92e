"""`web.listen` -> a bound, listening socket, or an error that says which address, what is wrong and what to do.

Bound here and not by the server library, which answers a taken port with `sys.exit(3)`: our exit code for a taken
state directory.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vllm_vigil.errors import VigilError

BACKLOG = 128


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Where HTTP is answered. `config_file` is in the format of exporter-toolkit's `--web.config.file`.

    `public_url` is the address under which people reach the page, for the links in messages.
    """

    listen: str = "127.0.0.1:9877"
    config_file: Path | None = None
    public_url: str | None = None

    def problems(self) -> Iterator[tuple[str, str]]:
        """What is wrong with the values."""
        if self.public_url is not None and not re.fullmatch(r"https?://[^\s<>\"]{1,200}", self.public_url):
            yield "public_url", "write an address that begins with http:// or https://, such as https://vigil.example/"
        try:
            split(self.listen)
        except ValueError as error:
            yield "listen", str(error)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(split(self.listen)[0])


def split(listen: str) -> tuple[str, int]:
    """Host and port of `127.0.0.1:9877`, `[::1]:9877`, `localhost:9877`, or `:9877` for all addresses.

    Raises ValueError, which says what is wanted.
    """
    host, colon, port = listen.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or (":" in host and bare == host) or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError(
            f"{listen!r} is not an address: write host:port, such as 127.0.0.1:9877, [::1]:9877 or :9877 for all"
        )
    return bare, int(port)


def is_loopback(host: str) -> bool:
    """Whether a host, as it is written in `listen`, is this machine's own."""
    if host == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def bind(listen: str) -> socket.socket:
    """A socket that listens there. Raises `VigilError` when that cannot be."""
    host, port = split(listen)
    try:
        return _listening(host, port)
    except socket.gaierror as error:
        raise VigilError(
            f"cannot listen on {listen}: the name {host} has no address ({error.strerror}); "
            "set web.listen to an address of this machine"
        ) from error
    except OSError as error:
        why = os.strerror(error.errno or 0)
        raise VigilError(f"cannot listen on {listen}: {why}; {_advice(error.errno, port)}") from error


def _advice(number: int | None, port: int) -> str:
    if number == errno.EADDRINUSE:
        return f"stop what holds the port (`ss -ltnp 'sport = :{port}'` names it), or set web.listen to another"
    if number == errno.EACCES:
        return "set web.listen to a port above 1023, or allow this one to the user that vigil runs as"
    return "set web.listen to an address of this machine"


def _listening(host: str, port: int) -> socket.socket:
    if host == "" and socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=True)
    if host == "":
        return socket.create_server(("", port), backlog=BACKLOG)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    family, _, _, _, address = min(found, key=lambda each: each[0])  # IPv4 first, as people mean by "localhost"
    # Listening at once and not later: with SO_REUSEADDR two sockets may both bind a port until one of them listens.
    return socket.create_server(address[:2], family=family, backlog=BACKLOG)
