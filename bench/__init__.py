"""Benchmarks: ratios against something measured in the same run, since absolute times are not stable.

What is promised in seconds (`waits`) is held against the promise itself.
"""
