"""The HTTP door: bodies of Alertmanager and others in, signals out. It never asks whether to remediate."""
