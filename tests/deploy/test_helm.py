"""The chart: its values are refused where they are none, and what it makes is held to the code as the compose file is.

Where `helm` is installed the chart is linted and rendered; elsewhere its values and their schema are all that is tried.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator, ValidationError

from monitor.config.settings import PREFIX, Settings
from monitor.config.settings_source import load_settings

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "rollback-budget"
HELM = [found] if (found := shutil.which("helm")) else []
AS = ("--kube-version", "1.31.0")  # what a helm that somebody built himself takes a cluster for is old
SCHEMA = Draft7Validator(json.loads((CHART / "values.schema.json").read_text()))
DEFAULTS: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
LEAST: dict[str, Any] = {
    "image": {"repository": "registry.example/rollback-budget"},
    "settings": {"kafka_bootstrap": "kafka:9092", "redis_url": "redis://valkey:6379/0"},
}
EVERYTHING: dict[str, Any] = {
    "image": {"repository": "registry.example/monitor", "digest": "sha256:" + "0" * 64, "pullSecrets": ["pull"]},
    "settings": {
        "kafka_bootstrap": "kafka:9092", "kafka_username": "monitor", "kafka_security_protocol": "SASL_SSL",
        "kafka_sasl_mechanism": "SCRAM-SHA-512", "session_timeout_ms": 10_000,
        "webhook_allow_private": "10.0.0.0/8", "flagd_file": "/flags/flags.json", "require_signed_commands": True,
        "bridge_window_s": 20, "seen_ids_max": 1_000_000, "kafka_wait_s": 2.5,
    },
    "secret": {"name": "own", "settings": ["redis_url", "kafka_password", "command_keys"]},
    "budgets": {"model-v42.yaml": (ROOT / "deploy" / "budgets" / "model-v42.yaml").read_text()},
    "certificates": {"secret": "monitor-tls"},
    "flags": {"claim": "flags"},
    "workers": {"nodeSelector": {"a": "b"}, "tolerations": [{"operator": "Exists"}], "podAnnotations": {"a": "b"}},
    "watch": {"settings": {"watch_delay_s": 40}, "secretSettings": ["kafka_password", "watch_ping_url"]},
    "bridge": {"enabled": True, "replicas": 2, "secretSettings": ["kafka_password"]},
    "networkPolicy": {"enabled": True, "from": [{"namespaceSelector": {}}]},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "autoscaling": {"enabled": True, "authenticationRef": "kafka", "lagThreshold": 2_000_000},
}  # fmt: skip
SECRETS = {
    "redis_url": "redis://valkey:6379/0", "kafka_password": "planted", "command_keys": f"dana = {'0a' * 32}",
}  # fmt: skip
Rendered = list[dict[str, Any]]


def merged(values: dict[str, Any]) -> dict[str, Any]:
    both = {
        name: {**known, **values.get(name, {})} if isinstance(known, dict) else values.get(name, known)
        for name, known in DEFAULTS.items()
    }
    return {**values, **both}


def rendered(helm: str, values: dict[str, Any], folder: Path) -> Rendered:
    path = folder / "values.yaml"
    path.write_text(yaml.safe_dump(values))
    for command in (["lint", "--strict", *AS], ["template", "mine", *AS]):
        done = subprocess.run(
            [helm, *command, str(CHART), "--values", str(path)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def pods(documents: Rendered) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Yield the component, the pod's and the container's description of every workload."""
    for one in documents:
        if one["kind"] in {"StatefulSet", "Deployment"}:
            pod = one["spec"]["template"]["spec"]
            (container,) = pod["containers"]
            yield one["metadata"]["labels"]["app.kubernetes.io/component"], pod, container


def test_the_chart_is_of_our_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (version, version)


@pytest.mark.parametrize("values", [LEAST, EVERYTHING], ids=["least", "everything"])
def test_its_values_fit_their_schema(values: dict[str, Any]) -> None:
    SCHEMA.validate(merged(values))


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {**LEAST, "image": {"repository": ""}},
        {**LEAST, "image": {**LEAST["image"], "digest": "latest"}},
        {**LEAST, "worker": {"replicas": 3}},
        {**LEAST, "workers": {"replicas": 0}},
        {**LEAST, "workers": {"terminationGracePeriodSeconds": 5}},
        {**LEAST, "settings": {"KAFKA_BOOTSTRAP": "kafka:9092"}},
        {**LEAST, "settings": {"kafka_bootstrap": ["kafka:9092"]}},
        {**LEAST, "settings": {**LEAST["settings"], "worker_id": "w"}},
        {**LEAST, "budgets": {"model v42": "release: x"}},
        {**LEAST, "autoscaling": {"minReplicas": 0}},
    ],
)
def test_what_would_do_something_else_than_meant_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SCHEMA.validate(merged(wrong))


