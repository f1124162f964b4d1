"""History: what changed over many runs, told from the small documents that each run leaves in its folder."""

from reports.history.since import Since, find_since

__all__ = ["Since", "find_since"]
