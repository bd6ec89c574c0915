"""Rules that several verbs share: conditions, diagnosis of a refused transition, journal, idempotency."""
