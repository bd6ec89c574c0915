"""Import and export, backup, restore and copy of whole backlogs."""
