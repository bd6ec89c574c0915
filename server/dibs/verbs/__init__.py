"""Writes to a backlog: each verb is one guarded statement or one write transaction.

A verb takes the transaction and plain arguments, returns an answer, or raises a Refusal and changes nothing.
"""
