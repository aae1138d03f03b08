"""Which files of a folder are candidates, and what the cache knows of them."""
