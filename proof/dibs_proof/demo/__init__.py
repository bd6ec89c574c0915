"""`dibs demo`: real servers and clients drain a backlog, one server is killed, and the events are checked.

`run_agents` starts the servers and an `agent` for each. `state` records what the clients saw. `verdict` compares that
with the database and its events, and trusts neither.
"""
