"""Stateless workers: run workflows and choose them, and report. They ask how, never whether."""
