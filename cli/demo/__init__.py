"""A whole cell, and a story that is checked while it is told."""
