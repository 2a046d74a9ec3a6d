"""A run on disk and in time: its folder, its checkpoints, exact resume, records and progress."""
