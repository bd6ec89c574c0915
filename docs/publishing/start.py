"""What a bundle starts: the server, in the environment that the host has made from `pyproject.toml`."""

from dibs.__main__ import serve

serve([])
