"""The suite tested: one-line bugs planted in a copy of the reference node, each to be found by the case that names it."""
