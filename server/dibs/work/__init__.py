"""`dibs work`: a loop that runs a person's own agents, one command for each feature."""
