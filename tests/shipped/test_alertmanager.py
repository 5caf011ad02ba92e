"""alert_rules/alertmanager/: each alert takes its way, what follows from another is muted, the texts are these."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from standins.alertmanager import Alertmanager
from standins.channels import Channels
from standins.program import until
from standins.promql import alerts_in
from standins.promtool import rules_of
from standins.shipped import ROOT
from standins.shipped_alerts import ALERTS, fired
from vigil_rules.__main__ import FILES

CONFIG = ROOT / "alert_rules" / "alertmanager" / "alertmanager.yml"
TEXT = CONFIG.read_text()
DOCUMENT = yaml.safe_load(TEXT)
WAYS = {
    "critical": "pagerduty-and-slack",
    "warning": "slack-alerts",
    "info": "slack-info",
    "none": "heartbeat",
}
OLD = {"match", "match_re", "source_match", "source_match_re", "target_match", "target_match_re", "mute_time_intervals"}
HEARTBEAT = "/run/secrets/heartbeat_url"
MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"(.*)"')


def amtool(*arguments: str) -> str:
    """What amtool says; it must have nothing to complain of."""
    done = subprocess.run(["amtool", *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# --- the file


def test_amtool_accepts_the_configuration_and_its_templates() -> None:
    """Keys, receivers, matchers, files of templates."""
    said = amtool("check-config", str(CONFIG))
    assert " - 1 templates" in said
    assert said.count("SUCCESS") == 2


def test_it_uses_no_key_of_the_past() -> None:
    """amtool takes the old matchers silently."""
    assert keys_in(DOCUMENT) & OLD == set()


def test_every_matcher_is_quoted() -> None:
    """So that old and UTF-8 mode read the same."""
    assert [matcher for matcher in matchers_in(DOCUMENT) if not MATCHER.fullmatch(matcher)] == []


def test_every_secret_is_a_file() -> None:
    """None stands in the configuration."""
    files = [value for key, value in pairs_in(DOCUMENT) if key.endswith("_file")]
    assert set(files) == {"/run/secrets/slack_url", "/run/secrets/pagerduty_key"}
    assert keys_in(DOCUMENT) & {"api_url", "routing_key", "service_key", "password", "credentials"} == set()


def test_every_text_is_a_template_of_a_file() -> None:
    """amtool does not look into templates that stand inside receivers."""
    inline = [value for _, value in pairs_in(DOCUMENT["receivers"]) if isinstance(value, str) and "{{" in value]
    assert [text for text in inline if not re.fullmatch(r'{{ template "vigil[\w.]+" \. }}', text)] == []


def test_a_heartbeat_is_one_line_to_take_in_for_either_version(tmp_path: Path) -> None:
    """The line for 0.25 is tried here; that for later ones differs in the integration, and in the key of its file."""
    later, now = re.findall(r"^    # (\w+_configs: .*\S) +# 0\.2[56].*$", TEXT, re.MULTILINE)
    assert yaml.safe_load(later) == {"webhook_configs": [{"url_file": HEARTBEAT, "send_resolved": False}]}
    assert yaml.safe_load(now) == {"slack_configs": [{"api_url_file": HEARTBEAT, "send_resolved": False}]}
    shutil.copytree(CONFIG.parent / "templates", tmp_path / "templates")
    (tmp_path / "alertmanager.yml").write_text(TEXT.replace(f"# {now}", now))
    assert "SUCCESS" in amtool("check-config", str(tmp_path / "alertmanager.yml"))


# --- routes


@pytest.mark.parametrize("rule", ALERTS.values(), ids=ALERTS)
def test_every_alert_takes_the_way_of_its_severity(rule: dict[str, Any]) -> None:
    """And no other."""
    labels = [f"{name}={value}" for name, value in ({"alertname": rule["alert"]} | rule["labels"]).items()]
    way = WAYS[rule["labels"]["severity"]]
    amtool("config", "routes", "test", f"--config.file={CONFIG}", f"--verify.receivers={way}", *labels)


def test_what_pages_is_repeated_every_half_hour_and_what_warns_every_two() -> None:
    """And the channel of information once a day."""
    routes = {route["receiver"]: route.get("repeat_interval", DOCUMENT["route"]["repeat_interval"]) for route in ROUTES}
    assert routes == {"heartbeat": "1m", "pagerduty-and-slack": "30m", "slack-alerts": "2h", "slack-info": "24h"}


ROUTES = DOCUMENT["route"]["routes"]


# --- what mutes what


@dataclass(frozen=True)
class Inhibition:
    """One rule, and the alerts of the shipped rules that are on its two sides."""

    equal: tuple[str, ...]
    sources: tuple[str, ...]
    targets: tuple[str, ...]


def inhibitions() -> Iterator[Inhibition]:
    """All of them."""
    for rule in DOCUMENT["inhibit_rules"]:
        sides = [
            tuple(name for name in ALERTS if matches(rule[f"{side}_matchers"], name)) for side in ("source", "target")
        ]
        yield Inhibition(tuple(rule["equal"]), sides[0], sides[1])


def matches(matchers: list[str], alert: str) -> bool:
    """Whether all matchers take an alert."""
    labels = {"alertname": alert} | ALERTS[alert]["labels"]
    for matcher in matchers:
        name, operator, value = (MATCHER.fullmatch(matcher) or pytest.fail(matcher)).groups()
        same = bool(re.fullmatch(value, labels[name])) if "~" in operator else labels[name] == value
        if same == ("!" in operator):
            return False
    return True


@pytest.mark.parametrize("inhibition", [*inhibitions()], ids=lambda rule: ",".join(rule.sources))
def test_every_label_that_is_to_be_equal_is_on_both_sides(inhibition: Inhibition) -> None:
    """A label that neither has is equal too, and would mute everything."""
    assert inhibition.sources
    assert inhibition.targets
    for name in (*inhibition.sources, *inhibition.targets):
        missing = set(inhibition.equal) - set(fired(name)["labels"])
        assert missing == set(), name


def test_what_pages_is_muted_only_by_what_pages() -> None:
    """A warning can never hide a page."""
    severity = {name: rule["labels"]["severity"] for name, rule in ALERTS.items()}
    for inhibition in inhibitions():
        muted = {severity[name] for name in inhibition.targets}
        assert "critical" not in muted or {severity[name] for name in inhibition.sources} == {"critical"}


def test_what_mutes_while_it_lasts_holds_back_what_it_leaves_behind() -> None:
    """The outages that mute waiting and errors are those after which rules on both wait for clean windows."""
    told = next(rule for rule in rules_of(FILES) if rule.get("record") == "server:llm_outage_alerts:count")
    outages = alerts_in(told["expr"], ALERTS)
    muting = [set(each.sources) for each in inhibitions() if "VllmTtftBudgetBurnsFast" in each.targets]
    assert outages in muting
    held_back = {name for name, rule in ALERTS.items() if told["record"] in rule["expr"]}
    muted = {name for each in inhibitions() if set(each.sources) == outages for name in each.targets}
    assert held_back - muted == set()


# --- the real Alertmanager


@pytest.fixture(name="told")
def _told(tmp_path: Path) -> Iterator[tuple[Alertmanager, Channels]]:
    """The shipped configuration in a real Alertmanager, hurried, with stand-ins where its receivers are."""
    with Channels() as channels:
        address = channels.address
        directory = tmp_path / "alertmanager"
        directory.mkdir()
        (directory / "slack_url").write_text(f"{address}/services/T/B/X")
        (directory / "heartbeat_url").write_text(f"{address}/heartbeat")
        (directory / "pagerduty_key").write_text("0123456789abcdef0123456789abcdef")
        shutil.copytree(CONFIG.parent / "templates", directory / "templates")
        member = Alertmanager(directory, config=hurried(TEXT, directory, address)).start()
        yield member, channels
        member.stop()


def hurried(text: str, directory: Path, address: str) -> str:
    """The configuration with secrets and receivers of the test, and waits of a fraction of a second."""
    text = text.replace("/run/secrets", str(directory))
    text = re.sub(r"group_(wait|interval): \w+", r"group_\1: 200ms", text)
    text = text.replace("# slack_configs: [{api_url_file", "slack_configs: [{api_url_file")
    return text + f"\nglobal: {{pagerduty_url: '{address}/v2/enqueue'}}\n"


def posted(channels: Channels, path: str) -> list[Any]:
    """The documents that have arrived under a path."""
    return [request.document for request in channels.received() if request.path.startswith(path)]


def test_a_page_arrives_at_both_with_these_words(told: tuple[Alertmanager, Channels]) -> None:
    """Slack and PagerDuty, to the letter."""
    member, channels = told
    known = {"startsAt": "2026-11-26T03:00:20Z", "generatorURL": "http://prometheus:9090/graph?g0.expr=x"}
    member.add(fired("VllmEngineStalled") | known)
    until(60, "both are told", lambda: posted(channels, "/services") and posted(channels, "/v2"))
    slack, page = posted(channels, "/services")[0], posted(channels, "/v2")[0]
    runbook = "https://github.com/vllm-vigil/vllm-vigil/blob/main/docs/runbooks/VllmEngineStalled.md"
    dashboard = "http://localhost:3000" + fired("VllmEngineStalled")["annotations"]["dashboard_url"]
    assert slack["channel"] == "#llm-pages"
    assert slack["attachments"][0]["title"] == "Critical: VllmEngineStalled"
    assert slack["attachments"][0]["title_link"] == runbook
    assert slack["attachments"][0]["color"] == "#e01e5a"
    assert slack["attachments"][0]["text"] == (
        "*Engine 0 of llama (m) holds requests and takes no step.* since 2026-11-26 03:00 UTC\n"
        "Its clients wait for ever. First: `curl -s localhost:9877/ready` on gpu-1 says since when; `py-spy dump` of "
        "the engine before the restart says where.\n"
        f"<{runbook}|Runbook> · <{dashboard.replace('&', '&amp;')}|Dashboard> · "
        "<http://prometheus:9090/graph?g0.expr=x|Query>"
    )
    assert page["routing_key"] == "0123456789abcdef0123456789abcdef"
    assert page["event_action"] == "trigger"
    assert page["client_url"] == dashboard
    assert page["payload"]["summary"] == "Engine 0 of llama (m) holds requests and takes no step."
    assert page["payload"]["severity"] == "critical"
    assert (page["payload"]["component"], page["payload"]["group"]) == ("engine", "llama")
    assert page["payload"]["custom_details"]["runbook"] == runbook
    assert "(since 2026-11-26 03:00 UTC) Its clients wait for ever." in page["payload"]["custom_details"]["what"]


def test_what_is_over_is_told_with_how_long_it_lasted(told: tuple[Alertmanager, Channels]) -> None:
    """In the same place, in green, and PagerDuty resolves."""
    member, channels = told
    alert = fired("VllmEngineDead") | {"startsAt": "2026-11-26T03:00:00Z"}
    member.add(alert)
    until(60, "both are told", lambda: posted(channels, "/services") and posted(channels, "/v2"))
    member.add(alert | {"endsAt": "2026-11-26T03:07:30Z"})
    until(
        20, "both are told again", lambda: len(posted(channels, "/services")) > 1 and len(posted(channels, "/v2")) > 1
    )
    slack = posted(channels, "/services")[1]["attachments"][0]
    assert slack["title"] == "Resolved: VllmEngineDead"
    assert slack["color"] == "#2eb67d"
    assert slack["text"] == "~Engine 1 of llama (m) is dead.~ over after 7m30s"
    assert posted(channels, "/v2")[1]["event_action"] == "resolve"


def test_warnings_of_one_model_come_together_and_strangers_text_is_plain(told: tuple[Alertmanager, Channels]) -> None:
    """Two servers of one model are one message, and a name cannot call the channel."""
    member, channels = told
    first = fired("VllmQueueOver50")
    second = first | {
        "labels": first["labels"] | {"server": "other"},
        "annotations": first["annotations"] | {"summary": "60 requests wait at <!channel> & co (m)."},
    }
    member.add(first, second)
    until(60, "Slack is told", lambda: posted(channels, "/services"))
    message = posted(channels, "/services")[0]
    assert message["channel"] == "#llm-alerts"
    assert message["attachments"][0]["title"] == "Warning: VllmQueueOver50 (2)"
    assert "*60 requests wait at &lt;!channel&gt; &amp; co (m).*" in message["attachments"][0]["text"]


def test_a_lost_gpu_mutes_its_engine_and_a_dead_engine_its_latency(told: tuple[Alertmanager, Channels]) -> None:
    """What follows is not told, on this host; the same on another host is."""
    member, channels = told
    member.add(fired("GpuLost"), elsewhere(fired("VllmEngineDead")))
    until(60, "both are told", lambda: len(posted(channels, "/v2")) == 2)
    member.add(fired("VllmEngineDead"), fired("VllmTtftBudgetBurnsFast"), fired("VllmQueueOver50"))
    member.add(elsewhere(fired("VllmTtftBudgetBurnsFast")), elsewhere(fired("VllmProbeFailing")))
    member.add(fired("VigilSidecarDown"))
    until(60, "the last is told", lambda: "VigilSidecarDown" in str(posted(channels, "/services")))
    told_of = sorted(message["attachments"][0]["title"] for message in posted(channels, "/services"))
    assert told_of == ["Critical: GpuLost", "Critical: VllmEngineDead", "Warning: VigilSidecarDown"]


def test_what_one_fault_says_in_two_ways_is_told_once(told: tuple[Alertmanager, Channels]) -> None:
    """A double bit error by its XID and not by the counter, an engine that the kernel killed by the kernel's word."""
    member, channels = told
    member.add(fired("GpuXidHardware"), elsewhere(fired("VllmOomKilled")))
    until(20, "both are told", lambda: len(posted(channels, "/v2")) == 2)
    uuid = {"uuid": fired("GpuXidHardware")["labels"]["uuid"]}
    counter = fired("GpuEccUncorrected")
    member.add(counter | {"labels": counter["labels"] | uuid}, elsewhere(fired("VllmEngineDead")))
    member.add(fired("VigilPagesNotDelivered"))
    until(20, "the last is told", lambda: "VigilPagesNotDelivered" in str(posted(channels, "/services")))
    told_of = sorted(message["attachments"][0]["title"] for message in posted(channels, "/services"))
    assert told_of == ["Critical: GpuXidHardware", "Critical: VigilPagesNotDelivered", "Critical: VllmOomKilled"]


