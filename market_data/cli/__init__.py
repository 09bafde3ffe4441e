"""The command `market-data`."""
