"""Pure rules: what venues, instruments, tick files, layouts and receipts are. No I/O, no clock, no environment."""
