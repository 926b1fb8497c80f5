"""Texts: out to staff and residents, and back from them."""
