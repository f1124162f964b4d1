"""Peers: one file each says how a client is installed, run, and read."""
