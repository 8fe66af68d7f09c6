"""Files that people write: read once, within bounds, with the line of whatever is wrong in them."""
