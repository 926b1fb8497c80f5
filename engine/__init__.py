"""Dozvon: the call that gets through.

A resident phones; the call becomes a ticket with its recording; an emergency walks a tree of people, ringing and texting
them, until one of them accepts. Read `flows/hotline.py`, then `flows/walker.py`, then `domain/escalation.py`.
"""

__version__ = "0.1.0"
