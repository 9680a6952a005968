"""The other nodes, played by the suite: they say hello, and then exactly what a case wants said."""
