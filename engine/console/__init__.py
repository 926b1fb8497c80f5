"""The supervisors' console and the HTTP API: `make_app(ConsoleDeps(…))`."""

from engine.console.app import make_app
from engine.console.deps import Component, ConsoleDeps, Settings

__all__ = ["Component", "ConsoleDeps", "Settings", "make_app"]
