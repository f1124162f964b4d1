"""Pages from verdicts: reads what a run left behind, starts nothing."""
