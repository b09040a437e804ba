"""What is deployed is held to the code: settings, ports, paths, topics, metrics, and the hardening that is promised.

No engine runs here: compose's own parser reads the file, hadolint the Dockerfile, and the rest is compared as data.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext

from monitor.adapters.flags import ACTUATORS
from monitor.adapters.telemetry.bridge_catalog import BRIDGE_INSTRUMENTS
from monitor.adapters.telemetry.catalog import INSTRUMENTS, Kind
from monitor.config.budget_file import load_budget
from monitor.config.settings import PREFIX, Settings
from monitor.wire import topics

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
TOOLS = Path(sys.executable).parent
PROFILES = ("observability", "demo", "otlp")
WORKERS = ("monitor-1", "monitor-2")
# Runs once; images without a program that could ask; what listens nowhere.
NO_HEALTH_CHECK = {"flags", "flagd", "otel-collector", "watch", "otlp-topics"}
WRITES_INTO_ITSELF = {"kafka"}
PATHS = ("/livez", "/readyz", "/metrics")


def compose(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run compose's parser on the file, without any variable of this machine."""
    command = [str(TOOLS / "docker-compose"), "--file", str(ROOT / "docker-compose.yml"), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=600, env={"HOME": "/nonexistent"}, check=False
    )


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """Every service, as compose understands it."""
    chosen = [argument for profile in PROFILES for argument in ("--profile", profile)]
    done = compose(*chosen, "config", "--format", "json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout)["services"])


@pytest.fixture(scope="module")
def dockerfile() -> str:
    """The text of the Dockerfile."""
    return (DEPLOY / "Dockerfile").read_text()


@pytest.mark.parametrize("profiles", [(), *((profile,) for profile in PROFILES), PROFILES])
def test_compose_accepts_the_file_with_every_profile_and_without_a_warning(profiles: tuple[str, ...]) -> None:
    done = compose(
        *(argument for profile in profiles for argument in ("--profile", profile)), "config", "--quiet"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_without_a_profile_the_core_starts(services: dict[str, Any]) -> None:
    core = {name for name, service in services.items() if not service.get("profiles")}
    assert core == {"kafka", "valkey", "flags", "watch", *WORKERS}


def test_hadolint_has_nothing_to_say() -> None:
    done = subprocess.run(
        [TOOLS / "hadolint", "--failure-threshold", "style", DEPLOY / "Dockerfile"],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "")


def test_every_image_is_pinned(services: dict[str, Any], dockerfile: str) -> None:
    images = [service["image"] for service in services.values()]
    images += re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)
    assert [image for image in images if not re.search(r":v?\d+\.\d+\.\d+", image)] == []


def test_our_image_is_of_our_version(services: dict[str, Any]) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    ours = {service["image"] for service in services.values() if "build" in service}
    assert ours == {f"rollback-budget:{version}"}


def test_every_container_is_hardened(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["user"].split(":")[0] not in {"", "0", "root"}, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert bool(service.get("read_only")) != (name in WRITES_INTO_ITSELF), name
        assert not service.get("privileged"), name


def test_every_port_is_published_on_loopback_once(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}
    assert len({port["published"] for port in ports}) == len(ports)


def test_who_waits_for_health_waits_for_something_that_tells_it(services: dict[str, Any]) -> None:
    for name, service in services.items():
        for other, wait in service.get("depends_on", {}).items():
            once = services[other].get("restart") == "no"
            assert wait["condition"] == ("service_completed_successfully" if once else "service_healthy"), (
                name
            )
            assert once or services[other]["healthcheck"]["test"], (name, other)
    silent = {
        name for name, one in services.items() if one.get("healthcheck", {"disable": True}).get("disable")
    }
    assert silent == NO_HEALTH_CHECK


def test_the_workers_wait_for_what_they_need(services: dict[str, Any]) -> None:
    for worker in WORKERS:
        assert services[worker]["depends_on"].keys() >= {"kafka", "valkey", "flags"}


def test_every_variable_is_a_setting_with_a_value_that_loads(
    services: dict[str, Any], dockerfile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    texts = (ROOT / "docker-compose.yml").read_text() + dockerfile + (DEPLOY / "README.md").read_text()
    texts += (ROOT / "docs" / "adding-an-actuator.md").read_text()
    named = {name.removesuffix("_FILE") for name in re.findall(rf"{PREFIX}[A-Z_]+[A-Z]", texts)} | {
        name for name in re.findall(rf"{PREFIX}[A-Z_]+[A-Z]", texts) if name in known
    }
    assert {name for name in named if name not in known and f"{name}_FILE" not in known} == set()
    for worker in WORKERS:
        with monkeypatch.context() as environment:
            for name, value in services[worker]["environment"].items():
                environment.setenv(name, value)
            settings = Settings()
        assert settings.worker_id == worker
        assert settings.kafka_bootstrap == "kafka:19092"
        assert settings.traces_topic == topics.TRACES
        assert settings.redis_url.get_secret_value() == "redis://valkey:6379/0"


def test_the_watcher_shares_nothing_with_the_workers_but_kafka(
    services: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = services["watch"]
    assert watcher["command"] == ["watch"]
    assert watcher["depends_on"].keys() == {"kafka"}
    assert not watcher.get("volumes")
    assert not watcher.get("ports")
    for name, value in watcher["environment"].items():
        monkeypatch.setenv(name, value)
    settings, default = Settings(), Settings.model_fields
    assert settings.kafka_bootstrap == "kafka:19092"
    assert settings.traces_topic == topics.TRACES
    for worker in WORKERS:
        group = services[worker]["environment"].get(f"{PREFIX}GROUP", default["group"].default)
        assert settings.group == group
    assert f"{PREFIX}REDIS_URL" not in watcher["environment"]


def test_the_bridge_stands_before_the_workers_and_shares_kafka_with_them_alone(
    services: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge = services["bridge"]
    assert (bridge["command"], bridge["profiles"]) == (["bridge"], ["otlp"])
    assert bridge["depends_on"].keys() == {"kafka", "otlp-topics", WORKERS[0]}
    assert not bridge.get("volumes")
    for name, value in bridge["environment"].items():
        monkeypatch.setenv(name, value)
    settings, default = Settings(), Settings.model_fields
    assert settings.kafka_bootstrap == "kafka:19092"
    assert settings.traces_topic == topics.TRACES
    for name in ("bridge_spans_topic", "bridge_logs_topic", "bridge_http_port"):
        assert getattr(settings, name) == default[name].default
    made = services["otlp-topics"]["entrypoint"][-1]
    assert all(f'"{name}"' in made for name in (settings.bridge_spans_topic, settings.bridge_logs_topic))
    assert f'"{settings.kafka_bootstrap}"' in made
    assert f"{PREFIX}REDIS_URL" not in bridge["environment"]


def test_the_bridges_port_is_the_same_everywhere(services: dict[str, Any]) -> None:
    port, bridge = Settings.model_fields["bridge_http_port"].default, services["bridge"]
    assert [one["target"] for one in bridge["ports"]] == [port]
    assert f"127.0.0.1:{port}{PATHS[0]}" in bridge["healthcheck"]["test"][-1]
    _, job = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    assert (job["metrics_path"], found["names"], found["port"]) == (PATHS[2], ["bridge"], port)
    assert f'job="{job["job_name"]}"' in (DEPLOY / "alerts.yml").read_text()


def test_workers_differ_in_their_name_only(services: dict[str, Any]) -> None:
    first, second = (dict(services[worker]["environment"]) for worker in WORKERS)
    assert first.pop(f"{PREFIX}WORKER_ID") != second.pop(f"{PREFIX}WORKER_ID")
    assert first == second


def test_the_port_is_the_same_everywhere(services: dict[str, Any], dockerfile: str) -> None:
    port = Settings.model_fields["http_port"].default
    for worker in WORKERS:
        assert [one["target"] for one in services[worker]["ports"]] == [port]
        assert services[worker]["environment"][f"{PREFIX}HTTP_PORT"] == str(port)
        assert f"127.0.0.1:{port}{PATHS[0]}" in services[worker]["healthcheck"]["test"][-1]
    assert f"EXPOSE {port}\n" in dockerfile
    assert f"{PREFIX}HTTP_PORT={port}\n" in dockerfile
    job, _ = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"]
    assert job["metrics_path"] == PATHS[2]
    assert job["static_configs"][0]["targets"] == [f"{worker}:{port}" for worker in WORKERS]


def test_the_health_check_of_the_image_is_python_and_fails_where_nobody_answers(dockerfile: str) -> None:
    (check,) = re.findall(r"HEALTHCHECK.*?CMD (\[.*?\])$", dockerfile, re.DOTALL | re.MULTILINE)
    _, option, program = json.loads(check)
    done = subprocess.run(
        [sys.executable, option, program], capture_output=True, timeout=600, check=False,
        env={f"{PREFIX}HTTP_PORT": "1"},
    )  # fmt: skip
    assert (done.returncode, b"URLError" in done.stderr) == (1, True)


def test_the_image_starts_the_worker_without_a_shell_and_not_as_root(dockerfile: str) -> None:
    final = dockerfile.rpartition("\nFROM ")[2]
    assert 'ENTRYPOINT ["rollback-budget"]\nCMD ["run"]\n' in final
    assert "USER 10001:10001\n" in final
    assert " pip " not in final
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert "rollback-budget" in scripts


def test_what_is_copied_exists_and_gets_through_dockerignore(dockerfile: str) -> None:
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE)
    copied = {name for line in lines for name in line.split()}
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert copied == allowed
    assert copied >= {project["readme"], *project["license-files"]}
    assert [name for name in copied if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("name", ["requirements.txt", "deploy/requirements-build.txt"])
def test_every_pinned_package_has_a_hash(name: str) -> None:
    blocks = re.split(r"\n(?=[a-z0-9])", "\n" + (ROOT / name).read_text(), flags=re.IGNORECASE)
    packages = [block for block in blocks if re.match(r"[A-Za-z0-9._-]+(\[.*\])?==", block)]
    assert packages
    assert [block.split("==")[0] for block in packages if "--hash=sha256:" not in block] == []


def test_mounted_files_exist(services: dict[str, Any]) -> None:
    mounts = [mount for service in services.values() for mount in service.get("volumes", [])]
    binds = [Path(mount["source"]) for mount in mounts if mount["type"] == "bind"]
    assert binds
    assert [path for path in binds if not path.exists()] == []
    assert all(mount.get("read_only") for mount in mounts if mount["type"] == "bind")


def test_the_store_can_lose_nothing_silently(services: dict[str, Any]) -> None:
    words = services["valkey"]["command"]
    options = {words[at]: words[at + 1] for at in range(1, len(words), 2)}
    assert options["--maxmemory-policy"] == "noeviction"
    assert (options["--appendonly"], options["--aof-load-truncated"]) == ("yes", "no")


def test_topics_are_never_created_by_an_early_producer(services: dict[str, Any]) -> None:
    assert services["kafka"]["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


def test_the_example_budget_its_flag_and_the_flag_file_belong_together() -> None:
    path = DEPLOY / "budgets" / "model-v42.yaml"
    flag = load_budget(path.read_bytes(), str(path), require_owner=True).flag
    assert flag is not None
    assert flag.actuator in ACTUATORS
    core = FlagdCore()
    core.set_flags((DEPLOY / "flags.json").read_text())
    users = [EvaluationContext(targeting_key=f"user-{number}") for number in range(300)]
    served = {core.resolve_string_value(flag.key, "none", user).variant for user in users}
    assert served == {flag.baseline_variation, flag.candidate_variation}


def _queries() -> list[str]:
    groups = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]
    return [rule["expr"] for group in groups for rule in group["rules"]]


def test_every_metric_and_label_value_of_the_alerts_is_in_the_catalogue() -> None:
    exposed = {
        one.exposed: one for one in (*INSTRUMENTS, *BRIDGE_INSTRUMENTS) if one.kind is not Kind.HISTOGRAM
    }
    for query in _queries():
        for name, matchers in re.findall(r"(rollback_budget_\w+)(?:\{(.*?)\})?", query):
            assert name in exposed, query
            for label, values in re.findall(r'(\w+)=~?"(.*?)"', matchers):
                assert set(values.split("|")) <= set(exposed[name].labels[label]), query


def test_somebody_watches_that_alerting_itself_works() -> None:
    groups = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]
    always = [rule["alert"] for group in groups for rule in group["rules"] if rule["expr"] == "vector(1)"]
    routes = yaml.safe_load((DEPLOY / "alertmanager.yml").read_text())["route"]["routes"]
    assert always == ["RollbackBudgetWatchdog"]
    assert any(always[0] in matcher for route in routes for matcher in route["matchers"])


def test_alertmanager_routes_lead_to_receivers_and_prometheus_to_alertmanager(
    services: dict[str, Any],
) -> None:
    config = yaml.safe_load((DEPLOY / "alertmanager.yml").read_text())
    receivers = {receiver["name"] for receiver in config["receivers"]}
    assert {
        config["route"]["receiver"],
        *(route["receiver"] for route in config["route"]["routes"]),
    } <= receivers
    prometheus = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    (target,) = prometheus["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]
    host, _, port = target.partition(":")
    assert int(port) in [one["target"] for one in services[host]["ports"]]


def test_the_collectors_pipelines_name_what_is_configured_and_its_ports_are_published(
    services: dict[str, Any],
) -> None:
    config = yaml.safe_load((DEPLOY / "otel-collector.yaml").read_text())
    for pipeline in config["service"]["pipelines"].values():
        for kind in ("receivers", "processors", "exporters"):
            assert set(pipeline[kind]) <= set(config[kind])
    assert set(config["service"]["extensions"]) <= set(config["extensions"])
    listens = {
        int(config["receivers"]["otlp"]["protocols"]["http"]["endpoint"].rpartition(":")[2]),
        int(config["extensions"]["health_check"]["endpoint"].rpartition(":")[2]),
    }
    assert {one["target"] for one in services["otel-collector"]["ports"]} == listens
