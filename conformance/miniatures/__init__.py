"""Nodes that are wrong in one way each, and tiny: the suite is tried on them.

They keep just enough of the launch contract to get as far as their mistake. Each is started as
`python -m conformance.miniatures.NAME`.
"""
