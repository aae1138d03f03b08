"""The tables and records of runs, and how they are read and written."""
