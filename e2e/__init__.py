"""The end-to-end test and `make demo`: the reference ingestor met by real clients. `python -m e2e.demo` runs it."""
