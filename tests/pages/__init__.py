"""The pages in a real browser: every edge a run can have, in both schemes and two widths."""
