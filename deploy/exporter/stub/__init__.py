"""A stand-in for libnvidia-ml.so.1 whose readings a file dictates, for machines without a GPU."""
