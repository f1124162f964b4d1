"""Benchmarks: our client beside its peers, each in turn against the server of known timing."""
