"""The server's own code inside the image: `python3 -P -m runtime` becomes a warm vLLM."""
