"""Moves and their undo: journal, plan, execution, restore, recovery."""
