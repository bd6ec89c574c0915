"""What verbs and queries share: conditions, refusals of transitions, events, idempotency, queue order."""
