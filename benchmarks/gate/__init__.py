"""The judge judged: whole gates over laws whose truth is known, and how often a verdict is wrong."""
