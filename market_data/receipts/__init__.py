"""What happened to each expected tick file, and what was published from it."""
