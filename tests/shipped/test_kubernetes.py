"""deploy/kubernetes/: what kubectl makes of the overlays fits Kubernetes' and the operators' types, and fits together.

No cluster is here: that the objects are admitted and that the pods start is not seen.
"""

from __future__ import annotations

import copy
import os
import re
import signal
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import promql_parser
import pytest
import yaml

from standins import operators
from standins.program import until
from standins.shipped import ROOT, known_metrics, load_script, metrics_in

FOLDER = ROOT / "deploy" / "kubernetes"
OVERLAYS = ["sidecar", "daemonset", "everything", "nvml"]
KUBERNETES = "1.35"
MEBIBYTE = 1 << 20
VLLM = """#!/bin/bash
trap "echo stopping; exit 7" TERM
echo "$@"
echo "of error" >&2
while :; do read -rt 0.1 <>/dev/zero; done
"""
ALERTMANAGER = {
    "route": {
        "receiver": "info",
        "group_by": ["alertname", "server"],
        "repeat_interval": "24h",
        "routes": [
            {"matchers": ['severity="critical"'], "receiver": "page", "repeat_interval": "30m", "continue": True},
        ],
    },
    "inhibit_rules": [{"source_matchers": ['a="b"'], "target_matchers": ['a=~"c|d"'], "equal": ["server"]}],
    "receivers": [
        {"name": "info", "slack_configs": [{"api_url_file": "/run/secrets/slack_url", "channel": "#info"}]},
        {"name": "page", "pagerduty_configs": [{"routing_key_file": "/run/secrets/pagerduty_key"}]},
        {"name": "watchdog", "webhook_configs": [{"url_file": "/run/secrets/watchdog_url"}]},
    ],
}
Object = dict[str, Any]
generator = load_script("kubernetes")
pytestmark = pytest.mark.timeout(300)  # the first run fetches kubectl and the types


class _Loader(yaml.SafeLoader):
    """Takes a bare = for the text that it is to Go, as in `matchType: =`; YAML 1.1 had a tag for it."""


_Loader.add_constructor("tag:yaml.org,2002:value", lambda _loader, node: str(node.value))


@cache
def built(overlay: str) -> list[Object]:
    """The objects that `kubectl apply -k` would send."""
    folder = FOLDER / "overlays" / overlay
    if overlay == "nvml":  # a component: the sidecar with it
        folder = operators.tools() / "nvml"
        folder.mkdir(exist_ok=True)
        paths = {name: os.path.relpath(FOLDER / name, folder) for name in ("overlays/sidecar", "components/nvml")}
        document = {"resources": [paths["overlays/sidecar"]], "components": [paths["components/nvml"]]}
        (folder / "kustomization.yaml").write_text(yaml.dump(document | {"namespace": "vllm"}))
    done = subprocess.run(
        [operators.tools() / "kubectl", "kustomize", folder], capture_output=True, text=True, check=False, timeout=60
    )
    assert (0, "") == (done.returncode, done.stderr)
    return list(yaml.load_all(done.stdout, _Loader))  # a safe loader


def of_kind(overlay: str, *kinds: str) -> list[Object]:
    """The objects of those kinds."""
    return [each for each in built(overlay) if each["kind"] in kinds]


def pods(overlay: str) -> list[Object]:
    """The pod templates."""
    return [each["spec"]["template"] for each in of_kind(overlay, "Deployment", "DaemonSet")]


def vigil(overlay: str) -> Object:
    """The sidecar's container."""
    spec = pods(overlay)[0]["spec"]
    (found,) = (each for each in [*spec.get("initContainers", []), *spec["containers"]] if each["name"] == "vigil")
    container: Object = found
    return container


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_object_fits_kubernetes_own_schema(overlay: str) -> None:
    """Strictly: a key that is not known is an error."""
    core = [each for each in built(overlay) if not operators.known(each)]
    assert core
    for each in core:
        kubernetes_validate.validate(each, KUBERNETES, strict=True)


