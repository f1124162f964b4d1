"""The dashboards, each a list of panels."""
