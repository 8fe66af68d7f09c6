"""Chaos on real processes: a throw-away cell is hurt, healed and held against what it promises."""
