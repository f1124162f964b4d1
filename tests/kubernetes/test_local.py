"""The overlays for a cluster on this machine: what plain Pods are given where no controller is."""

from __future__ import annotations

import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from tests.kubernetes.rendering import (
    KUBERNETES,
    ROOT,
    Document,
    Workload,
    named,
    of_kind,
    rendered,
    workloads,
)
from tests.kubernetes.test_schemas import VERSIONS, wrong

LOCAL = ("overlays/local", "overlays/local-vllm")
OLD = {"policy/v1beta1", "autoscaling/v2beta2"}  # of the API that these overlays are for, and no schema is of
SIZES = {"m": Decimal("0.001"), "Mi": Decimal(2**20), "Gi": Decimal(2**30), "": Decimal(1)}
PROMTOOL = ROOT / ".cache" / "monitoring" / "root" / "usr" / "bin" / "promtool"
ENVIRONMENT = yaml.safe_load((KUBERNETES / "environments.yaml").read_text())["local"]
MONITORING = ROOT / "deploy" / "monitoring"

places = pytest.mark.parametrize("place", LOCAL)


def mounted(place: str, deployment: str, volume: str) -> dict[str, str]:
    """The files of a ConfigMap that a Deployment mounts."""
    pod = Workload(named(place, "Deployment", deployment)).pod
    (name,) = [one["configMap"]["name"] for one in pod["volumes"] if one["name"] == volume]
    return dict(named(place, "ConfigMap", name)["data"])


@places
@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_every_object(place: str, version: str) -> None:
    new = [one for one in rendered(place) if one["apiVersion"] not in OLD]
    assert {one["kind"] for one in rendered(place) if one not in new} == {
        "PodDisruptionBudget",
        "HorizontalPodAutoscaler",
    }
    found = {f"{one['kind']} {one['metadata']['name']}": said for one in new if (said := wrong(one, version))}
    assert found == {}


@places
class TestPods:
    def test_none_has_a_right_that_it_does_not_need(self, place: str) -> None:
        assert not [one["kind"] for one in rendered(place) if "Role" in one["kind"]]
        for one in workloads(place):
            pod = one.pod
            assert pod["automountServiceAccountToken"] is False, one.name
            assert pod["enableServiceLinks"] is False, one.name
            assert pod["securityContext"]["runAsNonRoot"] is True
            assert pod["securityContext"]["runAsUser"] == 10001
            for part in one.containers:
                confined = part["securityContext"]
                assert confined["readOnlyRootFilesystem"] is True
                assert confined["allowPrivilegeEscalation"] is False
                assert confined["capabilities"] == {"drop": ["ALL"]}
            kinds = {kind for volume in pod["volumes"] for kind in volume if kind != "name"}
            assert kinds <= {"configMap", "emptyDir", "persistentVolumeClaim", "secret"}, (
                "no folder of a node"
            )

    def test_what_they_name_is_there(self, place: str) -> None:
        for one in workloads(place):
            named(place, "ServiceAccount", one.pod["serviceAccountName"])
            for volume in one.pod["volumes"]:
                if "configMap" in volume:
                    named(place, "ConfigMap", volume["configMap"]["name"])
            volumes = {volume["name"] for volume in one.pod["volumes"]}
            assert {mount["name"] for part in one.containers for mount in part["volumeMounts"]} == volumes

    def test_services_lead_to_ports_of_pods_and_say_their_protocol(self, place: str) -> None:
        for service in of_kind(place, "Service"):
            selector = service["spec"]["selector"]
            (pods,) = [one for one in workloads(place) if selector.items() <= one.labels.items()]
            for port in service["spec"]["ports"]:
                assert pods.port(port["targetPort"]) == port["port"]
                assert port["protocol"] == "TCP", "server-side apply of 1.20 refuses one without"

    def test_they_ask_for_little_of_a_machine_of_two_cores_and_4_gib(self, place: str) -> None:
        asked = {"cpu": Decimal(0), "memory": Decimal(0)}
        for one in workloads(place):
            for part in one.pod["containers"]:
                for name in asked:
                    quantity = amount(part["resources"]["requests"][name])
                    asked[name] += quantity * one.document["spec"]["replicas"]
        assert asked["cpu"] <= Decimal("0.5"), "so that several stacks have room beside each other"
        assert asked["memory"] <= 2 * SIZES["Gi"]

    def test_the_name_of_each_image_is_one_that_is_made_here(self, place: str) -> None:
        said = subprocess.run(
            [sys.executable, "-m", "deploy.images.local", "--help"],
            capture_output=True, text=True, check=True, timeout=60, cwd=ROOT,
        ).stdout  # fmt: skip
        known = set(re.findall(r"[a-z-]+", said))
        images = [part["image"] for one in workloads(place) for part in one.containers]
        for image in images:
            name = image.removeprefix("vllm-slo/").partition(":")[0]
            assert image.startswith("vllm-slo/")
            assert name in known


