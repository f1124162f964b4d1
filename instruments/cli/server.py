"""The server that options name: a target without secrets in sight, and what it says of itself."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass

from instruments.errors import ConfigurationError
from instruments.limits import RequestTimeouts
from instruments.target import Target
from instruments.tokenize import Inquiry, NotOffered, address_of, vocabulary_of
from instruments.workloads.vocabulary import WORDS_AS_TOKENS, Vocabulary

TLS_OPTIONS = ("ca_file", "client_cert", "client_key", "insecure")


@dataclass(frozen=True, slots=True)
class Served:
    """What is known of the server before the load. `simulated` is None where nobody says."""

    model: str
    simulated: bool | None
    vocabulary: Vocabulary


def target_of(options: argparse.Namespace) -> Target:
    """The target. ConfigurationError for what cannot be one; the key itself is never told."""
    _check_address("--base-url", options.base_url)
    if options.proxy is not None:
        _check_address("--proxy", options.proxy)
    given = [name for name in TLS_OPTIONS if getattr(options, name) not in (None, False)]
    if given and not options.base_url.startswith("https:"):
        raise ConfigurationError(
            f"--{given[0].replace('_', '-')} is about TLS, and the base URL is not",
            expected="--base-url https://…",
        )
    if options.client_key is not None and options.client_cert is None:
        raise ConfigurationError("--client-key needs --client-cert")
    return Target(
        base_url=options.base_url,
        headers={}
        if options.api_key_env is None
        else {"Authorization": f"Bearer {_key(options.api_key_env)}"},
        ca_file=options.ca_file,
        client_cert_file=options.client_cert,
        client_key_file=options.client_key,
        verify=not options.insecure,
        proxy=options.proxy,
        timeouts=RequestTimeouts(
            connect_s=options.connect_timeout,
            first_byte_s=options.first_byte_timeout,
            stall_s=options.stall_timeout,
            total_s=options.request_timeout,
        ),
    )


def ask(target: Target, model: str | None, api: str, *, lengths: bool) -> Served:
    """Ask the server which model it serves and, where prompts are made of words, what words cost.

    ConfigurationError where it cannot be reached, or does not know its model and `model` is None.
    """
    with Inquiry(target) as inquiry:
        simulated: bool | None = None
        try:
            first = inquiry.models()[0]
            model, simulated = model or first.name, first.simulated
        except NotOffered:
            if model is None and api != "generate":
                raise ConfigurationError(
                    "the server does not list its models",
                    expected="an answer to GET /v1/models",
                    hint="name the model with --model, and look whether the base URL is right",
                ) from None
        model = model or ""
        return Served(model, simulated, vocabulary_of(inquiry, model) if lengths else WORDS_AS_TOKENS)


def _key(name: str) -> str:
    key = os.environ.get(name)
    if not key:
        raise ConfigurationError(
            f"the environment variable {name} is {'not set' if key is None else 'empty'}",
            expected="the key, in the variable that --api-key-env names",
            hint=f"export {name}, or leave --api-key-env out where no key is needed",
        )
    if not (key.isascii() and key.isprintable()):
        raise ConfigurationError(
            f"the key in {name} cannot be sent in a header",
            expected="printable ASCII without a line end",
        )
    return key


def _check_address(option: str, url: str) -> None:
    if "@" in url:  # before anything else: what stands before it is never shown, whatever else is wrong
        raise ConfigurationError(
            f"{option} holds a user or a password",  # which others could read in the list of processes
            expected="the address alone, without an @",
            hint="see --api-key-env",
        )
    parts = address_of(url)
    if parts is None or (option == "--proxy" and parts.scheme != "http"):
        schemes = "http://HOST:PORT" if option == "--proxy" else "http://HOST[:PORT] or https://HOST[:PORT]"
        raise ConfigurationError(f"{option} {url!r} is not an address", expected=schemes)
    if option == "--base-url" and (parts.query or parts.fragment or parts.path.rstrip("/").endswith("/v1")):
        # A query may hold a key.
        shown = parts._replace(query="", fragment="").geturl()
        raise ConfigurationError(
            f"{option} is more than a base URL: {shown!r}{' with a query' if parts.query else ''}",
            expected="what stands before /v1/chat/completions",
        )
