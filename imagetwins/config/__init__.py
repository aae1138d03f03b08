"""What a run is asked to do, and which folders it may touch."""
