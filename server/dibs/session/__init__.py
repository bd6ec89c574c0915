"""One caller of a backlog: its identity, its claims and the renewal of their leases."""
