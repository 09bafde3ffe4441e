"""What the ticks of a day are worth: gaps and their causes, whether data types agree, what evidence there was."""
