"""Faults of the saboteur, a module a suite: each has a list FAULTS of `tests.faults.planting.Planted`."""
