"""Made-up markets: prices, books, events."""
