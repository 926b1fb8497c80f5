"""Whoever is rung about a ticket, may decline it, may phone in, and may be called once more only so often."""
