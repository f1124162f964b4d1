"""The command line of the instruments: a load by hand, and its summary again from the journal."""
