"""What stands before the gateway: TLS, rates, and the few routes that are let in."""
