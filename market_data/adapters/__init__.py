"""The outside world: the vendor's HTTP API, its CSV files, and the object store that holds the lake."""
