"""Pages from verdicts: reads what a run left behind, starts nothing. `load_run` gives it all as frames."""

from reports.tables import RunTables, load_run

__all__ = ["RunTables", "load_run"]
