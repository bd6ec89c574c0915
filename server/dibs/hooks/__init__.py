"""What Dibs does at the events of a coding agent's session, as far as it needs no library. `dibs hook` has the rest."""