def test_one_slowness_is_one_page(told: tuple[Alertmanager, Channels]) -> None:
    """Late first tokens page, the long requests that come of them do not; where tokens are slow, that alone does."""
    member, channels = told
    member.add(fired("VllmTtftBudgetBurnsFast"), elsewhere(fired("VllmInterTokenBudgetBurnsFast")))
    until(60, "both are told", lambda: len(posted(channels, "/services")) == 2)
    member.add(fired("VllmLatencyBudgetBurnsFast"), elsewhere(fired("VllmLatencyBudgetBurnsFast")))
    member.add(elsewhere(fired("VllmTtftBudgetBurnsFast")), fired("VigilPagesNotDelivered"))
    until(60, "the last is told", lambda: "VigilPagesNotDelivered" in str(posted(channels, "/services")))
    told_of = sorted(message["attachments"][0]["title"] for message in posted(channels, "/services"))
    assert told_of == [
        "Critical: VigilPagesNotDelivered",
        "Critical: VllmInterTokenBudgetBurnsFast",
        "Critical: VllmTtftBudgetBurnsFast",
    ]


def elsewhere(alert: dict[str, Any]) -> dict[str, Any]:
    """The same of another host, and of the server llama there."""
    return alert | {"labels": alert["labels"] | {"instance": "gpu-9", "server": "llama"}}


