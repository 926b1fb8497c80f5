"""What happens: one coroutine per call and per open escalation.

The story, in its order: `hotline` (a call comes in), `conversation` (say, ask, listen), `walker` (the escalation), `dialout` (ring a
person, ask to accept), `verbs` (what can be done to a ticket, whoever does it). `deps` is what every flow is given.

The rooms beside it: `residents` (whoever phones, and is phoned back), `operators` (the queue, the desk, talks between several),
`staff` (whoever is rung, and phones in), `texts` (SMS both ways), `records` (recordings, from call to deletion, and what the dialplan
recorded without us), `watch` (deadlines, digests, and whoever sees that something stands still).
"""
