"""Whether the lake holds what the receipts say, and what the ticks are worth."""
