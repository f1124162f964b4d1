"""The list of fixture modules, each after those that it imports (pytest marks them in this order)."""

pytest_plugins = [
    "fixtures.options",
    "fixtures.markers",
    "fixtures.session",
    "fixtures.calibration",
    "fixtures.load",
    "fixtures.objectives",
    "fixtures.environment",
    "fixtures.laws",
    "fixtures.probes",
    "fixtures.assets",
    "fixtures.gate",
    "fixtures.reporting",
]
