"""Places of others: what their profiles declare is what is deployed there, and it reaches the Stack."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml

from environments.attach import AttachOptions, attached_stack
from environments.binaries import ROOT
from environments.profile import DeclaredProfile, Profile, profile_path, read_profile
from environments.provider import StackNotReady
from instruments.errors import ConfigurationError

CLUSTERS = ("minikube", "eks", "kubeadm")
SETTINGS = {"minikube": "minikube-rtx3060", "eks": "eks-g5", "kubeadm": "kubeadm-t4", "rtx3090": "rtx3090"}
DEPLOYED = yaml.safe_load((ROOT / "deploy" / "kubernetes" / "environments.yaml").read_text())


class Listing(BaseHTTPRequestHandler):
    """Serves the models `tinyllama` and `other`, and says so to anybody."""

    def do_GET(self) -> None:
        body = json.dumps({"data": [{"id": "other"}, {"id": "tinyllama"}]}).encode()
        self.send_response(200 if self.path == "/v1/models" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Listing) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


@pytest.mark.parametrize("name", CLUSTERS)
def test_a_cluster_declares_the_limiter_that_is_deployed_there(name: str) -> None:
    declared = read_profile(profile_path(name)).declares
    assert declared is not None
    said = DEPLOYED[name]["limiter"]
    assert (declared.rate, declared.burst, declared.limiter_code) == (
        said["rate"],
        said["burst"],
        said["reject_code"],
    )
    assert f"{SETTINGS[name]}.yaml" == DEPLOYED[name]["engine_settings"]


@pytest.mark.parametrize("name", CLUSTERS)
def test_a_cluster_is_stood_up_as_it_is_deployed(name: str) -> None:
    """The overlay of the place, its way in, and the longest prompt of its engine's settings."""
    cluster = read_profile(profile_path(name)).cluster
    assert cluster is not None
    assert cluster.overlay.name == name
    assert (ROOT / cluster.overlay / "kustomization.yaml").is_file()
    ways = {"ingress-nginx": "ingress", "gateway-api": "gateway"}
    assert cluster.way_in == ways[DEPLOYED[name]["way_in"]]
    settings = yaml.safe_load((ROOT / "deploy/engine/settings" / f"{SETTINGS[name]}.yaml").read_text())
    assert cluster.max_model_len == settings["model"]["max_model_len"]
    # Longer than the engine may take to start, by the place's own word, and shorter than a whole run.
    assert DEPLOYED[name]["cold_start_s"] < cluster.ready_timeout_s
    assert cluster.time_budget_s is not None
    assert cluster.time_budget_s > cluster.ready_timeout_s
    assert not cluster.simulated


def test_a_bill_is_bounded_where_somebody_gets_one() -> None:
    cluster = read_profile(profile_path("eks")).cluster
    assert cluster is not None
    assert cluster.max_price_per_hour is not None


@pytest.mark.parametrize("name", SETTINGS)
def test_a_place_is_of_the_model_that_its_engine_is_set_up_for(name: str) -> None:
    said = yaml.safe_load((ROOT / "deploy" / "engine" / "settings" / f"{SETTINGS[name]}.yaml").read_text())
    assert read_profile(profile_path(name)).model == said["model"]["served_name"]


def test_the_stack_has_the_places_name_model_and_reject_code(server: str) -> None:
    place = Profile(
        "minikube", "d", "attach", model="tinyllama", declares=DeclaredProfile(503, "10/second", 50)
    )
    with attached_stack(AttachOptions(server), lambda _: None, place) as stack:
        assert (stack.environment, stack.model, stack.limiter_code) == ("minikube", "tinyllama", 503)
        assert stack.fingerprint["profile.name"] == "minikube"
    with attached_stack(AttachOptions(server, model="other"), lambda _: None, place) as stack:
        assert stack.model == "other"


def test_a_place_of_another_model_is_refused(server: str) -> None:
    place = Profile("eks", "d", "attach", model="llama-3.1-8b")
    with (
        pytest.raises(StackNotReady, match=r"does not serve the model 'llama-3\.1-8b'"),
        attached_stack(AttachOptions(server), lambda _: None, place),
    ):
        pass


def test_without_a_url_the_error_names_the_place() -> None:
    with (
        pytest.raises(ConfigurationError, match="--env kubeadm needs to know where the server is") as error,
        attached_stack(AttachOptions(None), lambda _: None, read_profile(profile_path("kubeadm"))),
    ):
        pass
    assert "pytest --env kubeadm --base-url" in str(error.value)


def test_a_stack_of_ours_declares_nothing() -> None:
    with pytest.raises(ValueError, match="declares is of a stack that is attached to"):
        Profile("mine", "d", "running", declares=DeclaredProfile())
    with pytest.raises(ValueError, match="a burst is one above a rate"):
        DeclaredProfile(burst=20)
