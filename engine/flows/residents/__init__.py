"""Whoever phones the hotline: what is done for them in the call, and after it."""
