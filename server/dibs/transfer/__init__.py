"""Import, copy, backup and restore of a whole project."""
