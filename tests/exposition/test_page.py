"""The page: what it says, in which order, and that no text of others becomes markup."""

from __future__ import annotations

import base64
import hashlib
from html.parser import HTMLParser

import pytest

from standins.scenes import engine, incident, night, quiet, series, snapshot_of
from standins.sidecar import StandInSidecar
from vllm_vigil.exposition.markup import Html, joined, tag
from vllm_vigil.exposition.page import CONTENT_SECURITY_POLICY, page
from vllm_vigil.exposition.status import Channel, Config, File, Source, observe
from vllm_vigil.exposition.wording import ABSENT
from vllm_vigil.model import EngineState, Point, Silence, labels

TAGS = {"html", "head", "meta", "title", "style", "body", "header", "main", "section", "article", "footer"}
TAGS |= {
    "h1",
    "h2",
    "h3",
    "p",
    "pre",
    "code",
    "span",
    "strong",
    "time",
    "a",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
}
ATTRIBUTES = {"lang", "charset", "name", "content", "http-equiv", "class", "data-label", "datetime", "href"}
HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(1)>'</style></title><!--{{7*7}}&lt;"


class Reader(HTMLParser):
    """A page as a browser sees it: its elements, and its text by section."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.depth: list[str] = []
        self.style = self.text = ""
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep it with its attributes."""
        self.elements.append((tag, dict(attrs)))
        if tag != "meta":
            self.depth.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """It closes what was opened last."""
        assert tag == self.depth.pop()

    def handle_data(self, data: str) -> None:
        """Keep text and style apart."""
        if "style" in self.depth:
            self.style += data
        else:
            self.text += data + "\n"


def shown(sidecar: StandInSidecar) -> Reader:
    """The page of a sidecar, read back; its elements close in order."""
    reader = Reader(page(observe(sidecar)))
    assert reader.depth == []
    return reader


def hostile() -> StandInSidecar:
    """Every text that others can write is an attack."""
    return StandInSidecar(
        series=snapshot_of(series("gpu_info", Point(labels(gpu=HOSTILE, uuid=HOSTILE, name=HOSTILE), 1.0))),
        server_names=(HOSTILE,),
        health=(engine(EngineState.DEAD, HOSTILE, why=HOSTILE),),
        open=(
            incident(title=HOSTILE, rule=HOSTILE, server=HOSTILE, labels=((HOSTILE, HOSTILE),), evidence=(HOSTILE,)),
        ),
        resolved=(incident(title=HOSTILE, rule=HOSTILE, server=HOSTILE, resolved=1e9),),
        source_facts=(Source(HOSTILE, HOSTILE, up=False, error=HOSTILE),),
        file_facts=(File(HOSTILE, HOSTILE, readable=False),),
        channel_facts=(Channel(HOSTILE, 1),),
        silence_facts=(Silence(1, ((HOSTILE, HOSTILE),), 0.0, 1e9, HOSTILE, HOSTILE),),
        config_facts=Config(HOSTILE, 1e9, successful=False, error=HOSTILE),
    )


def test_hostile_text_stays_text() -> None:
    """Only our own elements and attributes are on the page, with our values, and the text is there."""
    reader = shown(hostile())
    assert {name for name, _ in reader.elements} <= TAGS
    assert {name for _, attributes in reader.elements for name in attributes} <= ATTRIBUTES
    links = {str(attributes["href"]) for name, attributes in reader.elements if name == "a"}
    assert {"/metrics", "/api/v1/status"} == {link for link in links if not link.startswith("https://docs.example/")}
    assert not {"<", ">", '"', "'"} & set("".join(links))
    assert reader.text.count("<script>alert(1)</script>") >= 15


@pytest.mark.parametrize("scene", [quiet, night, hostile, StandInSidecar])
def test_nothing_is_loaded_and_no_style_but_the_named_one(scene: type[StandInSidecar]) -> None:
    """The page stands alone: no script, no link, no address elsewhere; its style is the one in the CSP."""
    reader = shown(scene())
    digest = base64.b64encode(hashlib.sha256(reader.style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in CONTENT_SECURITY_POLICY
    assert "url(" not in reader.style
    assert not {"script", "link", "img", "iframe", "object", "form"} & {name for name, _ in reader.elements}


def test_the_worst_is_read_first() -> None:
    """Headline, what is wrong, since when; then the incident with what to do; then the refused configuration."""
    text = shown(night()).text
    order = (
        "Serving in part",
        "llama, engine 0, is unreachable: nothing answers at its address for 250 s",
        "since 20:22:30 UTC",
        "Open incidents",
        "CUDA out of memory at run time: asked 2.25 GiB, 1.10 GiB free on llama",
        "Do first: ",
        "Look at the runbook of cuda_oom.",
        "Look closer: ",
        "vigil incidents show cuda_oom/llama/1",
        "Tried to allocate 2.25 GiB",
        "The last reload was refused",
        "Engines",
        "GPUs",
        "Sources",
        "connection refused",
        "Logs",
        "cannot be read",
        "Channels",
        "Silences",
        "Resolved lately",
        "7 requests timed out",
    )
    places = [text.index(part, text.index("Serving in part\n")) for part in order]
    assert sorted(places) == places


def test_what_is_absent_is_a_dash_and_what_is_0_is_0() -> None:
    """A server without numbers shows none; an idle one shows 0."""
    rows = shown(night()).text.partition("Load\n")[2].partition("GPUs\n")[0].split("\n")
    assert ["llama", "3", "0", "93 %", "qwen", ABSENT, ABSENT, ABSENT] == rows[4:12]


def test_sections_of_which_there_is_nothing_are_left_out() -> None:
    """Without logs, channels or trouble the page is short."""
    titles = {"Open incidents", "Configuration", "Logs", "Channels", "Silences", "Resolved lately"}
    assert not titles & set(shown(quiet()).text.split("\n"))


def test_the_page_comes_anew_by_itself() -> None:
    """A refresh without a script, every few seconds."""
    assert ("meta", {"http-equiv": "refresh", "content": "5"}) in shown(quiet()).elements


def test_only_tag_makes_markup() -> None:
    """Text is escaped wherever it is put; what is markup already is not escaped twice."""
    assert '<p title="&lt;&quot;">&lt;b&gt;<b>&amp;</b></p>' == tag("p", "<b>", tag("b", "&"), title='<"')
    assert isinstance(joined("a", Html("b")), Html)
