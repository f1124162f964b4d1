"""What a gateway costs: ours, nginx as a plain proxy, and a well-known Python gateway, before one server."""
