"""Faults for the security suite: one planted fault turns the right claims red, and only those."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .mutant import Mutant, behind, patched

FOLDER = "suites/security"
# A stream lasts for as long as is hammered beside it, a load for as long as is asked beside it.
PACED: Mapping[str, Any] = {
    "engine": {"simulator_arguments": ["--ttft-ms", "20", "--itl-ms", "6"]},
    "exporter": {"kind": "none"},
}
# The gateway is reached directly: TLS of its own is not hidden by an ingress.
DIRECT: Mapping[str, Any] = {**PACED, "ingress": None}
UNLIMITED = [
    {"name": name, "key_env": f"GATEWAY_KEY_{name.upper()}"} for name in ("suite", "second", "limited")
]
ROUTES, KEYS, TLS = f"{FOLDER}/test_routes.py", f"{FOLDER}/test_keys.py", f"{FOLDER}/test_tls.py"
LIMITS, ABUSE = f"{FOLDER}/test_limits.py", f"{FOLDER}/test_abuse.py"
SETTINGS, UNDER_LOAD = f"{FOLDER}/test_settings.py", f"{FOLDER}/test_under_load.py"


def fault(name: str, why: str, file: str, *red: str, **more: Any) -> Mutant:
    """A fault, and the functions of one file that must find it; `red` without the "test_" of their names."""
    scope = more.pop("scope", None) or tuple(f"{file}::test_{one.partition('[')[0]}" for one in red)
    ground = more.pop("ground", PACED)
    return Mutant(f"security-{name}", tuple(dict.fromkeys(scope)), red, why, ground=ground, **more)


def patch(name: str, why: str, file: str, *red: str, **more: Any) -> Mutant:
    """The same, planted in the gateway."""
    return fault(name, why, file, *red, profile=patched(f"security-{name}"), **more)


def later(name: str, why: str, file: str, *red: str, **more: Any) -> Mutant:
    """The same, planted once the stack stands."""
    return fault(name, why, file, *red, after=f"security-{name}", **more)


OPEN = {"authentication": "off"}
OLD_TLS = {"tls": {"minimum_version": "1.0"}}

MUTANTS = [
    fault(
        "authentication-off",
        "the gateway asks for no key",
        ROUTES,
        "a_guarded_route_opens_for_a_key_in_its_header_only",
        "the_engines_own_key_opens_nothing",
        "the_engine_hears_nothing",
        "a_path_means_one_thing",
        "no_header_renames",
        gateway=OPEN,
        scope=(ROUTES,),
    ),
    fault(
        "engine-open",
        "the engine lets in whoever reaches it",
        ROUTES,
        "the_engine_itself_wants_its_own_key",
        engine=behind("security-engine-open"),
    ),
    patch(
        "routes-open",
        "what vLLM leaves open is on the list, though the settings do not say so",
        ROUTES,
        "what_is_not_on_the_list_is_not_there",
        "the_engine_hears_nothing_of_what_is_refused",
    ),
    patch("methods-taken", "any method is answered", ROUTES, "a_method_that_is_not_offered_is_refused"),
    patch("paths-tidied", "paths are tidied up", ROUTES, "a_path_means_one_thing_however_it_is_written"),
    patch("renamed", "a header names another path or method", ROUTES, "no_header_renames_a_request"),
    patch("probe-tells", "probes say where the engine is", ROUTES, "probes_need_no_key_and_tell_nothing"),
    patch("keys-logged", "the gateway's log has keys", KEYS, "no_file_of_the_run_holds_a_key"),
    patch(
        "label-as-said",
        "the label of the model is what clients write",
        KEYS,
        "no_metric_holds_a_key",
        "no_series_and_no_alert_holds_a_key",
    ),
    patch("key-in-arguments", "a child has a key in argv", KEYS, "the_list_of_processes_shows_no_key"),
    patch("key-repeated", "answers repeat the key", KEYS, "no_answer_repeats_a_key"),
    patch(
        "timing",
        "a guess that begins as the key does takes 5 ms longer",
        KEYS,
        "how_long_a_refusal_takes_tells_nothing_of_the_key",
    ),
    fault(
        "tls-1.0",
        "the gateway speaks TLS from 1.0 on, with any cipher",
        TLS,
        "no_version_before_1_2_is_spoken[tls1.0]",
        "no_version_before_1_2_is_spoken[tls1.1]",
        "no_weak_cipher_is_taken[cbc]",
        also=("no_weak_cipher_is_taken",),
        gateway=OLD_TLS,
        ground=DIRECT,
    ),
    later(
        "cbc",
        "the ingress takes old ciphers alone",
        TLS,
        "what_is_agreed_on_is_sound[1.2]",
        "no_weak_cipher_is_taken[cbc-sha256]",
    ),
    patch(
        "no-alpn",
        "no protocol is agreed on inside TLS",
        TLS,
        "the_protocol_inside_is_one_that_was_offered",
        ground=DIRECT,
    ),
    later(
        "no-resumption",
        "the ingress forgets sessions",
        TLS,
        "a_session_is_resumed_by_whom_it_belongs_to",
    ),
    fault(
        "plain-http",
        "on the port for TLS plain HTTP is answered too",
        TLS,
        "nothing_is_answered_to_early_or_plain_bytes",
        profile=patched("plain-http-served"),
        ground=DIRECT,
    ),
    later(
        "other-certificate",
        "a certificate that ends soon, is good for others too, and came with the software",
        TLS,
        "the_certificate_is_good_for_a_while_yet",
        "the_certificate_is_good_for_this_host_and_no_other",
        "it_is_not_a_certificate_that_came_with_the_software",
    ),
    fault(
        "weak-key",
        "the certificate's key is weaker than this place wants it",
        TLS,
        "the_certificates_key_is_strong",
        profile={"bounds": {"security-ec-bits": 384}},
    ),
    later(
        "redirect-anywhere",
        "HTTP leads to whatever host a client names",
        TLS,
        "plain_http_leads_to_https_and_says_nothing_else",
    ),
    later("hsts-short", "HSTS for a minute", TLS, "hsts_is_asked_for_on_every_answer"),
    later(
        "ingress-unlimited",
        "the ingress limits no address",
        LIMITS,
        "an_address_gets_its_burst_and_its_rate_and_no_more[right-key]",
        "the_published_burst_is_cut_and_health_stays_up",
        "a_refusal_says_when_to_come_back_and_keeps_its_word[address]",
        also=("an_address_gets_its_burst",),
    ),
    fault(
        "keys-unlimited",
        "no key has a limit",
        LIMITS,
        "a_refusal_says_when_to_come_back_and_keeps_its_word[key]",
        "a_key_is_one_key_from_wherever_it_is_used",
        "an_open_stream_is_not_cut_when_its_owner_is_refused",
        gateway={"keys": UNLIMITED},
    ),
    patch(
        "no-retry-after",
        "a refusal says nothing of when to come back",
        LIMITS,
        "a_refusal_says_when_to_come_back_and_keeps_its_word[key]",
    ),
    fault(
        "forwarded-for-believed",
        "X-Forwarded-For of anybody is believed",
        LIMITS,
        "whoever_claims_another_address_with_each_request_is_limited_all_the_same",
        gateway={"trusted_proxies": ["0.0.0.0/0", "::/0"]},
    ),
    patch(
        "limits-shared",
        "all keys share the limit of one",
        LIMITS,
        "who_keeps_within_the_limits_is_not_disturbed",
    ),
    patch(
        "reload-ignored",
        "SIGHUP changes nothing",
        SETTINGS,
        "a_rotated_key_is_refused_and_the_new_one_let_in",
        "a_file_of_keys_that_cannot_be_read_lets_nobody_in",
    ),
    patch(
        "bodies-unbounded",
        "a body may be as large, and take as long, as it likes",
        SETTINGS,
        "a_body_that_does_not_come_is_not_waited_for",
        "a_body_beyond_the_bound_is_413[gateway",
        scope=(
            f"{SETTINGS}::test_a_body_that_does_not_come_is_not_waited_for",
            f"{ABUSE}::test_a_body_beyond_the_bound_is_413",
        ),
    ),
    patch("tokens-unlimited", "no tokens are ever charged", SETTINGS, "tokens_of_a_key_are_limited"),
    fault(
        "streams-unlimited",
        "all addresses count as the owner's own",
        SETTINGS,
        "so_many_streams_of_one_address_and_no_more",
        profile={"ingress": {"own_addresses": ["127.0.0.0/8"]}},
    ),
    fault(
        "bounds-off",
        "a body may hold as many answers, stops and messages as it likes",
        ABUSE,
        "floods_in_a_body_are_refused_before_the_engine",
        gateway={"bounds": {"max_n": None, "max_stop": None, "max_messages": None, "max_depth": None}},
    ),
    fault(
        "error-200",
        "the engine's refusals of a client come as 200",
        ABUSE,
        "a_flood_of_tokens_is_refused",
        engine=behind("error-200"),
    ),
    patch("refusals-200", "a body is refused with 200", ABUSE, "what_is_no_json_object_is_refused"),
    patch("heads-unbounded", "headers without end are taken", ABUSE, "a_flood_of_headers_is_refused[gateway"),
    patch(
        "two-meanings",
        "two hosts, and codings that nobody knows, are borne",
        ABUSE,
        "no_request_is_smuggled_inside_another[gateway-two-hosts]",
        "no_request_is_smuggled_inside_another[gateway-two-codings]",
    ),
    fault(
        "odd-let-in",
        "the gateway asks for no key",
        ABUSE,
        "odd_requests_get_one_answer_at_most",
        gateway=OPEN,
    ),
    patch(
        "few-connections",
        "of many connections only forty are served",
        ABUSE,
        "many_slow_clients_keep_nobody_out",
    ),
    fault(
        "load-authentication-off",
        "the gateway asks for no key",
        UNDER_LOAD,
        "keys_are_asked_for_under_load",
        gateway=OPEN,
    ),
    fault(
        "load-tls-1.0",
        "the gateway speaks TLS from 1.0 on",
        UNDER_LOAD,
        "tls_keeps_its_floor_under_load",
        gateway=OLD_TLS,
        ground=DIRECT,
    ),
    fault(
        "load-keys-unlimited",
        "no key has a limit",
        UNDER_LOAD,
        "limits_are_exact_under_load",
        gateway={"keys": UNLIMITED},
    ),
    patch("probes-slow", "/ready takes three seconds", UNDER_LOAD, "probes_are_quick_under_load"),
    fault(
        "load-refusals-200",
        "a body is refused with 200",
        UNDER_LOAD,
        "abuse_disturbs_nobody_under_load",
        profile=patched("security-refusals-200"),
    ),
]
