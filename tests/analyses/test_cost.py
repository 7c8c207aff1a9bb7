from __future__ import annotations

from latentscan.analyses.analysis import Request, Setting
from latentscan.analyses.cost import Estimate
from latentscan.analyses.kmeans.cloud import CLOUD, CloudParameters
from latentscan.analyses.registry import ANALYSES
from latentscan.scan.cost import Cost
from latentscan.store.schema import Schema

KMEANS, TSNE, COMPARE = (ANALYSES[name] for name in ("kmeans", "tsne", "compare"))
SETTING = Setting((Schema(500, 8, ("z",), chunk_rows=100),), (False,), 2)
OF_Z = CloudParameters(array="z")
WHERE = Request(CLOUD, OF_Z)
CURVES = Request(KMEANS, KMEANS.parameters(k=(2, 5)))


def test_what_one_request_computes_later_ones_find_cached() -> None:
    alone = Estimate(lambda _request, _stores: False)
    curves, where = (alone.cost([one], ("a",), SETTING) for one in (CURVES, WHERE))
    assert where == Cost()  # the curves are built on it
    after = Estimate(lambda _request, _stores: False)
    first, second = (after.cost([one], ("a",), SETTING) for one in (WHERE, CURVES))
    assert (first + second).tasks == curves.tasks
    assert first.tasks == CLOUD.cost_of(SETTING, [OF_Z]).tasks
    assert after.cost([WHERE], ("another",), SETTING) == first


def test_what_is_cached_is_left_out() -> None:
    cached = Estimate(lambda request, _stores: request.analysis is CLOUD)
    nothing = Estimate(lambda _request, _stores: False)
    where = CLOUD.cost_of(SETTING, [OF_Z])
    difference = nothing.cost([CURVES], ("a",), SETTING).tasks - cached.cost([CURVES], ("a",), SETTING).tasks
    assert difference == where.tasks


def test_several_embeddings_cost_less_together() -> None:
    few, many = (Request(TSNE, TSNE.parameters(points=points, perplexity=5)) for points in (50, 90))
    together = Estimate(lambda _request, _stores: False).cost([few, many], ("a",), SETTING)
    one_by_one = Estimate(lambda _request, _stores: False)
    parts = [one_by_one.cost([one], ("a",), SETTING) for one in (few, many)]
    assert together.tasks < sum(part.tasks for part in parts)


def test_a_comparison_requires_analyses_of_each_store() -> None:
    both = Setting((SETTING.schema, SETTING.schema), (False, False), 2)
    request = Request(COMPARE, COMPARE.parameters(k=(2, 5), points=50, perplexity=5, sample=40))
    seen: list[tuple[str, tuple[str, ...]]] = []

    def is_cached(asked: Request, stores: tuple[str, ...]) -> bool:
        seen.append((asked.analysis.name, stores))
        return False

    Estimate(is_cached).cost([request], ("a", "b"), both)
    assert ("compare", ("a", "b")) in seen
    for name in ("stats", "kmeans", "tsne", "pca"):
        assert {stores for asked, stores in seen if asked == name} == {("a",), ("b",)}
