"""Daily tick files of crypto venues, as a proven Parquet lake: Dagster assets to fill it, functions to read it."""
