"""The trainable models: a network pair with its losses, on any Keras backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from latentscan.models.backend import keras
from latentscan.models.networks import build_decoder, build_encoder, seed_sequence, to_range

if TYPE_CHECKING:
    from latentscan.models.parameters import TrainParameters

ops = keras.ops


def reconstruction_loss(target: Any, output: Any, kind: str) -> Any:
    """Sum the error over the pixels, and average it over channels and batch.

    `target` and `output` are (n, size, size, channels) in 0..1; `kind` is bce or mse.
    """
    error = ops.binary_crossentropy(target, output) if kind == "bce" else ops.square(target - output)
    return ops.mean(ops.sum(ops.mean(error, axis=-1), axis=(1, 2)))


def kl_divergence(mu: Any, logvar: Any) -> Any:
    """Average KL(N(mu, exp(logvar)) || N(0, 1)), summed over components (axis 1), over the batch.

    Kingma & Welling 2013, Auto-Encoding Variational Bayes, appendix B.
    """
    return ops.mean(ops.sum(-0.5 * (1 + logvar - ops.square(mu) - ops.exp(logvar)), axis=1))


class Sampling(keras.layers.Layer):  # type: ignore[misc]
    """z = mu + exp(logvar/2) * clip(epsilon, ±epsilon_limit) * epsilon_factor, clipped elementwise."""

    def __init__(self, epsilon_limit: float = 5.0, epsilon_factor: float = 1.0, **settings: Any) -> None:
        super().__init__(**settings)
        self.epsilon_limit = epsilon_limit
        self.epsilon_factor = epsilon_factor
        self.seeds = keras.random.SeedGenerator(0)

    def reseed(self, seed: int, epoch: int) -> None:
        """Start the stream of epsilon that belongs to an epoch."""
        stream = int(seed_sequence(seed, epoch, 1).generate_state(1)[0]) & 0x7FFFFFFF
        self.seeds.state.assign(ops.convert_to_tensor([stream, 0], dtype=self.seeds.state.dtype))

    def draw(self, mu: Any) -> Any:
        """Draw epsilon ~ N(0, 1), not yet clipped, in the shape of `mu`."""
        return keras.random.normal(ops.shape(mu), dtype=mu.dtype, seed=self.seeds)

    def call(self, inputs: Any, epsilon: Any = None) -> Any:
        """Sample z (n, components) from [mu, logvar]; `epsilon` replaces the draw."""
        mu, logvar = inputs
        if epsilon is None:
            epsilon = self.draw(mu)
        clipped = ops.clip(epsilon, -self.epsilon_limit, self.epsilon_limit)
        return mu + ops.exp(logvar / 2) * clipped * self.epsilon_factor


class Autoencoder(keras.Model):  # type: ignore[misc]
    """image -> z -> image; takes bytes, and reconstructs them in 0..1."""

    def __init__(self, parameters: TrainParameters, size: int, value_range: tuple[float, float]) -> None:
        super().__init__()
        self.reconstruction = parameters.reconstruction
        self.value_range = value_range
        self.encoder = build_encoder(parameters, size)
        self.decoder = build_decoder(parameters, size)
        self.reco_loss = keras.metrics.Mean("reco_loss")

    def reseed(self, seed: int, epoch: int) -> None:
        """Do nothing: an autoencoder draws no random numbers while it trains."""

    def call(self, pixels: Any, training: bool = False) -> dict[str, Any]:
        """Encode and decode bytes (n, size, size, 3)."""
        z = self.encoder(to_range(pixels, self.value_range), training=training)
        return {"output": self.decoder(z, training=training)}

    def compute_loss(self, x: Any, y: Any, y_pred: Any, *_: Any, training: bool = True) -> Any:  # noqa: ARG002
        """Compare the output with the bytes that went in."""
        loss = reconstruction_loss(to_range(x, (0, 1)), y_pred["output"], self.reconstruction)
        self.reco_loss.update_state(loss)
        return loss


class VariationalAutoencoder(Autoencoder):
    """image -> mu, logvar -> z -> image, with the KL loss times `fact`."""

    def __init__(self, parameters: TrainParameters, size: int, value_range: tuple[float, float]) -> None:
        super().__init__(parameters, size, value_range)
        self.fact = parameters.fact
        self.sampling = Sampling(parameters.epsilon_limit, parameters.epsilon_factor)
        self.kl = keras.metrics.Mean("kl")
        self.kl_scaled = keras.metrics.Mean("kl_scaled")
        self.max_abs_epsilon = keras.metrics.Mean("max_abs_epsilon")
        self.max_abs_epsilon_clipped = keras.metrics.Mean("max_abs_epsilon_clipped")
        self.max_logvar = keras.metrics.Mean("max_logvar")

    def reseed(self, seed: int, epoch: int) -> None:
        """Start the stream of epsilon that belongs to an epoch."""
        self.sampling.reseed(seed, epoch)

    def call(self, pixels: Any, training: bool = False) -> dict[str, Any]:
        """Encode, sample and decode bytes (n, size, size, 3)."""
        mu, logvar = self.encoder(to_range(pixels, self.value_range), training=training)
        epsilon = self.sampling.draw(mu)
        z = self.sampling([mu, logvar], epsilon=epsilon)
        return {"output": self.decoder(z, training=training), "mu": mu, "logvar": logvar, "epsilon": epsilon}

    def compute_loss(self, x: Any, y: Any, y_pred: Any, *_: Any, training: bool = True) -> Any:  # noqa: ARG002
        """Add the KL loss, and note the extremes of this step (each metric lives for one step)."""
        reco_loss = super().compute_loss(x, y, y_pred)
        kl = kl_divergence(y_pred["mu"], y_pred["logvar"])
        self.kl.update_state(kl)
        self.kl_scaled.update_state(self.fact * kl)
        farthest = ops.max(ops.abs(y_pred["epsilon"]))
        self.max_abs_epsilon.update_state(farthest)
        self.max_abs_epsilon_clipped.update_state(ops.minimum(farthest, self.sampling.epsilon_limit))
        self.max_logvar.update_state(ops.max(y_pred["logvar"]))
        return reco_loss + self.fact * kl


def build_autoencoder(parameters: TrainParameters, size: int, value_range: tuple[float, float]) -> Any:
    """Build and compile the model of `parameters.kind`, every variable made, ready to load a checkpoint."""
    kinds = {"ae": Autoencoder, "vae": VariationalAutoencoder}
    model = kinds[parameters.kind](parameters, size, value_range)
    # XLA is off: it is slower than TensorFlow's own kernels on CPUs.
    model.compile(optimizer=keras.optimizers.Adam(parameters.learning_rate), jit_compile=False)
    model(ops.zeros((1, size, size, 3), dtype="uint8"))
    model.optimizer.build(model.trainable_variables)
    return model
