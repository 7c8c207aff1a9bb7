"""What an autoencoder did with its latent space, on the whole data set."""

__version__ = "0.1.0"
