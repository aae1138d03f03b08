"""Which settings fit a folder, measured on distorted copies of its own pictures."""
