"""Monitoring: rules, dashboards made from code, and a receiver of alerts."""
