"""From a file's bytes to a thumbnail, in processes that may crash without harm."""
