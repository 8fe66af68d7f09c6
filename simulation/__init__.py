"""The real core, shell and executor logic on virtual time, with faults from a seed, and checkers of promises."""
