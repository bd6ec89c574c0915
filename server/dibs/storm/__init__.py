"""Trying a database hard: histories of what clients were told, and whether they can be true."""
