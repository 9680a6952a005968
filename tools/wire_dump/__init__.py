"""Shows every frame: of a capture, of a running cluster, or of a few bytes of hex.

Bytes become events in steps, each of them a module: `input` tells kinds of input apart, `capture` and `pcapng`
read packets, `packet` and `reassembly` make streams of them, `stream` makes frames of those, `naming` puts the
nodes' names to their addresses. What is done with the events, the commands say: `cli` lists them.
"""
