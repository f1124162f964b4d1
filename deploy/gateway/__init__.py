"""The gateway: keys, limits and truthful accounts before one vLLM engine. A process; imported by nobody."""
