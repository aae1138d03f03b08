"""One file for each flow: its stages, called in their order."""
