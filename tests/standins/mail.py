"""A real SMTP server on this machine, which takes mail, refuses it, hangs or hangs up."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Self, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from standins.program import free_port


@dataclass
class Handler:
    """What is done with a mail: the reply, "" to hang up, None to say nothing for long."""

    reply: str | None = "250 OK"
    mails: list[EmailMessage] = field(default_factory=list)

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802  # aiosmtpd's name
        """A mail has come."""
        content = cast("bytes", envelope.content)
        self.mails.append(message_from_bytes(content, policy=policy.default))
        if self.reply is None:
            await asyncio.sleep(4)
        if not self.reply:
            cast("asyncio.Transport", server.transport).abort()
        return self.reply or "250 OK"


class Mail:
    """The server, in a thread of its own, from `with` to its end."""

    def __init__(self) -> None:
        self.handler = Handler()
        self._controller = Controller(self.handler, hostname="127.0.0.1", port=free_port())  # it cannot take port 0

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._controller.stop()

    @property
    def url(self) -> str:
        """The Apprise address of somebody here."""
        return f"mailto://127.0.0.1:{self._controller.port}?from=vigil@example.com&to=oncall@example.com&mode=insecure"
