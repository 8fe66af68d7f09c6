"""The questions asked of a log: each folds or follows what was read, and answers with values.

None of them reaches a bus or the shell's service: who asks reads the log and hands over its messages, so asking
never writes. Nothing in the shell asks them."""
