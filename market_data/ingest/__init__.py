"""The use case: the tick files of one venue-day, from the vendor to the lake. Knows no Dagster."""
