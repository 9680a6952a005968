"""Holds a node in any language to the specification in `spec/`.

Nothing here imports the library that is judged as well: what both have in common is the specification alone.
"""
