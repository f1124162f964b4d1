"""Stand a stack up, or attach to one; hand back a Stack. Places are data: see profiles/."""
