"""What each stage of a run does up to its decisions, free of Prefect: read its input, call the core, write its table, return counts.

A file for each stage. Files of the same names in `tasks/` make them Prefect's tasks; `imagetwins/api.py` calls them as they are.
"""
