"""Nodes that talk to each other, and to peers that do not play by the rules."""
