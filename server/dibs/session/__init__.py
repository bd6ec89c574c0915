"""One caller of a backlog: who it is, which claims it holds, and how they are kept alive."""
