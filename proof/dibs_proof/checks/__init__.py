"""Proof from outside: what clients were told, held against the journal, the rows and the edges."""
