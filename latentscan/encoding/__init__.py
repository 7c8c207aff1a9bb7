"""Images, or latents that were made elsewhere, into a store."""
