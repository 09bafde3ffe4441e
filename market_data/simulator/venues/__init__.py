"""Which venues there are, and what they list."""