def amount(text: str) -> Decimal:
    """A quantity of Kubernetes, in cores or bytes."""
    number, unit = re.fullmatch(r"(\d+)(m|Mi|Gi|)", text).groups()  # type: ignore[union-attr]
    return Decimal(number) * SIZES[unit]


def test_amounts_by_hand() -> None:
    assert amount("250m") == Decimal("0.25")
    assert amount("2") == 2
    assert amount("3Mi") == 3_145_728
    assert amount("1Gi") == 1_073_741_824


@places
class TestTheWayIn:
    def test_nginx_has_the_places_limiter_and_the_pods_certificate(self, place: str) -> None:
        text = mounted(place, "vllm-ingress", "settings")["nginx.conf"]
        limiter = ENVIRONMENT["limiter"]
        count = limiter["rate"].partition("/")[0]
        assert f"zone=strangers:10m rate={count}r/s;" in text
        assert f"limit_req zone=strangers burst={limiter['burst']} nodelay;" in text
        assert f"limit_req_status {limiter['reject_code']};" in text
        pod = Workload(named(place, "Deployment", "vllm-ingress"))
        (part,) = pod.containers
        folders = {mount["name"]: mount["mountPath"] for mount in part["volumeMounts"]}
        assert f"ssl_certificate {folders['certificate']}/tls.crt;" in text
        assert f"ssl_certificate_key {folders['certificate']}/tls.key;" in text
        assert f"listen {pod.port('https')} ssl" in text
        (upstream,) = re.findall(r"upstream gateway \{(.*?)\}", text, re.DOTALL)
        assert upstream.split() == ["server", "vllm-gateway:8080;"], "each request asks the Service anew"

    def test_the_suites_own_addresses_have_other_bounds_and_nobody_elses(self, place: str) -> None:
        text = mounted(place, "vllm-ingress", "settings")["nginx.conf"]
        own = re.search(r"geo \$own \{(.*?)\}", text, re.DOTALL)
        assert own is not None
        assert own[1].split() == ["default", "0;", "10.244.0.0/16", "1;", "10.250.0.1/32", "1;"]

    def test_the_gateways_believe_it_about_clients(self, place: str) -> None:
        settings = yaml.safe_load(mounted(place, "vllm-gateway", "settings")["gateway.yaml"])
        assert settings["trusted_proxies"] == ENVIRONMENT["trusted_proxies"] == ["10.244.0.0/16"]

    def test_clients_keep_their_addresses(self, place: str) -> None:
        spec = named(place, "Service", "vllm-ingress")["spec"]
        assert (spec["type"], spec["externalTrafficPolicy"]) == ("NodePort", "Local")

    def test_two_gateways_keep_one_limit(self, place: str) -> None:
        limits = yaml.safe_load(mounted(place, "vllm-gateway", "settings")["gateway.yaml"])["limits"]
        assert limits["storage"] == "redis"
        (part,) = Workload(named(place, "Deployment", "vllm-gateway")).containers
        (url,) = [one["value"] for one in part["env"] if one["name"] == limits["redis_url_env"]]
        assert url == "redis://vllm-redis:6379/0"
        redis = Workload(named(place, "Deployment", "vllm-redis"))
        assert redis.port("redis") == 6379
        assert redis.document["spec"]["replicas"] == 1
        words = redis.containers[0]["args"]
        assert words[words.index("--maxmemory-policy") + 1] == "noeviction"


