"""The stage that looks for credentials in everything of ours that an image holds."""
