"""What the ticks of a day are worth: when rows are missing and why, whether data types agree, what evidence there is."""
