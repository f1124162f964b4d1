"""Images for a cluster on this machine, without a registry: made of what the machine itself has."""
