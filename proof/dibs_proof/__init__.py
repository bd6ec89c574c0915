"""Proof that the promises hold: demo, storm, history checker, invariants. Nothing in `dibs` imports it."""
