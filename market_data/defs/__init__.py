"""The Dagster code: partitions, resources, assets, checks, jobs, schedules, sensors."""
