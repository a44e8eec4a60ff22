"""`kerb top`: the gateway live on a screen. Loaded by its own verb only: Textual is no small thing to load."""
