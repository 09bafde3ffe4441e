"""The vendor: its HTTP API, what its answers say, what an account may fetch."""
