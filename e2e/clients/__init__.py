"""The clients of the end-to-end test; each one reports, in events, what it sent and what the server told it."""
