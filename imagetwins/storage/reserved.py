"""Names that imagetwins itself gives to files in a user's folder; none of them is ever taken for a picture."""

DUPLICATES = "Duplicates"
"""The sub-folder of the user's folder that duplicates are moved to; it is never scanned."""

MARKER = ".imagetwins-duplicates"
"""The file that imagetwins writes into each `Duplicates` it moves files to: a folder that has it is never scanned."""

MARKER_TEXT = (
    "imagetwins moved duplicates into this folder, and leaves the folder out while this file is in it. "
    "To undo a run: imagetwins restore RUN\n"
)
"""What the marker tells a person who finds it."""

LEASE = ".imagetwins-lease"
"""The object, in the `Duplicates` of a bucket folder, that says which run is at work there."""

OWN_LEASE = f"{DUPLICATES}/{LEASE}"
"""The same, as seen from the folder that it is held on."""

PART_PREFIX, PART_SUFFIX = ".imagetwins-", ".part"
"""What the name of an unfinished copy begins and ends with; it lies beside its target."""
