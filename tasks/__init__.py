"""One file for each stage: read its input, call the core, write its table, return counts."""
