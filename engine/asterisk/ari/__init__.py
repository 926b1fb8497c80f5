"""Our own typed client of Asterisk's REST interface (docs/adr/0002)."""
