"""The server: routes, clock, delivery, control."""
