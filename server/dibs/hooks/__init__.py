"""Hooks: what Dibs does at events of a coding agent's session without any library. `dibs hook` does the rest."""
