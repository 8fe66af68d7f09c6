"""The pure core: it turns the log into a projection, and a projection and a moment into verdicts.

It reads no clock, no network, no environment and no randomness: live routing, audit, backtest and
simulation call it with the same facts and must get the same answer, today and years later."""
