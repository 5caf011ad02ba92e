"""The way in for Alertmanager, over a real socket: who may, what, how much, and what is said to everyone else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import bcrypt
import httpx
import pytest

from standins.listening import client, listening
from standins.scenes import quiet
from vllm_vigil.exposition.site import WEBHOOK
from vllm_vigil.exposition.web_config import WebConfig
from vllm_vigil.exposition.webhook import BODY_BYTES, DEPTH, Refusal, Webhook
from vllm_vigil.units import Secret

TOKEN = "c4n4ry-webhook-token"
LOGIN = {"Authorization": f"Bearer {TOKEN}"}
JSON = {"Content-Type": "application/json"}


@dataclass
class Inbox:
    """Takes what comes, or answers as set."""

    token: Secret | None = None
    refusal: Refusal | None = None
    taken: list[Any] = field(default_factory=list)

    def webhook_token(self) -> Secret | None:
        """As set."""
        return self.token

    def take_alerts(self, document: object) -> Refusal | None:
        """Note it."""
        self.taken.append(document)
        return self.refusal


@pytest.fixture
def inbox() -> Inbox:
    """One with a token."""
    return Inbox(Secret(TOKEN))


@pytest.fixture
def http(inbox: Inbox) -> Iterator[httpx.Client]:
    """A client of a site with this inbox."""
    with listening(quiet(), webhook=Webhook(inbox)) as port, client(port) as made:
        yield made


def test_a_document_with_the_token_is_taken(http: httpx.Client, inbox: Inbox) -> None:
    """200, after it was handed over."""
    answer = http.post(WEBHOOK, json={"version": "4"}, headers=LOGIN)
    assert (200, "taken\n") == (answer.status_code, answer.text)
    assert [{"version": "4"}] == inbox.taken


def test_it_does_not_exist_without_a_token_in_the_settings(http: httpx.Client, inbox: Inbox) -> None:
    """404 for whoever asks; a token that is set by a reload opens it."""
    inbox.token = None
    assert 404 == http.post(WEBHOOK, json={}, headers=LOGIN).status_code
    assert 404 == http.get(WEBHOOK).status_code
    inbox.token = Secret(TOKEN)
    assert 200 == http.post(WEBHOOK, json={}, headers=LOGIN).status_code


@pytest.mark.parametrize(
    "given",
    ["", "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN, "Bearer \xff"],
)
def test_without_the_token_nothing_is_read(http: httpx.Client, inbox: Inbox, given: str) -> None:
    """401, whatever is sent and as what."""
    header = [(b"Authorization", given.encode("latin-1"))] if given else []
    answer = http.post(WEBHOOK, content=b"not json", headers=header)
    assert (401, "Bearer") == (answer.status_code, answer.headers["www-authenticate"])
    assert [] == inbox.taken


def test_only_post(http: httpx.Client) -> None:
    """405 and Allow."""
    answer = http.get(WEBHOOK, headers=LOGIN)
    assert (405, "POST") == (answer.status_code, answer.headers["allow"])


@pytest.mark.parametrize(
    "headers",
    [{}, {"Content-Type": "text/plain"}, {"Content-Type": "application/jsonp"}, JSON | {"Content-Encoding": "gzip"}],
)
def test_only_json_as_it_is(http: httpx.Client, inbox: Inbox, headers: dict[str, str]) -> None:
    """415 for another type, none, or one that is compressed."""
    assert 415 == http.post(WEBHOOK, content=b"{}", headers=LOGIN | headers).status_code
    assert [] == inbox.taken


def test_the_type_may_name_its_characters(http: httpx.Client) -> None:
    """As some clients do."""
    headers = LOGIN | {"Content-Type": "Application/JSON; charset=utf-8"}
    assert 200 == http.post(WEBHOOK, content=b"{}", headers=headers).status_code


@pytest.mark.parametrize("chunked", [False, True])
def test_a_mebibyte_is_taken_and_a_byte_more_is_not(http: httpx.Client, inbox: Inbox, *, chunked: bool) -> None:
    """413, with its length said before or not."""

    def send(size_bytes: int) -> int:
        body = b'"' + b"a" * (size_bytes - 2) + b'"'
        content = (body[at : at + 10_000] for at in range(0, size_bytes, 10_000)) if chunked else body
        return http.post(WEBHOOK, content=content, headers=LOGIN | JSON).status_code

    assert (200, 413) == (send(BODY_BYTES), send(BODY_BYTES + 1))
    assert 1 == len(inbox.taken)


def test_without_the_token_a_body_is_no_longer_than_elsewhere(http: httpx.Client) -> None:
    """A stranger cannot make us hold a mebibyte."""
    assert 413 == http.post(WEBHOOK, content=b"a" * 100_000, headers=JSON).status_code


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"c4n4ry",
        b'{"a": c4n4ry}',
        b"[" * (DEPTH + 1) + b"]" * (DEPTH + 1),
        b"[" * 500_000,
        b'{"a":' * 100_000,
        b'"\xff\xfe"',
        b'{"a": NaN}',
        b"1" * 5_000,
        "{}".encode("utf-16"),
    ],
    ids=lambda body: repr(body[:12]),
)
def test_junk_is_400_and_not_repeated(http: httpx.Client, inbox: Inbox, body: bytes) -> None:
    """In words of ours."""
    answer = http.post(WEBHOOK, content=body, headers=LOGIN | JSON)
    assert 400 == answer.status_code
    assert re.fullmatch(r"the (body is not JSON in UTF-8|JSON is nested deeper than 16 levels)\n", answer.text)
    assert [] == inbox.taken


def test_brackets_in_texts_are_no_nesting(http: httpx.Client, inbox: Inbox) -> None:
    """Also after an escaped quote."""
    body = {"a": '"' + "[{" * 50, "b\\": ["\\", "[" * 50], "deep": json.loads("[" * (DEPTH - 1) + "]" * (DEPTH - 1))}
    assert 200 == http.post(WEBHOOK, json=body, headers=LOGIN).status_code
    assert [body] == inbox.taken


def test_what_is_not_taken_says_whether_to_try_again(http: httpx.Client, inbox: Inbox) -> None:
    """400 is final for Alertmanager, 503 is not."""
    inbox.refusal = Refusal("no")
    assert 400 == http.post(WEBHOOK, json={}, headers=LOGIN).status_code
    inbox.refusal = Refusal("full", later=True)
    answer = http.post(WEBHOOK, json={}, headers=LOGIN)
    assert (503, "full\n", "30") == (answer.status_code, answer.text, answer.headers["retry-after"])


def test_a_page_of_another_site_may_not_even_with_the_token(http: httpx.Client, inbox: Inbox) -> None:
    """And a name that is not ours leads nowhere."""
    assert 403 == http.post(WEBHOOK, json={}, headers=LOGIN | {"Origin": "http://evil"}).status_code
    assert 421 == http.post(WEBHOOK, json={}, headers=LOGIN | {"Host": "evil.example"}).status_code
    assert [] == inbox.taken


def test_the_token_stands_for_the_login_on_this_path_alone(inbox: Inbox) -> None:
    """Where the web configuration names users, the token opens no other door."""
    hashed = bcrypt.hashpw(b"watch", bcrypt.gensalt(4)).decode()
    web = WebConfig(users={"prometheus": Secret(hashed)})
    with listening(quiet(), web, webhook=Webhook(inbox)) as port, client(port) as http:
        assert 200 == http.post(WEBHOOK, json={}, headers=LOGIN).status_code
        assert 401 == http.post(WEBHOOK, json={}).status_code
        assert 401 == http.get("/metrics", headers=LOGIN).status_code
        inbox.token = None
        assert 401 == http.post(WEBHOOK, json={}, headers=LOGIN).status_code
