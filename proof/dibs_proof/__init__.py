"""Proof that the promises hold: demo, storm, history checker and invariants. Nothing in `dibs` imports it."""