def test_the_operators_types_accept_what_is_for_them_and_would_notice_a_mistake(tmp_path: Path) -> None:
    """PodMonitor, PrometheusRule, AlertmanagerConfig, ScaledObject: unknown keys, missing ones, wrong durations."""
    theirs = [each for each in built("everything") if operators.known(each)]
    theirs.append(generator.alertmanager_config(ALERTMANAGER))
    assert {"PodMonitor", "PrometheusRule", "AlertmanagerConfig", "ScaledObject"} == {each["kind"] for each in theirs}
    assert operators.complaints(theirs, tmp_path) == []
    wrong = [copy.deepcopy(each) for each in theirs if each["kind"] != "PrometheusRule"]
    for each in wrong:
        each["spec"]["misspelt"] = True
    wrong[0]["spec"].pop("selector", None)
    assert len(wrong) <= len(operators.complaints(wrong, tmp_path))


def test_an_alertmanagers_routes_times_and_inhibitions_stay_and_its_secrets_become_keys() -> None:
    """The order, `continue` and every matcher; a receiver names the key of one Secret."""
    spec = generator.alertmanager_config(ALERTMANAGER)["spec"]
    (critical,) = spec["route"]["routes"]
    assert {
        "receiver": "page",
        "repeatInterval": "30m",
        "continue": True,
        "matchers": [{"name": "severity", "matchType": "=", "value": "critical"}],
    } == critical
    assert [{"name": "a", "matchType": "=~", "value": "c|d"}] == spec["inhibitRules"][0]["targetMatch"]
    (pagerduty,) = spec["receivers"][1]["pagerdutyConfigs"]
    assert {"name": "vllm-vigil-alerting", "key": "pagerduty_key"} == pagerduty["routingKey"]


