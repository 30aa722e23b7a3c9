"""The work of each stage as plain Python programs: `python -m stages VERB`."""
