"""What things are: data types, venues, instruments, tick files, limits. Pure."""
