"""The one-pass engine behind `Features`; only the transformer and the stream call it."""
