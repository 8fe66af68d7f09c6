"""The `ro` command: one module a verb, wiring and printing only."""
