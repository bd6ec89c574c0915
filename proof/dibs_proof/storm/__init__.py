"""`dibs storm`: real servers are killed, stopped and disturbed while real clients work, and everything is checked.

Each `agent` uses one server after another and records its calls. `foreign_locks` and `wall_clock` disturb them.
`verdict` compares what clients were answered with the events, the rows and the database's own checks.
"""
