"""File, environment and flags into one configuration, and how it is shown."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from vllm_vigil.config.document import parse_document
from vllm_vigil.config.load import Recipe, find_file, state_directory
from vllm_vigil.config.overlay import Given
from vllm_vigil.config.settings import Config
from vllm_vigil.config.shape import Shaping
from vllm_vigil.config.show import show
from vllm_vigil.errors import ConfigError, UsageError
from vllm_vigil.lines.settings import LogSettings

EVERYTHING = """
vllm:
- name: llama
  url: https://gpu7:8443
  interval: 2s
  headers: {X-Team: infra}
  bearer: ${TOKEN}
  logs: [{path: /var/log/vllm/*.log}]
notify:
  channels:
    slack: {url: "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"}
  routes:
  - {match: {severity: critical}, to: [slack], repeat: 30m, also: true}
rules: {request_timeout: {count: 20, window: 10m}}
patterns: {late: {rule: request_timeout, regex: 'late by \\d+', examples: ['late by 5']}}
state_dir: /var/lib/vigil
"""


def flags(**given: object) -> Given:
    """Flags."""
    return Given("flag --{}", **given)  # type: ignore[arg-type]  # each test gives what it needs


def load(text: str = "", given: Given | None = None, environment: Mapping[str, str] | None = None) -> Config:
    """The configuration of a file's text, flags and environment."""
    path = Path("vigil.yaml").absolute()
    path.write_text(text)
    return Recipe(path, given or flags(), environment or {}).load().config


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_an_empty_file_and_no_file_are_the_defaults() -> None:
    """Every key is optional."""
    assert load("") == Recipe(None, flags(), {}).load().config == Config()


def test_the_flags_cover_the_common_case() -> None:
    """A server, its log, a channel; a relative path is one of the working directory."""
    config = load(given=flags(vllm=["http://a:1"], log=["x.log"], notify=["json://h/p", "json://h/q"]))
    (server,) = config.vllm
    assert (server.server, server.logs) == ("a:1", (LogSettings(str(Path.cwd() / "x.log")),))
    assert list(config.notify.channels) == ["json", "json-2"]


def test_flags_win_over_environment_over_file() -> None:
    """Each replaces what the one below says of the same thing."""
    environment = {"VIGIL_VLLM": "http://b:1,http://c:1", "VIGIL_LISTEN": ":2"}
    config = load("vllm: [{url: 'http://a:1'}]\nweb: {listen: ':1'}\n", flags(listen=":3"), environment)
    assert [server.server for server in config.vllm] == ["b:1", "c:1"]
    assert config.web.listen == ":3"


def test_a_log_goes_to_the_server_that_is_named() -> None:
    """With one server no name is needed; with several one is, and the error lists them."""
    config = load(given=flags(vllm=["a=http://a:1", "b=http://b:1"], log=["b=/l"]))
    assert [len(server.logs) for server in config.vllm] == [0, 1]
    with pytest.raises(UsageError, match=r"flag --log: say whose log it is with NAME=PATH.*\(a, b\)"):
        load(given=flags(vllm=["a=http://a:1", "b=http://b:1"], log=["/l"]))


def test_commas_in_a_channel_s_address_do_not_cut_it() -> None:
    """VIGIL_NOTIFY is cut where the next address begins."""
    config = load(environment={"VIGIL_NOTIFY": "mailtos://u:p@x.org?to=a@x.org,b@x.org,json://h/p"})
    assert [channel.url.reveal() for channel in config.notify.channels.values()] == [
        "mailtos://u:p@x.org?to=a@x.org,b@x.org",
        "json://h/p",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("vllm: [{url: 'http://a:1'}, {url: 'http://a:1'}]", "two servers are called 'a:1'"),
        ("gpu: {machine: /none}", "gpu.machine: there is no file /none"),
        ("patterns: {p: {regex: x, rule: nosuch}}", "patterns.p.rule: there is no rule 'nosuch'"),
        ("patterns: {p: {regex: x, examples: [y]}}", r"patterns.p.examples\[0\]: is not matched"),
        ("notify: {channels: {s: {url: 'slack://x'}}}", "notify.channels.s.url: Apprise does not understand"),
    ],
)
def test_what_the_parts_find_wrong_is_told_with_its_path(text: str, problem: str) -> None:
    """Names that lead nowhere, examples that do not match."""
    with pytest.raises(ConfigError, match=problem):
        load(text)


def test_what_check_prints_names_every_origin_and_no_secret() -> None:
    """File and line, flag, environment or default."""
    path = Path("v.yaml")
    path.write_text(EVERYTHING)
    shown = show(Recipe(path, flags(listen=":7"), {"TOKEN": "hunter2"}).load())
    assert 'url: "https://gpu7:8443"' in shown
    origins = dict(line.strip().split("  #", 1) for line in shown.splitlines() if "  #" in line)
    origins = {key.strip(): origin.strip() for key, origin in origins.items()}
    assert origins["interval: 2s"] == "v.yaml:5"
    assert origins['listen: ":7"'] == "flag --listen"
    assert origins["timeout: 5s"] == "default"
    assert "hunter2" not in shown
    assert "TIiajkdnlazkcOXrIdevi7FQ" not in shown


def test_what_check_prints_loads_again_as_the_same() -> None:
    """All but the secrets, which are asterisks."""
    path = Path("v.yaml")
    path.write_text(EVERYTHING)
    loaded = Recipe(path, flags(), {"TOKEN": "hunter2"}).load()
    shown = show(loaded).replace('url: "****"', "url: slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ")
    shaping = Shaping()
    again: Config = shaping.shape(Config, parse_document(shown, "shown", {}), "")
    assert shaping.problems == []
    assert (again.notify, again.rules, again.patterns) == (
        loaded.config.notify,
        loaded.config.rules,
        loaded.config.patterns,
    )
    assert (again.vllm[0].url, again.vllm[0].logs) == (loaded.config.vllm[0].url, loaded.config.vllm[0].logs)


def test_every_key_of_the_documentation_is_one() -> None:
    """The example in docs/configuration.md is a good file once its secrets are there."""
    page = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
    example, *_ = [block.split("```")[0] for block in page.split("```yaml\n")[1:]]
    for name in ("slack", "vllm-token", "vllm-ca.pem", "am-token", "am-ca.pem", "webhook-token"):
        Path(name).write_text("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ")
    Path("heartbeat-url").write_text("https://hc-ping.example/0f1e2d3c")
    example = example.replace("/run/secrets/", f"{Path.cwd()}/").replace("/etc/ssl/", f"{Path.cwd()}/")
    pagerduty = "pagerduty://0123456789abcdef0123456789abcdef@u1yN9xKEYc4n4ryXq7Ab"
    config = load(example, environment={"PAGERDUTY_URL": pagerduty})
    assert config.vllm[0].server == "llama"
    assert set(config.notify.channels) == {"slack", "pagerduty", "mail"}


def test_the_file_is_looked_for_where_it_says(tmp_path: Path) -> None:
    """The flag, the variable, the working directory."""
    assert find_file(None, {}) is None
    Path("vigil.yaml").touch()
    assert find_file(None, {}) == Path("vigil.yaml")
    assert find_file(None, {"VIGIL_CONFIG": "/x"}) == Path("/x")
    assert find_file(tmp_path, {"VIGIL_CONFIG": "/x"}) == tmp_path


def test_state_is_kept_where_systemd_or_the_user_wants_it() -> None:
    """The setting, $STATE_DIRECTORY, $XDG_STATE_HOME, the home directory."""
    assert state_directory(load("state_dir: /s"), {"STATE_DIRECTORY": "/t"}) == Path("/s")
    assert state_directory(Config(), {"STATE_DIRECTORY": "/t:/u"}) == Path("/t")
    assert state_directory(Config(), {"XDG_STATE_HOME": "/x"}) == Path("/x/vllm-vigil")
    assert state_directory(Config(), {}) == Path.home() / ".local/state/vllm-vigil"


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container may run under a number that its machine does not know."""
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000)
    with pytest.raises(ConfigError, match="has no home directory to keep state in: set state_dir, --state-dir"):
        state_directory(Config(), {})
    log = Recipe(None, Given("flag --{}", log=["~/vllm.log"]), {}).load().config.vllm[0].logs[0]
    assert str(Path.cwd() / "~/vllm.log") == log.path


def test_logs_of_a_unit_a_container_and_standard_input_are_given_as_flags() -> None:
    """By kind before the colon, and for the server that is named."""
    flags = Given("flag --{}", ["a=http://a:1", "b=http://b:1"], ["a=journal:vllm.service", "b=docker:vllm"], stdin="b")
    config = Recipe(None, flags, {}).load().config
    assert (LogSettings(journal="vllm.service"),) == config.vllm[0].logs
    assert (LogSettings(docker="vllm"), LogSettings(stdin=True)) == config.vllm[1].logs


WATCH = """
vllm: [{name: llama, url: "http://127.0.0.1:8000"}]
watch:
  full: {series: llm_kv_cache_usage_ratio, labels: {server: llama}, above: 0.95, for: 5m, severity: critical}
"""


def test_a_watch_row_is_read_and_shown_with_its_keys() -> None:
    """`for` is a word of Python, and here a key as any other."""
    row = load(WATCH).watch["full"]
    assert (0.95, 300.0, "critical") == (row.above, row.for_, row.severity)
    shown = show(Recipe(Path("vigil.yaml"), flags(), {}).load())
    assert re.search(r"^    for: 5m +# .*vigil.yaml:4$", shown, re.MULTILINE)
    assert load(shown).watch == load(WATCH).watch


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("for: 5m", "fro: 5m", ":4: watch.full.fro: unknown key; did you mean 'for'?"),
        ("for: 5m", "for: 5", ":4: watch.full.for: 5 has no unit"),
        ("for: 5m", "for_: 5m", ":4: watch.full.for_: unknown key; did you mean 'for'?"),
        ("usage_ratio", "usage", ":4: watch.full.series: there is no series 'llm_kv_cache_usage'; did you mean"),
        ("server: llama", "server: lama", "watch.full.labels.server: there is no server 'lama'; known: llama"),
        ("full:", "cuda_oom:", "watch.cuda_oom: there is a rule of that name; give the row another"),
        ("full:", "full-up:", "watch.full-up: its name is a rule's id"),
    ],
)
def test_a_watch_row_that_cannot_be_used_is_named(old: str, new: str, problem: str) -> None:
    """Key, line, and what to do."""
    with pytest.raises(ConfigError, match=re.escape(problem)):
        load(WATCH.replace(old, new))


DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("page", ["configuration.md", "probe.md"])
def test_the_rows_of_the_documentation_can_be_used(page: str) -> None:
    """Each block that is of `watch:` alone."""
    blocks = re.findall(r"```yaml\n(watch:.*?)```", (DOCS / page).read_text(), re.DOTALL)
    assert [True] == [bool(load(f"vllm: [{{name: llama}}]\n{block}").watch) for block in blocks]
