"""SMS: out, in, and the links in them."""
