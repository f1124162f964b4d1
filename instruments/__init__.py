"""The measuring core: knows nothing of pytest, of stacks, of pages."""
