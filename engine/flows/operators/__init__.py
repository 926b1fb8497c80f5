"""The queue, the desk, and talks between several: everybody who talks sits at a table."""
