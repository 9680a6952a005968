"""`casty demo`: three nodes as processes of their own, a killed leader, and the proof that nothing was lost."""
