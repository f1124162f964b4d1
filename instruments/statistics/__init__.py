"""From records to numbers. Pure functions of a LoadRun: any run can be summarized again."""

from instruments.statistics.summary import RunSummary, summarize

__all__ = ["RunSummary", "summarize"]
