"""Reads of a backlog. Each takes a read transaction and returns an answer."""
