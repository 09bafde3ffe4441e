"""`market-data accept`: what this project assumes of the vendor, held against what the vendor answers."""
