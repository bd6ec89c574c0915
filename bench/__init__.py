"""Benchmarks: ratios against something measured in the same run, since absolute times are not stable.

The section `waits` compares with the promises themselves, which are in seconds.
"""
