"""The manifests are held to the code: settings, port, paths, hardening.

No cluster runs here; the schemas of Kubernetes were asked by hand (deploy/README.md).
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor.config.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
FILES = sorted(FOLDER.glob("*.yaml"))
FOUND = [document for path in FILES for document in yaml.safe_load_all(path.read_text())]
RUNNING = {one["metadata"]["name"]: one for one in FOUND if one["kind"] in ("StatefulSet", "Deployment")}
WORKER = RUNNING["rollback-budget"]
FIELDS = Settings.model_fields


def pod(one: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = one["spec"]["template"]["spec"]
    return spec


def of_kind(kind: str) -> dict[str, Any]:
    (found,) = (one for one in FOUND if one["kind"] == kind)
    return dict(found)


def test_a_pod_for_the_workers_and_one_that_watches_them() -> None:
    told = {name: pod(one)["containers"][0]["args"] for name, one in RUNNING.items()}
    assert told == {"rollback-budget": ["run"], "rollback-budget-watch": ["watch"]}


@pytest.mark.parametrize("one", RUNNING.values(), ids=RUNNING)
def test_every_pod_is_hardened_pinned_and_finds_its_own(one: dict[str, Any]) -> None:
    spec, labels = pod(one), one["spec"]["template"]["metadata"]["labels"]
    (container,) = spec["containers"]
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert container["image"] == f"rollback-budget:{version}"
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 10001
    assert spec["automountServiceAccountToken"] is False
    inner = container["securityContext"]
    assert (inner["readOnlyRootFilesystem"], inner["allowPrivilegeEscalation"]) == (True, False)
    assert inner["capabilities"] == {"drop": ["ALL"]}
    assert "memory" in container["resources"]["limits"]
    assert one["spec"]["selector"]["matchLabels"].items() <= labels.items()
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in spec["volumes"]}


def test_every_variable_is_a_setting_with_a_value_that_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    data = of_kind("ConfigMap")["data"]
    texts = "".join(path.read_text() for path in FILES)
    named = {name.removesuffix("_FILE") for name in re.findall(rf"{PREFIX}[A-Z_]+[A-Z]", texts)}
    assert {name.removeprefix(PREFIX).lower() for name in named} <= set(FIELDS)
    for name, value in data.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert (settings.http_host, settings.kafka_replication) == ("0.0.0.0", 3)
    mounts = {mount["mountPath"] for mount in pod(WORKER)["containers"][0]["volumeMounts"]}
    assert set(settings.budgets) <= mounts


def test_a_worker_is_asked_where_it_answers_and_has_time_to_hand_over() -> None:
    spec = pod(WORKER)
    (container,) = spec["containers"]
    port = FIELDS["http_port"].default
    assert container["ports"] == [{"name": "http", "containerPort": port}]
    asked = {name: probe["httpGet"] for name, probe in container.items() if name.endswith("Probe")}
    assert {one["port"] for one in asked.values()} == {"http"}
    assert {name: one["path"] for name, one in asked.items()} == {
        "startupProbe": "/livez",
        "livenessProbe": "/livez",
        "readinessProbe": "/readyz",
    }
    assert spec["terminationGracePeriodSeconds"] * 1000 > FIELDS["session_timeout_ms"].default
    assert [one["port"] for one in of_kind("Service")["spec"]["ports"]] == [port]
    (rule,) = of_kind("NetworkPolicy")["spec"]["ingress"]
    assert [one["port"] for one in rule["ports"]] == [port]


def test_a_worker_keeps_its_name_over_a_restart() -> None:
    assert WORKER["kind"] == "StatefulSet"
    (name,) = (one for one in pod(WORKER)["containers"][0]["env"] if one["name"] == f"{PREFIX}WORKER_ID")
    assert name["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}


def test_workers_and_watcher_share_neither_secret_nor_disruption() -> None:
    secrets = {
        name: [
            one["secretRef"]["name"] for one in pod(found)["containers"][0]["envFrom"] if "secretRef" in one
        ]
        for name, found in RUNNING.items()
    }
    assert secrets == {name: [name] for name in RUNNING}
    selected = of_kind("PodDisruptionBudget")["spec"]["selector"]["matchLabels"]
    assert selected == WORKER["spec"]["selector"]["matchLabels"]
