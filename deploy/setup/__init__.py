"""Installs every part of the suite inside the clone: `python3 -m deploy.setup suite engine monitoring model`.

Runs on the system's own Python before anything is installed, so it uses nothing but the standard library.
"""
