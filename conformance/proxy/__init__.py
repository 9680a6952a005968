"""The network between the nodes under test: exact where nothing is asked, and as bad as a case wants it."""
