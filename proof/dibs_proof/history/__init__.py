"""The history checker: the recorded calls of clients, and whether all their answers can be true."""
