"""`python -m market_data` is the command `market-data`."""

from market_data.cli.main import main

main()
