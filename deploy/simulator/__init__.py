"""A server whose timing is dictated and whose wire looks like vLLM 0.32: the known truth that clients are
judged by.
"""
