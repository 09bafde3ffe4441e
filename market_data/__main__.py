"""`market-data`, also as `python -m market_data`."""

import sys


def main() -> None:
    """Run the command; a plain install of the package, which only reads, has none of what that needs."""
    try:
        from market_data.cli.main import main as run  # noqa: PLC0415  what a plain install lacks
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "market_data":
            raise
        sys.exit(
            f"market-data needs {error.name}, which a plain install of this package does not bring (it reads lakes and "
            "does nothing else): install it with the extra `pipeline`, or run `make install` in a clone"
        )
    run()


if __name__ == "__main__":
    main()
