"""What a newcomer runs first: the real pipeline under a real local Dagster, fed by the embedded vendor simulator."""