@places
class TestMonitoring:
    def test_its_jobs_are_some_of_a_hosts_and_lead_to_pods(self, place: str) -> None:
        config = yaml.safe_load(mounted(place, "vllm-prometheus", "settings")["prometheus.yml"])
        host = yaml.safe_load((MONITORING / "prometheus" / "prometheus.yml").read_text())
        known = {one["job_name"]: one for one in host["scrape_configs"]}
        jobs = {one["job_name"]: one for one in config["scrape_configs"]}
        assert set(jobs) == {"engine", "gateway", "alertmanager", "prometheus"} <= set(known)
        for name, (service, page) in {"engine": ("vllm-engine-pods", "http"),
                                      "gateway": ("vllm-gateway-pods", "metrics")}.items():  # fmt: skip
            (found,) = jobs[name]["dns_sd_configs"]
            (port,) = [one for one in headless(place, service)["ports"] if one["name"] == page]
            assert (found["names"], found["type"], found["port"]) == ([service], "A", port["port"])
            assert jobs[name]["sample_limit"] == known[name]["sample_limit"]

    def test_rules_are_a_hosts(self, place: str) -> None:
        held = mounted(place, "vllm-prometheus", "rules")
        wanted = {
            file.name: yaml.safe_load(file.read_text()) for file in (MONITORING / "rules").glob("*.yml")
        }
        assert {name: yaml.safe_load(text) for name, text in held.items()} == wanted

    def test_routes_are_a_hosts_at_once_and_to_the_own_pod_alone(self, place: str) -> None:
        config = yaml.safe_load(mounted(place, "vllm-alertmanager", "settings")["alertmanager.yml"])
        host = yaml.safe_load((MONITORING / "alertmanager" / "alertmanager.yml").read_text())
        assert config["inhibit_rules"] == host["inhibit_rules"]
        assert [one["name"] for one in config["receivers"]] == [one["name"] for one in host["receivers"]]
        urls = {hook["url"] for one in config["receivers"] for hook in one["webhook_configs"]}
        assert urls == {"http://127.0.0.1:9094/alerts"}
        pod = Workload(named(place, "Deployment", "vllm-alertmanager"))
        (receiver,) = [one for one in pod.containers if one["name"] == "receiver"]
        assert receiver["args"] == ["--port", "9094"]
        assert "ports" not in receiver, "it listens to its Pod alone"

    def test_promtool_finds_nothing_wrong(self, place: str, tmp_path: Path) -> None:
        if not PROMTOOL.is_file():
            pytest.skip("no promtool: `make setup PARTS=monitoring`")
        for volume in ("settings", "rules"):
            for name, text in mounted(place, "vllm-prometheus", volume).items():
                (tmp_path / name).write_text(text.replace("/etc/prometheus-rules", str(tmp_path)))
        (tmp_path / "prometheus.yml").rename(tmp_path / "prometheus.yaml")
        done = subprocess.run(
            [str(PROMTOOL), "check", "config", str(tmp_path / "prometheus.yaml")],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert "5 rule files found" in done.stdout


def headless(place: str, name: str) -> Document:
    """A Service whose name in DNS has an address for each of its Pods, whether ready or not."""
    spec: Document = named(place, "Service", name)["spec"]
    assert spec["clusterIP"] == "None"
    assert spec["publishNotReadyAddresses"] is True
    return spec


def test_the_real_engine_changes_nothing_but_the_engine() -> None:
    def others(place: str) -> list[Document]:
        engine = ("Deployment", "vllm-engine")
        return [one for one in rendered(place) if (one["kind"], one["metadata"]["name"]) != engine]

    real, simulated = reversed(LOCAL)
    assert others(real) == others(simulated)
    (engine,) = Workload(named(real, "Deployment", "vllm-engine")).containers
    assert engine["image"].startswith("vllm-slo/engine-cpu:")
    (engine,) = Workload(named(simulated, "Deployment", "vllm-engine")).containers
    assert engine["image"].startswith("vllm-slo/simulator:")
