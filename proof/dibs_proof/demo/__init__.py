"""`dibs demo`: real servers and clients drain a backlog, one is killed on the way, and the journal is checked.

The story is played by `play`; what the clients saw is kept in `records`; `checks` compares that with what the
database and its journal say, and believes neither.
"""
