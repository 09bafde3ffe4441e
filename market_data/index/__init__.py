"""The compact form of what receipts and universes say, which readers plan from. Receipts are the truth."""
