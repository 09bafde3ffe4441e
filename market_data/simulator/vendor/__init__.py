"""What this vendor has: catalogue, metadata, files."""
