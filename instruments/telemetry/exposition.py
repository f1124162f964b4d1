"""The text format of /metrics, read by the Prometheus client library."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from instruments.errors import TelemetryError
from instruments.telemetry import Snapshot


def parse_exposition(text: str) -> Snapshot:
    """Samples and families of one scrape; TelemetryError when the text is not in the format."""
    samples, families = {}, {}
    try:
        for family in text_string_to_metric_families(text):
            # The parser takes `_total` off a counter's name; what queries say has it on.
            name = f"{family.name}_total" if family.type == "counter" else family.name
            families[name] = family.type
            for sample in family.samples:
                samples[sample.name, frozenset(sample.labels.items())] = sample.value
    except ValueError as error:
        raise TelemetryError("what was scraped is not in Prometheus' text format", seen=str(error)) from None
    return Snapshot(samples, families)