def test_every_setting_that_the_values_show_is_one() -> None:
    shown = (CHART / "values.yaml").read_text()
    names = {
        *EVERYTHING["settings"],
        *EVERYTHING["secret"]["settings"],
        "watch_ping_url",
        "unleash_url",
        "unleash_token",
    }
    assert names <= Settings.model_fields.keys()
    assert {
        name for name in ("kafka_bootstrap", "redis_url", "pagerduty_routing_key") if name not in shown
    } == set()


@pytest.mark.parametrize("helm", HELM)
@pytest.mark.parametrize("values", [LEAST, EVERYTHING], ids=["least", "everything"])
def test_what_is_made_is_hardened_and_every_variable_is_a_setting(
    helm: str, values: dict[str, Any], tmp_path: Path
) -> None:
    documents = rendered(helm, values, tmp_path)
    found = {component: (pod, container) for component, pod, container in pods(documents)}
    assert found.keys() == {"worker", "watch"} | ({"bridge"} if "bridge" in values else set())
    for pod, container in found.values():
        assert pod["securityContext"]["runAsNonRoot"]
        assert not pod["enableServiceLinks"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["securityContext"]["readOnlyRootFilesystem"]
        variables = [one["name"].removeprefix(PREFIX) for one in container["env"]]
        assert len(set(variables)) == len(variables)
        known = {name.upper() for name in Settings.model_fields}
        assert {
            one for one in variables if one not in known and one.removesuffix("_FILE") not in known
        } == set()
        mounted = {one["name"] for one in container["volumeMounts"]}
        assert mounted == {one["name"] for one in pod["volumes"]}
        certificates = {"name": "certificates", "mountPath": "/run/certificates", "readOnly": True}
        assert (certificates in container["volumeMounts"]) == ("certificates" in values)
    pod, _ = found["worker"]
    session_s = Settings().session_timeout_ms / 1000
    assert pod["terminationGracePeriodSeconds"] > session_s


@pytest.mark.parametrize("helm", HELM)
def test_the_workers_read_what_was_set_and_large_numbers_stay_whole(
    helm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = rendered(helm, EVERYTHING, tmp_path)
    (container,) = (container for component, _, container in pods(documents) if component == "worker")
    for name, text in SECRETS.items():
        (tmp_path / name).write_text(text)
    for one in container["env"]:
        if "value" in one:
            monkeypatch.setenv(
                one["name"], one["value"].replace("/run/secrets/rollback-budget", str(tmp_path))
            )
    settings = load_settings()
    assert settings.redis_url.get_secret_value() == SECRETS["redis_url"]
    assert (settings.seen_ids_max, settings.kafka_wait_s, settings.http_host) == (1_000_000, 2.5, "0.0.0.0")
    assert settings.require_signed_commands
    (scaled,) = (one for one in documents if one["kind"] == "ScaledObject")
    assert scaled["spec"]["triggers"][0]["metadata"]["lagThreshold"] == "2000000"


@pytest.mark.parametrize("helm", HELM)
def test_the_watcher_and_the_bridge_get_neither_the_store_nor_anybody_elses_secrets(
    helm: str, tmp_path: Path
) -> None:
    for component, pod, container in pods(rendered(helm, EVERYTHING, tmp_path)):
        names = {one["name"] for one in container["env"]}
        keys = {item["key"] for one in pod["volumes"] for item in one.get("secret", {}).get("items", [])}
        is_worker = component == "worker"
        assert (f"{PREFIX}REDIS_URL_FILE" in names) == is_worker
        assert (f"{PREFIX}FLAGD_FILE" in names) == is_worker
        assert ("redis_url" in keys) == is_worker


@pytest.mark.parametrize("helm", HELM)
@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"settings": LEAST["settings"]}, "repository"),
        ({**LEAST, "settings": {"redis_url": "redis://valkey:6379/0"}}, "kafka_bootstrap"),
        ({**LEAST, "settings": {"kafka_bootstrap": "kafka:9092"}}, "redis_url"),
        ({**LEAST, "secret": {"settings": ["redis_url"]}}, "secret.name"),
        ({**LEAST, "worker": {}}, "worker"),
    ],
)
def test_what_is_missing_is_named_before_anything_is_installed(
    helm: str, values: dict[str, Any], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "values.yaml"
    path.write_text(yaml.safe_dump(values))
    done = subprocess.run(
        [helm, "template", "mine", *AS, str(CHART), "--values", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert words in done.stderr
