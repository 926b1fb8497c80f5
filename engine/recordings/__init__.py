"""Recordings: from the legs that the dialplan writes to what is kept, sealed, found again and listened to.

`folder` is the way in: it finishes a call's recording and finds it again. Beside it `archive` (sealed, held, let go), `verify`, `export`,
`rekey`, `disk`, `away` (S3). Nothing is imported here: the worker that joins legs has no need of the rest, and
starts in half the time.
"""
