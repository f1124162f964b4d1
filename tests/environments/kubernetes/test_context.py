"""Which cluster: named, known, and not production by mistake. Nobody is asked anything."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from environments.kubernetes.context import (
    ClusterOptions,
    chosen_context,
    connected,
    contexts,
    kubectl_environment,
)
from environments.kubernetes.handle import ClusterHandle
from environments.profile import ClusterProfile, Profile
from instruments.errors import ConfigurationError
from tests.environments.kubernetes.keeping_api import write_kubeconfig

PLACE = Profile("cluster", "d", "kubernetes", cluster=ClusterProfile(Path("overlay")))
SERVER = "http://127.0.0.1:9"  # the discard port: nothing may be sent there


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "kubeconfig"
    monkeypatch.setenv("KUBECONFIG", str(path))
    write_kubeconfig(path, "minikube", SERVER)
    return path


@pytest.mark.usefixtures("kubeconfig")
def test_the_current_context_is_never_used() -> None:
    with pytest.raises(ConfigurationError, match="needs to know which cluster") as error:
        chosen_context(PLACE, ClusterOptions())
    assert error.value.seen == "contexts: minikube"
    assert "--context NAME" in (error.value.hint or "")


@pytest.mark.usefixtures("kubeconfig")
def test_a_named_context_is_taken_and_the_option_goes_before_the_profile() -> None:
    assert chosen_context(PLACE, ClusterOptions("minikube")) == "minikube"
    named = Profile("x", "d", "kubernetes", cluster=ClusterProfile(Path("o"), context="elsewhere"))
    assert chosen_context(named, ClusterOptions("minikube")) == "minikube"
    with pytest.raises(ConfigurationError, match="no context 'elsewhere'"):
        chosen_context(named, ClusterOptions())


@pytest.mark.parametrize(
    ("context", "cluster", "user"),
    [
        ("prod", "c", "u"),
        ("eu-prod-1", "c", "u"),
        ("PRODUCTION", "c", "u"),
        ("company_prd_eu", "c", "u"),
        ("live", "c", "u"),
        ("a", "arn:aws:eks:eu-west-1:111122223333:cluster/prod", "u"),
        ("a", "c", "admin@production"),
        ("gke_company_europe-west4_prod2", "c", "u"),
    ],
)
def test_what_looks_like_production_has_to_be_named_twice(
    kubeconfig: Path, context: str, cluster: str, user: str
) -> None:
    write_kubeconfig(kubeconfig, context, SERVER, cluster=cluster, user=user)
    with pytest.raises(ConfigurationError, match="looks like production") as error:
        chosen_context(PLACE, ClusterOptions(context))
    assert f"--allow-context {context}" in (error.value.hint or "")
    with pytest.raises(ConfigurationError, match="looks like production"):
        chosen_context(PLACE, ClusterOptions(context, allow_context="another"))
    assert chosen_context(PLACE, ClusterOptions(context, allow_context=context)) == context


@pytest.mark.parametrize(
    "context", ["products", "reproduce", "delivery", "alive", "preprod", "minikube", "olive"]
)
def test_other_words_are_not_production(kubeconfig: Path, context: str) -> None:
    write_kubeconfig(kubeconfig, context, SERVER)
    assert chosen_context(PLACE, ClusterOptions(context)) == context


def test_every_file_that_kubeconfig_names_is_read_and_the_first_has_the_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    write_kubeconfig(first, "one", SERVER, cluster="of-first")
    write_kubeconfig(second, "two", "http://127.0.0.1:10", cluster="of-second")
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join([str(first), str(tmp_path / "none"), str(second)]))
    assert contexts() == {"one": ("of-first", "u"), "two": ("of-second", "u")}
    assert chosen_context(PLACE, ClusterOptions("two")) == "two"
    with connected("two") as api:
        assert api.context == "two"
        assert api._client.configuration.host == "http://127.0.0.1:10"
    write_kubeconfig(second, "one", "http://127.0.0.1:10", cluster="of-second")
    assert contexts() == {"one": ("of-first", "u")}


def test_without_a_kubeconfig_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(ConfigurationError) as error:
        chosen_context(PLACE, ClusterOptions("minikube"))
    assert f"KUBECONFIG={tmp_path / 'none'}" in (error.value.expected or "")


def test_a_kubeconfig_that_is_none_is_an_error_of_its_own(kubeconfig: Path) -> None:
    kubeconfig.write_text("a: [")
    with pytest.raises(ConfigurationError, match="cannot read"):
        chosen_context(PLACE, ClusterOptions("minikube"))


@pytest.mark.parametrize(
    "text", ["just words", "contexts: [1]", "contexts: words", "contexts: [{context: {}}]", "[1]"]
)
def test_yaml_that_is_no_kubeconfig_is_an_error_of_its_own(kubeconfig: Path, text: str) -> None:
    kubeconfig.write_text(text)
    with pytest.raises(ConfigurationError, match="is no kubeconfig"):
        chosen_context(PLACE, ClusterOptions("minikube"))


@pytest.mark.usefixtures("kubeconfig")
def test_credentials_that_cannot_be_had_are_an_error_of_its_own(kubeconfig: Path) -> None:
    kubeconfig.write_text(kubeconfig.read_text().replace("name: c\n", "name: another\n", 1))
    with (
        pytest.raises(ConfigurationError, match="the context minikube cannot be used"),
        connected("minikube"),
    ):
        pass


def test_kubectl_reads_the_same_files_wherever_it_runs_and_knows_no_key_of_the_caller(
    kubeconfig: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "kubectl"
    program.write_text('#!/bin/sh\necho "$KUBECONFIG $SUITE_KEY $AWS_PROFILE"\n')
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", kubeconfig.name)
    monkeypatch.setenv("SUITE_KEY", "sk-of-the-suite")
    monkeypatch.setenv("AWS_PROFILE", "staging")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert kubectl_environment()["KUBECONFIG"] == str(kubeconfig)
    with connected("minikube") as api:
        handle = ClusterHandle(api, "space", "minikube", (), owned=True)
        said = handle.run_inside("pod", "main", ["true"], 10.0).stdout
    assert said.split() == [str(kubeconfig), "staging"]
