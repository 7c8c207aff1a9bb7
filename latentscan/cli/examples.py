"""Two examples of each verb, which its help ends with; those of an analysis are made from its value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from latentscan.analyses.registry import ANALYSES

if TYPE_CHECKING:
    from latentscan.analyses.analysis import Analysis

EXAMPLES: dict[str, tuple[str, str]] = {
    "demo": ("", "--out try-out"),
    "study": ("--plan", "--small --out study"),
    "synth": ("faces --images 2000", "faces --images 200000 --seed 1 --workers 8"),
    "train": (
        "vae --images faces --out vae --z-dim 64 --epochs 5",
        "ae --images faces --out ae --resume --epochs 20",
    ),
    "encode": (
        "--model vae --images faces --store vae.zarr",
        "--model encoder.onnx --images faces.zip --store z.zarr",
    ),
    "ingest": (
        "--z z.npy --store z.zarr",
        "--z a.npz:z --mu a.npz:mu --paths names.txt --store z.zarr",
    ),
    "generate": (
        "--model vae --normal --out faces.png",
        "--model vae --store vae.zarr --count 100 --out faces.png",
    ),
    "kmeans": (
        "--store vae.zarr --k 2:80:2 --seeds 3 --plot inertia.png",
        "--store vae.zarr --k 10,20,40 --json",
    ),
    "tsne": (
        "--store vae.zarr --plot map.png --colour cluster",
        "--store vae.zarr --perplexity 10,30,100 --plot maps.png",
    ),
    "runs": (
        "ae1.zarr ae2.zarr vae1.zarr vae2.zarr --plot runs.png",
        "a*.zarr v*.zarr --kind 'ae=a*.zarr' --kind 'vae=v*.zarr'",
    ),
    "images": ("--store vae.zarr --outliers --out outliers.png", "--store vae.zarr --nearest 7 --count 12"),
    "export": ("--store vae.zarr --out points.parquet --k 40", "--store vae.zarr --out map.csv --mapped"),
    "plot": (
        "--store vae.zarr --out pictures",
        "--store vae.zarr --out pictures --format svg --colour split",
    ),
    "report": (
        "--store ae.zarr --store vae.zarr --out page.html",
        "--store ae.zarr --model ae --images faces --out page.html",
    ),
    "info": ("vae.zarr", "vae.zarr --json"),
    "check": ("--store vae.zarr", "--store vae.zarr --repair"),
    "results list": ("--store vae.zarr", "--store vae.zarr --json"),
    "results remove": ("--store vae.zarr --stale", "--store vae.zarr kmeans/1f0c"),
    "submit": ("jobs/stats.yaml --plan", "jobs/kmeans.yaml --profile existing --detach"),
    "jobs list": ("--store vae.zarr", "--scheduler tcp://127.0.0.1:8786 --json"),
    "jobs show": (
        "tsne-20260131T091500-1f0c --store vae.zarr",
        "tsne-20260131T091500-1f0c --store vae.zarr --json",
    ),
    "jobs logs": (
        "tsne-20260131T091500-1f0c --store vae.zarr",
        "tsne-20260131T091500-1f0c --store vae.zarr --follow",
    ),
    "jobs wait": (
        "tsne-20260131T091500-1f0c --store vae.zarr",
        "tsne-20260131T091500-1f0c --store z.zarr --timeout 60",
    ),
    "jobs cancel": (
        "tsne-20260131T091500-1f0c --store vae.zarr",
        "tsne-20260131T091500-1f0c --profile existing",
    ),
    "cluster check": ("--profile local", "--cluster cluster.yaml --profile slurm --json"),
}
_GIVEN = {  # what an analysis may be of, by the name of the argument
    "store": "vae.zarr",
    "stores": "ae.zarr vae.zarr",
    "model": "vae",
    "images": "faces",
    "run": "vae",
}


def examples_of(verb: str) -> tuple[str, ...]:
    """Return what a user may type, two commands; none for a verb that has verbs of its own.

    Examples
    --------
    >>> examples_of("info")
    ('latentscan info vae.zarr', 'latentscan info vae.zarr --json')
    >>> examples_of("axes")
    ('latentscan axes --store vae.zarr --plot axes.png', 'latentscan axes --store vae.zarr --json')
    """
    if verb in EXAMPLES:
        words: tuple[str, ...] = EXAMPLES[verb]
    elif verb in ANALYSES:
        words = _of_analysis(ANALYSES[verb])
    else:
        words = ()
    return tuple(f"latentscan {verb} {rest}".rstrip() for rest in words)


def with_examples(command: Any, verb: str) -> Any:
    """Return a verb, or a group of verbs, whose help ends with examples."""
    for name, own in getattr(command, "commands", {}).items():
        with_examples(own, f"{verb} {name}")
    examples = examples_of(verb)
    if examples:  # after \b the help breaks lines where they are broken here
        command.epilog = "\n".join(["\b", "Examples:", *(f"  {example}" for example in examples)])
    return command


def _of_analysis(analysis: Analysis[Any]) -> tuple[str, str]:
    given = " ".join(
        _GIVEN[one.name] if one.several else f"--{one.name} {_GIVEN[one.name]}"
        for one in analysis.inputs.arguments
        if one.required
    )
    return f"{given} --plot {analysis.name}.png", f"{given} --json"
