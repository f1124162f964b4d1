"""The list of fixture modules, nothing else."""

pytest_plugins = [
    "fixtures.options",
    "fixtures.markers",
    "fixtures.session",
    "fixtures.environment",
    "fixtures.load",
    "fixtures.probes",
    "fixtures.assets",
    "fixtures.objectives",
    "fixtures.reporting",
]
