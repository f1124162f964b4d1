"""Commands of `python -m reports`: one file each, with `add_arguments(parser)` and `run(options)`."""
