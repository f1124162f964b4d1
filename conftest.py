"""The list of fixture modules, each after those that it imports (pytest marks them in this order)."""

pytest_plugins = [
    "fixtures.options",
    "fixtures.markers",
    "fixtures.session",
    "fixtures.calibration",
    "fixtures.scale",
    "fixtures.load",
    "fixtures.bounds",
    "fixtures.objectives",
    "fixtures.stage",
    "fixtures.environment",
    "fixtures.loading",
    "fixtures.laws",
    "fixtures.probes",
    "fixtures.promql",
    "fixtures.assets",
    "fixtures.gate",
    "fixtures.reporting",
]
