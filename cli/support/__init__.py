"""What the verbs share: options, reading and waiting, words and tables. It asks nothing of any verb."""
