"""What a run is told: the environment and the venues file."""
