"""`myograph studio`: signals, guided recording, training, live decoding and tests on a page in the browser."""
