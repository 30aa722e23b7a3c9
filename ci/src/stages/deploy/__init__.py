"""The stage that writes down how Cloud Run runs an image: its manifest follows from the image."""
