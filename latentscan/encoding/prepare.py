"""What is known before the first block is written: loaded encoders, the pixels that they take, the noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from latentscan.encoding.parameters import DEFAULT_LIMIT, ON_DISK, EncodeParameters, Noise
from latentscan.encoding.sources import begun_with, chosen_preprocessing, open_source
from latentscan.errors import ParameterError, parameter
from latentscan.images.location import exists
from latentscan.images.source import Status
from latentscan.models.kinds import function_of
from latentscan.models.outputs import named_outputs
from latentscan.paths import as_path, is_url, local_path

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from latentscan.images.preprocessing import Preprocessing
    from latentscan.images.source import ImageSource
    from latentscan.models.encoder import Encoder
    from latentscan.progress import Progress

PROBE_ROWS = 16  # images with which an encoder is tried before anything is written
OF_NOISE = ("seed", "epsilon_limit", "epsilon_factor")
OF_THE_MODEL = {"value_range", "mean", "std"}  # fields of the preprocessing that leave pixels as they are


@dataclass(frozen=True)
class Member:
    """A model that is loaded, and the store that it writes.

    Parameters
    ----------
    model, store
        Where they are.
    encoder
        The loaded model, which knows how it takes pixels.
    noise
        How z is sampled.
    parameters
        Those that were set and concern this model.
    loading
        How images are prepared for it, in a line.
    """

    model: str
    store: str
    encoder: Encoder
    noise: Noise
    parameters: EncodeParameters
    loading: str


@dataclass(frozen=True)
class Prepared:
    """Encoders that take the same pixels, with the images so prepared.

    Parameters
    ----------
    source
        The images.
    members
        The models, and their stores.
    notes
        What to say before they are encoded.
    """

    source: ImageSource
    members: tuple[Member, ...]
    notes: tuple[str, ...]


def prepare(
    models: Sequence[str],
    images: str,
    stores: Sequence[str],
    parameters: EncodeParameters,
    progress: Progress,
) -> list[Prepared]:
    """Load encoders, and open the images once for all that take the same pixels.

    Errors are those of `encode_all`.
    """
    for model in models:
        if is_url(model):
            raise ParameterError(f"expected {ON_DISK}", field="model", value=model)
    files = [("model", str(function_of(local_path(model))[0])) for model in models]
    for field, location in (*files, ("images", images)):
        if not exists(location):
            raise ParameterError("does not exist", field=field, value=as_path(location))
    loaded = [_load(model, store, parameters) for model, store in zip(models, stores, strict=True)]
    _require_logvar([encoder for encoder, _ in loaded], parameters)
    groups: dict[str, list[tuple[Member, Preprocessing]]] = {}
    for (encoder, chosen), model, store in zip(loaded, models, stores, strict=True):
        member = _member(encoder, chosen, model, store, parameters)
        pixels = chosen.model_dump_json(exclude=OF_THE_MODEL)
        groups.setdefault(pixels, []).append((member, chosen))
    several = len(models) > 1
    return [_prepared(images, parameters, group, progress, named=several) for group in groups.values()]


def _load(model: str, store: str, parameters: EncodeParameters) -> tuple[Encoder, Preprocessing]:
    from latentscan.models.encoder import load_encoder  # Keras takes seconds to start

    encoder = load_encoder(
        local_path(model),
        outputs=named_outputs(parameters.outputs),
        trust=parameters.trust_model,
        asked=parameters.preprocessing,
        layer=parameters.layer,
        custom_objects=None if parameters.custom_objects is None else local_path(parameters.custom_objects),
    )
    chosen = chosen_preprocessing(
        encoder,
        parameters.preprocessing,
        override=parameters.override_preprocessing,
        begun=begun_with(store, "preprocessing"),
    )
    return encoder, chosen


def _member(
    encoder: Encoder, chosen: Preprocessing, model: str, store: str, parameters: EncodeParameters
) -> Member:
    loading = _loading(chosen, parameters, trained=encoder.preprocessing is not None)
    samples = "logvar" in encoder.outputs
    return Member(
        model,
        store,
        encoder.with_preprocessing(chosen, override=parameters.override_preprocessing),
        _noise(encoder, parameters) if samples else Noise(),
        parameters if samples else _without_noise(parameters),
        loading,
    )


def _prepared(
    images: str,
    parameters: EncodeParameters,
    group: Sequence[tuple[Member, Preprocessing]],
    progress: Progress,
    *,
    named: bool,
) -> Prepared:
    members = tuple(member for member, _ in group)
    begun = {member.store: begun_with(member.store, "source") for member in members}
    source = open_source(
        images,
        group[0][1],
        root=parameters.root,
        pixel_limit=parameters.pixel_limit,
        attributes=parameters.attributes,
        recorded=next((record for record in begun.values() if record is not None), None),
        progress=progress,
    )
    notes = [*source.notes, *_notes_on_names(begun, source)]
    for member in members:
        own = (member.loading, *member.encoder.notes, *_range_notes(member.encoder, source, parameters))
        notes += [f"{member.model}: {line}" if named else line for line in own]
    return Prepared(source, members, tuple(notes))


def _notes_on_names(begun: Mapping[str, Mapping[str, Any] | None], source: ImageSource) -> list[str]:
    """Return what to say where a store was begun with images of another name: pixels are not compared."""
    name = source.describe()["name"]
    return [
        f"{store} was begun with images of {record['name']}, now they are of {name}: its rows stay, and "
        "whether these are the same images is not checked; for others, write another store"
        for store, record in begun.items()
        if record is not None and record.get("name", name) != name
    ]


def _require_logvar(encoders: Sequence[Encoder], parameters: EncodeParameters) -> None:
    """Check that an encoder has a logvar where it is said how z is sampled."""
    given = {name: value for name in OF_NOISE if (value := getattr(parameters, name)) is not None}
    if not given or any("logvar" in encoder.outputs for encoder in encoders):
        return
    field, value = next(iter(given.items()))
    left_out = " and ".join(parameter(name) for name in given)
    subject = "the encoder has" if len(encoders) == 1 else "the encoders have"
    raise ParameterError(f"{subject} no logvar; leave out {left_out}", field=field, value=value)


def _without_noise(parameters: EncodeParameters) -> EncodeParameters:
    given = parameters.model_dump(exclude_unset=True, exclude=set(OF_NOISE))
    return EncodeParameters.model_validate(given)


def _noise(encoder: Encoder, parameters: EncodeParameters) -> Noise:
    """Return how z is sampled: what is asked for, else that of the training."""
    return Noise(
        parameters.seed or 0,
        _first(parameters.epsilon_limit, encoder.epsilon_limit, DEFAULT_LIMIT),
        _first(parameters.epsilon_factor, encoder.epsilon_factor, 1.0),
    )


def _first(*values: float | None) -> float:
    return next(value for value in values if value is not None)


def _range_notes(encoder: Encoder, source: ImageSource, parameters: EncodeParameters) -> list[str]:
    """Return what to say of the range of pixels of a model whose training is not known."""
    asked = "value_range" in parameters.preprocessing
    if encoder.takes.value_range is not None:
        return encoder.range_notes(None, asked=asked)
    probe = source.read(0, min(PROBE_ROWS, len(source)))
    return encoder.range_notes(probe.values[probe.status == Status.GOOD], asked=asked)


def _loading(chosen: Preprocessing, parameters: EncodeParameters, *, trained: bool) -> str:
    if parameters.model_fields_set & {"loader", "orientation", "alpha"}:
        why = "as asked for"
    elif trained:
        why = "as in the training"
    else:
        why = f"assumed; other ways: {parameter('loader')}, {parameter('fit')}"
    return f"images: {chosen.in_words} ({why})"
