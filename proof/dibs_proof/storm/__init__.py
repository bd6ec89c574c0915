"""`dibs storm`: real servers are killed, stopped and disturbed while real clients work, and everything is checked.

`plan` says what is drawn, `agent` is a client with a server of its own, `calls` is what it asks for, `ends` is
what becomes of its server and `weather` what comes from outside. What clients were told is kept, and `verdict`
holds it against the journal, the rows and the database's own checks.
"""
