"""What happens, as coroutines that read like the conversation they hold. Imports `domain` and `ports` only."""
