"""What was recorded: attached to its ticket, kept as long as its class says; and what the dialplan recorded without us."""
