"""An Authorization header -> let in, or the answer that refuses. Basic auth against bcrypt hashes.

One comparison takes 50 to 300 ms by design, so it runs in a worker, one at a time, and a success is remembered under
a keyed hash: the password itself is kept nowhere. Failures are not remembered and an unknown name costs a comparison
like a known one, so that answers tell nobody which names exist.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import secrets
from collections.abc import Mapping

from vllm_vigil.errors import WorkerBusy
from vllm_vigil.exposition.answer import Answer, plain
from vllm_vigil.units import Secret
from vllm_vigil.worker import Worker

REMEMBERED = 64
WAITING = 16  # who comes on top of these is told to come back
TIMEOUT_SECONDS = 10.0
BCRYPT_BYTES = 72  # bcrypt never looked further; Go's cuts silently, Python's refuses


class Login:
    """The door of a site with users."""

    def __init__(self, users: Mapping[str, Secret]) -> None:
        self._users = users
        self._worker = Worker("login")
        self._turn = asyncio.Semaphore()  # not a lock on state: it queues for the one thread
        self._waiting = 0
        self._key = secrets.token_bytes(32)
        self._remembered: dict[bytes, None] = {}

    async def refuse(self, authorization: str) -> Answer | None:
        """None to who may come in, else the answer."""
        given = credentials(authorization)
        if given is None:
            return _unauthorized()
        user, password = given
        hashed = self._users.get(user)
        if hashed is not None and self._proof(user, hashed, password) in self._remembered:
            return None
        if self._waiting >= WAITING:
            return _busy()
        return await self._in_turn(user, hashed, password)

    async def _in_turn(self, user: str, hashed: Secret | None, password: bytes) -> Answer | None:
        against = hashed or next(iter(self._users.values()))
        self._waiting += 1
        try:
            async with self._turn:
                fits = await self._worker.run(lambda: compare(password, against), TIMEOUT_SECONDS)
        except (WorkerBusy, TimeoutError):
            return _busy()
        finally:
            self._waiting -= 1
        if hashed is None or not fits:
            return _unauthorized()
        while len(self._remembered) >= REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[self._proof(user, hashed, password)] = None
        return None

    def _proof(self, user: str, hashed: Secret, password: bytes) -> bytes:
        text = b"\0".join((user.encode(), hashed.reveal().encode(), password))
        return hashlib.blake2b(text, key=self._key).digest()


def credentials(authorization: str) -> tuple[str, bytes] | None:
    """Name and password of a Basic header, None of any other."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        return (user.decode(), password) if colon else None
    except (binascii.Error, ValueError):
        return None


def compare(password: bytes, hashed: Secret) -> bool:
    """Whether a password has that hash. Takes its time."""
    import bcrypt  # noqa: PLC0415  # 3 MB that only a site with users needs

    return bcrypt.checkpw(password[:BCRYPT_BYTES], hashed.reveal().encode())


def _unauthorized() -> Answer:
    return plain(401, "a name and password are needed", ("WWW-Authenticate", 'Basic realm="vllm-vigil"'))


def _busy() -> Answer:
    return plain(503, "too many logins at once", ("Retry-After", "5"))
