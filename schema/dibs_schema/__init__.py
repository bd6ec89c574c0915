"""What a Dibs backlog is: its states, tables, shapes and refusals. Nothing in here does I/O."""