def test_the_watchdog_reaches_the_heartbeat_and_info_its_own_channel(told: tuple[Alertmanager, Channels]) -> None:
    """And an incident of the sidecar's own, which has no links, is a page like others."""
    member, channels = told
    incident = {
        "labels": {"alertname": "cuda_oom", "severity": "critical", "server": "llama", "instance": "gpu-1"},
        "annotations": {"summary": "CUDA out of memory at llama.", "description": "Lower --gpu-memory-utilization."},
    }
    member.add(fired("Watchdog"), fired("VllmRestarted"), incident)
    until(60, "all are told", lambda: posted(channels, "/heartbeat") and len(posted(channels, "/services")) == 2)
    texts = {message["channel"]: message["attachments"][0] for message in posted(channels, "/services")}
    assert "Watchdog" in posted(channels, "/heartbeat")[0]["attachments"][0]["title"]
    assert texts["#llm-info"]["title"] == "Info: VllmRestarted"
    said = re.sub(r"since 20\S+ \d\d:\d\d UTC", "since then", texts["#llm-pages"]["text"])
    assert said == "*CUDA out of memory at llama.* since then\nLower --gpu-memory-utilization."


# --- reading the document


def pairs_in(node: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its value."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield key, value
            yield from pairs_in(value)
    elif isinstance(node, list):
        for each in node:
            yield from pairs_in(each)


def keys_in(node: Any) -> set[str]:
    """Every key."""
    return {key for key, _ in pairs_in(node)}


def matchers_in(node: Any) -> list[str]:
    """Every matcher."""
    return [each for key, value in pairs_in(node) if key.endswith("matchers") for each in value]
