"""One promise -> the PromQL that tells what there was, what failed, and which share that is."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import indent

from vllm_vigil.slo.page import Record

MODEL = "job, instance, server, model_name"
SERVER = "job, instance, server"
ASKED = 'handler!~"/health|/metrics|/ping|/version"'
"""What is asked by people, not by a load balancer or Prometheus."""


@dataclass(frozen=True, slots=True)
class Words:
    """How a promise is spoken of; `{bound}` is its bound. `short` is part of the names of its alerts."""

    short: str
    failed: str
    kept: str
    first: str


WORDS = {
    "time_to_first_token": Words(
        "Ttft",
        "requests waited longer than {bound} for the first token",
        "the requests get their first token within {bound}",
        "is it the queue or the prefill? A queue wants a replica; a prefill, shorter prompts",
    ),
    "inter_token_latency": Words(
        "InterToken",
        "tokens came later than {bound} after the one before",
        "the tokens come within {bound}",
        "throttled GPUs (`nvidia-smi -q -d PERFORMANCE` on {{ $labels.instance }}), then --max-num-seqs",
    ),
    "e2e_request_latency": Words(
        "Latency",
        "requests took longer than {bound} in all",
        "the requests end within {bound}",
        "have the answers grown longer, or the queue? Compare with the same hour yesterday",
    ),
    "availability": Words(
        "Availability",
        "requests were answered with 5xx",
        "the requests are not answered with 5xx",
        "`vigil incidents` on {{ $labels.instance }}",
    ),
}


@dataclass(frozen=True, slots=True)
class Promise:
    """`good` percent of the events are good: within `bound` seconds or, without a series, not answered with 5xx.

    `selector` are matchers of the servers that it is for, "" for all, `server` the one if it is one; `tier` is a label
    of what is recorded, "" for none.
    """

    key: str
    good: float
    selector: str = ""
    server: str = ""
    tier: str = ""
    series: str = ""
    bound: float = 0.0

    # --- words

    @property
    def short(self) -> str:
        """Its part of the names of alerts."""
        return WORDS[self.key].short

    @property
    def failed(self) -> str:
        """What failed, in words."""
        return self._said(WORDS[self.key].failed)

    @property
    def kept(self) -> str:
        """What is promised, in words."""
        return self._said(WORDS[self.key].kept)

    @property
    def first(self) -> str:
        """The first thing to do."""
        return WORDS[self.key].first

    def _said(self, words: str) -> str:
        bound = f"{self.bound:g} s" if self.bound >= 1 else f"{self.bound * 1000:g} ms"
        return words.replace("{bound}", bound)

    @property
    def who(self) -> str:
        """Server and model, as annotations name them."""
        tier = f", tier {self.tier}" if self.tier else ""
        model = " ({{ $labels.model_name }}" + tier + ")" if self.series else tier
        return "{{ $labels.server }}" + model

    @property
    def whose(self) -> str:
        """Which servers and users it is for, "" if all."""
        return "".join(f", {part}" for part in (self.tier and f"tier {self.tier}", self.selector) if part)

    @property
    def component(self) -> str:
        """The label of its alerts."""
        return "latency" if self.series else "server"

    @property
    def group(self) -> str:
        """The name of its group, of which a file may have only one."""
        return "-".join(filter(None, ("vigil-slo", self.key.replace("_", "-"), self.tier, self.server)))

    @property
    def budget(self) -> float:
        """The share that may fail."""
        return round((100 - self.good) / 100, 6)

    # --- PromQL

    @property
    def labels(self) -> str:
        """What the events are told apart by: HTTP answers do not say their model."""
        return MODEL if self.series else SERVER

    def all(self, function: str, window: str) -> str:
        """All events of a window."""
        if self.series:
            return self._sum(function, f"{self.series}_count", window)
        return self._sum(function, "llm_http_requests_total", window, ASKED)

    def bad(self, function: str, window: str) -> str:
        """Those that failed."""
        if self.series:
            good = self._sum(function, f"{self.series}_bucket", window, f'le="{float(self.bound)}"')
            return f"{self.all(function, window)}\n- {good}"
        failed = self._sum(function, "llm_http_requests_total", window, 'code="5xx"', ASKED)
        return f"{failed}\nor 0 * {self.all(function, window)}"

    def share(self, function: str, window: str) -> str:
        """Their share, absent where there are no events."""
        return f"(\n{indented(self.bad(function, window))}\n)\n/ ({self.all(function, window)} > 0)"

    def unmeasured(self) -> str:
        """Servers that lack the bucket of its bound."""
        le = f'le="{float(self.bound)}"'
        return (
            f"label_replace(\n"
            f"  group by ({self.labels}) ({self.series}_count{_braces(self.selector)})\n"
            f"    unless on ({self.labels})\n"
            f"      group by ({self.labels}) ({self.series}_bucket{_braces(le, self.selector)}),\n"
            f'  "objective", "{self.key} within {float(self.bound)} s", "", ""\n'
            f")"
        )

    def _sum(self, function: str, series: str, window: str, *matchers: str) -> str:
        return f"sum by ({self.labels}) ({function}({series}{_braces(*matchers, self.selector)}[{window}]))"

    # --- what is recorded

    def record(self, what: str, expression: str, comment: str = "") -> Record:
        """One of its records."""
        return Record(self._name(what), expression, own_labels(self.tier, self.server), comment)

    def recorded(self, what: str) -> str:
        """What was recorded, as alerts ask for it."""
        tier = f'tier="{self.tier}"' if self.tier else ""
        return self._name(what) + _braces(tier, self.selector if self.tier or self.selector else "")

    def _name(self, what: str) -> str:
        return f"{'server_model' if self.series else 'server'}:slo_{self.key}_{what}"


def own_labels(tier: str, server: str) -> dict[str, str]:
    """Labels of its rules. The server's is there anyway: it tells promtool that two rules are not the same."""
    return {name: value for name, value in (("tier", tier), ("server", server)) if value}


def _braces(*matchers: str) -> str:
    given = [matcher for matcher in matchers if matcher]
    return f"{{{', '.join(given)}}}" if given else ""


def indented(text: str) -> str:
    """Text two spaces further in."""
    return indent(text, "  ")
