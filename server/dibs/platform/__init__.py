"""Isolates what differs between operating systems: only this package asks which one it runs on.

Each module covers one need, with one implementation for each platform that needs its own.
"""
