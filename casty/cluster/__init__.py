"""Actor systems on several machines: connections, discovery, remote actors, and the replicated log."""
