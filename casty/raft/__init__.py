"""The consensus core: decides everything about Raft and does nothing about it.

No I/O, no clock, no threads, no dice of its own: what happens goes in through `Raft.step`, what must be done
comes out of `Raft.ready`, so that one seed replays one cluster.
"""
