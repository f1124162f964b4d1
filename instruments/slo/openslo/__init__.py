"""OpenSLO v1: objectives as its documents, and from them."""

from instruments.slo.openslo.reading import from_openslo, load_openslo
from instruments.slo.openslo.writing import openslo_yaml, to_openslo, yaml_text

__all__ = ["from_openslo", "load_openslo", "openslo_yaml", "to_openslo", "yaml_text"]
