"""The watchdog: keeps engine, gateway and exporter running on a host where nothing better does."""
