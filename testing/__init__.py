"""For users' own tests: a pytest plugin, and what its fixtures give.

It thinks through and observes; nothing that runs a cell may import it."""
