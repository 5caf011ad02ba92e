"""Basic auth: right, wrong and unknown, from memory and through the door."""

from __future__ import annotations

import asyncio
import base64

import bcrypt
import pytest

from standins.listening import client, listening
from standins.scenes import quiet
from vllm_vigil.exposition.login import REMEMBERED, WAITING, Login, compare, credentials
from vllm_vigil.exposition.web_config import WebConfig
from vllm_vigil.units import Secret

PASSWORD = "corréct horse"


def hashed(password: str, rounds: int = 4) -> Secret:
    """A bcrypt hash, as cheap as they come unless told otherwise."""
    return Secret(bcrypt.hashpw(password.encode(), bcrypt.gensalt(rounds)).decode())


USERS = {"ann": hashed(PASSWORD), "bob": hashed("battery staple")}


def basic(user: str, password: str) -> str:
    """The header that a client sends."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def statuses(login: Login, *headers: str) -> list[int]:
    """What each is answered, one after another; 200 for who may come in."""

    async def ask() -> list[int]:
        answers = [await login.refuse(header) for header in headers]
        return [200 if answer is None else answer.status for answer in answers]

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (basic("ann", PASSWORD), 200),
        (basic("ann", PASSWORD).replace("Basic", "bAsIc"), 200),
        (basic("ann", "wrong"), 401),
        (basic("ann", ""), 401),
        (basic("bob", PASSWORD), 401),
        (basic("eve", PASSWORD), 401),
        (basic("", ""), 401),
        ("", 401),
        ("Basic", 401),
        ("Basic !!!", 401),
        ("Basic " + base64.b64encode(b"no colon").decode(), 401),
        ("Basic " + base64.b64encode(b"\xff\xfe:x").decode(), 401),
        ("Bearer " + base64.b64encode(f"ann:{PASSWORD}".encode()).decode(), 401),
        (basic("ann", "with\0nul"), 401),
    ],
)
def test_only_the_right_password_of_a_known_name_comes_in(header: str, status: int) -> None:
    """Everything else is 401, whatever it looks like."""
    assert [status] == statuses(Login(USERS), header)


def test_a_password_counts_to_72_bytes_as_elsewhere() -> None:
    """Longer ones work as they do with Go's bcrypt, which made the hash from as much."""
    long = "x" * 100
    login = Login({"ann": Secret(bcrypt.hashpw(long.encode()[:72], bcrypt.gensalt(4)).decode())})
    assert [200] == statuses(login, basic("ann", long))


def test_a_success_is_remembered_and_a_failure_is_not() -> None:
    """The second time the right password costs no comparison; a wrong one costs one each time."""
    login = Login(USERS)
    statuses(login, basic("ann", PASSWORD), basic("ann", "wrong"), basic("eve", PASSWORD))
    assert len(login._remembered) == 1
    login._worker = None  # type: ignore[assignment]  # any further comparison would fail
    assert [200] == statuses(login, basic("ann", PASSWORD))
    with pytest.raises(AttributeError):
        statuses(login, basic("ann", "wrong"))


def test_no_more_is_remembered_than_needed() -> None:
    """The memory of successes is bounded."""
    users = {f"user{number}": USERS["ann"] for number in range(REMEMBERED + 5)}
    login = Login(users)
    assert {200} == set(statuses(login, *(basic(user, PASSWORD) for user in users)))
    assert len(login._remembered) == REMEMBERED


def test_a_crowd_at_the_door_is_told_to_come_back() -> None:
    """Who comes on top of those waiting is answered 503 at once; those waiting are all judged."""

    async def crowd() -> list[int]:
        login = Login({"ann": hashed(PASSWORD, 8)})
        answers = await asyncio.gather(*(login.refuse(basic("ann", f"guess {n}")) for n in range(WAITING + 4)))
        return sorted(answer.status for answer in answers if answer is not None)

    assert [401] * WAITING + [503] * 4 == asyncio.run(crowd())


def test_who_is_remembered_does_not_stand_in_line() -> None:
    """Prometheus is served while somebody guesses passwords."""

    async def served_in_a_crowd() -> tuple[bool, int]:
        login = Login({"ann": hashed(PASSWORD, 8)})
        await login.refuse(basic("ann", PASSWORD))
        crowd = [asyncio.ensure_future(login.refuse(basic("ann", f"guess {n}"))) for n in range(WAITING)]
        await asyncio.sleep(0)
        served = await login.refuse(basic("ann", PASSWORD)) is None
        still_waiting = sum(not each.done() for each in crowd)
        await asyncio.gather(*crowd)
        return served, still_waiting

    assert (True, WAITING) == asyncio.run(served_in_a_crowd())


def test_credentials_hold_colons_in_the_password_only() -> None:
    """The name ends at the first colon, as RFC 7617 has it."""
    assert ("a", b"b:c") == credentials(basic("a", "b:c"))


def test_compare_tells_right_from_wrong() -> None:
    """The comparison itself, in both directions."""
    assert [True, False] == [compare(each.encode(), USERS["ann"]) for each in (PASSWORD, "other")]


def test_every_path_is_behind_the_door() -> None:
    """Without a password nothing is shown, not even which paths exist; with it the Host may be any."""
    with listening(quiet(), WebConfig(users=USERS)) as port, client(port) as http:
        refused = [http.get(path) for path in ("/metrics", "/", "/-/healthy", "/nothing")]
        assert [(401, 'Basic realm="vllm-vigil"')] * 4 == [
            (answer.status_code, answer.headers["www-authenticate"]) for answer in refused
        ]
        allowed = http.get("/metrics", headers={"Authorization": basic("ann", PASSWORD), "Host": "gpu3.example.com"})
        assert allowed.status_code == 200
        assert http.post("/-/reload").status_code == 401
