"""The study: whether a VAE with a tiny KL loss behaves like an AE, and what a KL loss that matters does."""
