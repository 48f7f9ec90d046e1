"""Usage: what ended jobs have cost, and how many there were."""