def test_what_is_generated_is_up_to_date_with_the_rules() -> None:
    """After a change in alert_rules/: scripts/kubernetes."""
    done = subprocess.run([ROOT / ".venv/bin/python", ROOT / "scripts/kubernetes", "--check"], check=False, timeout=60)
    assert 0 == done.returncode
    groups = [group for each in of_kind("everything", "PrometheusRule") for group in each["spec"]["groups"]]
    files = [yaml.safe_load(path.read_text()) for path in sorted((ROOT / "alert_rules").glob("*.yml"))]
    assert [group for file in files for group in file.get("groups", [])] == groups


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nothing_may_ask_the_api_and_our_container_has_no_rights(overlay: str) -> None:
    """No RBAC, no token; a user without capabilities on a read-only root."""
    assert of_kind(overlay, "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding", "ServiceAccount") == []
    assert [False] == [pod["spec"]["automountServiceAccountToken"] for pod in pods(overlay)]
    assert vigil(overlay)["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert "nvidia.com/gpu" not in str(vigil(overlay)["resources"])


def test_the_sidecar_is_native_and_nothing_waits_for_the_model_but_its_rotation() -> None:
    """It starts first and stops last; vLLM has half an hour to load; a sidecar is alive whatever vLLM does."""
    (pod,) = pods("sidecar")
    (sidecar,), (vllm,) = pod["spec"]["initContainers"], pod["spec"]["containers"]
    assert "Always" == sidecar["restartPolicy"]
    assert {"/-/healthy"} == {sidecar[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe")}
    assert "readinessProbe" not in sidecar
    assert 30 * 60 <= vllm["startupProbe"]["periodSeconds"] * vllm["startupProbe"]["failureThreshold"]
    assert {"path": "/ready", "port": 9877} == vllm["readinessProbe"]["httpGet"]
    assert "/health" == vllm["livenessProbe"]["httpGet"]["path"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_selector_selects_and_every_reference_leads_somewhere(overlay: str) -> None:
    """Services, policies and monitors find the pods and their ports; config maps are there."""
    (pod,) = pods(overlay)
    labels = pod["metadata"]["labels"]
    containers = [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]
    ports = {port["name"]: port["containerPort"] for each in containers for port in each["ports"]}
    for policy in of_kind(overlay, "NetworkPolicy"):
        assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
        assert {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]} <= set(ports.values())
    for service in of_kind(overlay, "Service"):
        assert service["spec"]["selector"].items() <= labels.items()
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= set(ports)
    maps = {each["metadata"]["name"] for each in of_kind(overlay, "ConfigMap")}
    assert {volume["configMap"]["name"] for volume in pod["spec"]["volumes"] if "configMap" in volume} <= maps
    for each in containers:
        names = {mount["name"] for mount in each["volumeMounts"]}
        assert names <= {volume["name"] for volume in pod["spec"]["volumes"]}


@pytest.mark.parametrize("overlay", ["sidecar", "daemonset"])
def test_the_monitor_scrapes_both_variants(overlay: str) -> None:
    """By a label that both have and the port's name, under the job that the rules know."""
    (monitor,) = of_kind("everything", "PodMonitor")
    (expression,) = monitor["spec"]["selector"]["matchExpressions"]
    assert pods(overlay)[0]["metadata"]["labels"][expression["key"]] in expression["values"]
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] in {port["name"] for port in vigil(overlay)["ports"]}
    assert {"targetLabel": "job", "replacement": "vllm-vigil"} in endpoint["relabelings"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_sidecar_accepts_its_configuration(overlay: str, tmp_path: Path) -> None:
    """With the variables that its container has."""
    (config,) = (each for each in of_kind(overlay, "ConfigMap") if each["metadata"]["name"].startswith("vllm-vigil"))
    (tmp_path / "vigil.yaml").write_text(config["data"]["vigil.yaml"])
    environment = os.environ | {each["name"]: each.get("value", "10.0.0.1") for each in vigil(overlay)["env"]}
    command = [str(ROOT / ".venv/bin/vigil"), "check", "--config", str(tmp_path / "vigil.yaml")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert 0 == done.returncode, done.stderr
    gpu = overlay not in {"sidecar", "everything"}
    assert gpu == ("NVIDIA_VISIBLE_DEVICES" in environment)
    assert gpu != ("enabled: false" in config["data"]["vigil.yaml"])


def test_keda_is_given_one_element_and_keeps_what_serves_when_there_is_none() -> None:
    """Sums without labels over series of ours; a missing answer is an error, and the fallback holds the replicas."""
    (scaled,) = of_kind("everything", "ScaledObject")
    (deployment,) = of_kind("everything", "Deployment")
    assert deployment["metadata"]["name"] == scaled["spec"]["scaleTargetRef"]["name"]
    for trigger in scaled["spec"]["triggers"]:
        query = promql_parser.parse(trigger["metadata"]["query"])
        assert isinstance(query, promql_parser.AggregateExpr)
        assert query.modifier is None
        assert metrics_in(trigger["metadata"]["query"]) <= known_metrics()
        assert ("AverageValue", "false") == (trigger["metricType"], trigger["metadata"]["ignoreNullValues"])
    assert {"failureThreshold", "replicas", "behavior"} == set(scaled["spec"]["fallback"])


def test_each_board_is_a_config_map_that_grafana_finds() -> None:
    """All of them, each below the limit of 1 MiB."""
    maps = {each["metadata"]["name"]: each for each in of_kind("everything", "ConfigMap")}
    boards = {path.stem for path in (ROOT / "dashboards").glob("vigil-*.json")}
    assert boards == {name for name, each in maps.items() if "grafana_dashboard" in each["metadata"].get("labels", {})}
    assert all(len(str(maps[name]["data"])) < MEBIBYTE for name in boards)


def test_vllms_output_goes_to_the_log_and_its_end_is_its_own(tmp_path: Path) -> None:
    """The command of the sidecar's overlay, run by bash with a small vLLM: two outputs, the signal, the exit code."""
    command = pods("sidecar")[0]["spec"]["containers"][0]["command"]
    log = tmp_path / "vllm.log"
    log.touch()
    script = command[2].replace("/var/log/vllm/vllm.log", str(log)).replace("sleep 30", "sleep 0.1")
    vllm = tmp_path / "vllm"
    vllm.write_text(VLLM)
    vllm.chmod(0o755)
    with (tmp_path / "output").open("wb") as output:
        path = f"{tmp_path}:{os.environ['PATH']}"
        process = subprocess.Popen(
            [*command[:2], script], stdout=output, env=os.environ | {"PATH": path}, start_new_session=True
        )
    try:
        until(60, "vLLM writes", lambda: "of error" in log.read_text())
        os.truncate(log, 100 << 20 | 1)
        until(60, "the log is emptied", lambda: log.stat().st_size < 1 << 20)
        process.send_signal(signal.SIGTERM)
        assert 7 == process.wait(60)
        until(60, "the last line is there", lambda: "stopping" in log.read_text())
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # the loop that empties the log: in a pod it ends with the container
    assert re.search(r"^serve \S+ --port 8000\n(?s:.*)of error\n(?s:.*)stopping", (tmp_path / "output").read_text())
