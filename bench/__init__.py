"""Benchmarks: ratios against something measured in the same run, since absolute times are not stable."""
