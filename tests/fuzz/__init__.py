"""Answers made up and spoiled by the million, read whole and in pieces: `python -m tests.fuzz --inputs N`."""
