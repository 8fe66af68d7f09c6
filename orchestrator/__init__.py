"""Routing and the shell around it: the pure core, the service that runs it, and the questions asked of a log."""
