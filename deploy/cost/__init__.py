"""What a stack costs, per hour and per million tokens, from prices written down as data."""
