"""HTTP for this machine, as several faces serve it: sockets, connections and their limits."""
