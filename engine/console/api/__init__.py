"""The HTTP API, a module for each resource. `ROUTES` of each are put together in `engine.console.app`."""
