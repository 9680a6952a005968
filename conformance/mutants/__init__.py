"""The suite tested: bugs planted in a copy of the reference node, each to be found by the case it names."""
