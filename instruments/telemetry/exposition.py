"""The text format of /metrics, read by the Prometheus client library."""

from __future__ import annotations

from collections.abc import Collection

from prometheus_client.parser import text_string_to_metric_families

from instruments.errors import TelemetryError
from instruments.telemetry.snapshot import Snapshot, labels_of


def parse_exposition(text: str) -> Snapshot:
    """Samples and families of one scrape; TelemetryError when the text is not in the format."""
    samples, families = {}, {}
    try:
        for family in text_string_to_metric_families(text):
            # The parser takes `_total` off a counter's name; what queries say has it on.
            name = f"{family.name}_total" if family.type == "counter" else family.name
            families[name] = family.type
            for sample in family.samples:
                samples[sample.name, labels_of(sample.labels)] = float(sample.value)
    except (ValueError, IndexError) as error:
        raise TelemetryError("what was scraped is not in Prometheus' text format", seen=str(error)) from None
    return Snapshot(samples, families)


def parse_some(text: str, names: Collection[str]) -> Snapshot:
    """Samples of these names alone: a load that goes on is not kept waiting for the parsing of the rest."""
    wanted = tuple(names)
    lines = [line for line in text.splitlines() if line.startswith(wanted)]
    found = parse_exposition("\n".join([*lines, ""]))
    return Snapshot({key: value for key, value in found.samples.items() if key[0] in wanted})
