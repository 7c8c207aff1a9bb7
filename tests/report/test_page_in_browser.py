"""The page of `report` in a real browser, from a file: what a reader does, and what must not happen."""

from __future__ import annotations

import io
import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from latentscan.report.page.render import write_report
from tests.builders import analyse, build_store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from selenium.webdriver import Chrome

pytest.importorskip("selenium", reason="drives the browser")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="there is no chromium")

IMAGES = 60
HOSTILE = "<img src=x onerror=window.hacked=1>.png"
NAMES = [HOSTILE, "<!--", "a\u202egnp.exe", "'\";window.hacked=1;//", "=1+1"]
LABELS = ("Smiling", "</script><script>window.hacked=1</script>")
FAR = 7  # an image far out
READY = "return document.documentElement.dataset.ready === 'yes' && latentscan.state.ids.length === 2"
PHONE, LAPTOP = (390, 844), (1280, 900)


def colours() -> NDArray[np.uint8]:
    """A colour for each image, far from those of others."""
    levels = np.array([20, 90, 160, 230], np.uint8)
    return np.stack(np.meshgrid(levels, levels, levels), -1).reshape(-1, 3)[:IMAGES]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of two stores of the same images, whose names and labels are hostile."""
    folder: Path = tmp_path_factory.mktemp("page")
    paths = [*NAMES, *(f"{row}.png" for row in range(len(NAMES), IMAGES))]
    (folder / "images").mkdir()
    for path, colour in zip(paths, colours(), strict=True):
        Image.new("RGB", (40, 40), tuple(colour.tolist())).save(folder / "images" / path, "PNG")
    z = np.random.default_rng(0).standard_normal((IMAGES, 4)).astype(np.float32)
    z[FAR] *= 9
    for name, values in {"a.zarr": z, "<b>.zarr": z[:, ::-1] * 2}.items():
        arrays = {"z": np.ascontiguousarray(values)}
        store = build_store(folder / name, arrays=arrays, paths=paths, labels=LABELS, chunk_rows=25)
        analyse(store, "stats")
        analyse(store, "kmeans", k=(3, 4), seeds=1, reference=False)
        analyse(store, "tsne", points=IMAGES, perplexity=5, iterations=50)
    stores = [str(folder / "a.zarr"), str(folder / "<b>.zarr")]
    write_report(stores, folder / "page.html", images=str(folder / "images"))
    return folder / "page.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    from selenium.webdriver import Chrome
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = str(CHROMIUM)
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    opened = Chrome(options=options, service=Service(DRIVER))
    opened.set_script_timeout(30)
    yield opened
    opened.quit()


@pytest.fixture
def reader(browser: Chrome, page: Path) -> Chrome:
    """The page on a laptop, as it is before anything is chosen."""
    if browser.current_url != page.as_uri() or browser.execute_script("return innerWidth") != LAPTOP[0]:
        show(browser, page, LAPTOP)
    browser.execute_script(
        """
        const menu = document.getElementById("colour");
        menu.value = latentscan.data.colour;
        menu.dispatchEvent(new Event("change"));
        latentscan.select([]);
        """
    )
    return browser


def show(browser: Chrome, page: Path, size: tuple[int, int]) -> None:
    from selenium.webdriver.support.wait import WebDriverWait

    width, height = size
    settings = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", settings)
    browser.get(page.as_uri())
    WebDriverWait(browser, 60).until(lambda one: one.execute_script(READY))


def place(browser: Chrome, row: int, map_number: int = 0) -> tuple[float, float]:
    """Scroll to a map, and return where an image's point is in the window."""
    x, y = browser.execute_script(
        """
        const [row, at] = arguments, { plots, source } = latentscan.state, plot = plots[at];
        const view = Bokeh.index.get_one(plot), frame = view.frame.bbox;
        document.querySelectorAll("[data-map]")[at].scrollIntoView({ block: "center", behavior: "instant" });
        const box = view.el.getBoundingClientRect();
        const share = (axis) => {
          const range = plot[`${axis}_range`], value = source.data[axis + at][row];
          return (value - range.start) / (range.end - range.start);
        };
        const down = (1 - share("y")) * frame.height;
        return [box.left + frame.left + share("x") * frame.width, box.top + frame.top + down];
        """,
        row,
        map_number,
    )
    return x, y


def move(browser: Chrome, points: Sequence[tuple[float, float]], *, pressed: bool) -> None:
    """Move the pointer through points of the window."""
    from selenium.webdriver.common.actions.action_builder import ActionBuilder

    actions = ActionBuilder(browser, duration=20)
    for number, (x, y) in enumerate(points):
        actions.pointer_action.move_to_location(round(x), round(y))  # type: ignore[no-untyped-call]
        if pressed and number == 0:
            actions.pointer_action.pointer_down()  # type: ignore[no-untyped-call]
    if pressed:
        actions.pointer_action.pointer_up()  # type: ignore[no-untyped-call]
    actions.perform()


def chosen(browser: Chrome) -> list[int]:
    rows: list[int] = browser.execute_script("return latentscan.state.order.slice().sort((a, b) => a - b)")
    return rows


def draw_lasso(browser: Chrome, row: int, map_number: int = 0, reach: float = 60) -> None:
    x, y = place(browser, row, map_number)
    around = [(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)]
    move(browser, [(x + reach * dx, y + reach * dy) for dx, dy in around], pressed=True)


def test_nothing_fails_and_nothing_is_asked_of_the_network(reader: Chrome) -> None:
    draw_lasso(reader, 20)
    errors = [line for line in reader.get_log("browser") if line["level"] in {"SEVERE", "WARNING"}]  # type: ignore[no-untyped-call]
    assert not errors
    messages = [json.loads(line["message"])["message"] for line in reader.get_log("performance")]  # type: ignore[no-untyped-call]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert asked
    assert {url.partition(":")[0] for url in asked} <= {"file", "data", "blob"}


def test_every_point_is_drawn_on_every_map(reader: Chrome) -> None:
    drawn = reader.execute_script("return latentscan.state.ids.map((one) => new Set(one.ids).size - 1)")
    assert drawn == [IMAGES, IMAGES] or min(drawn) > 0.9 * IMAGES  # few may lie under others
    seen = np.asarray(Image.open(io.BytesIO(element(reader, "[data-map] .bk-Figure").screenshot_as_png)))
    assert len(np.unique(seen.reshape(-1, seen.shape[-1]), axis=0)) > IMAGES


def element(browser: Chrome, selector: str) -> Any:
    return browser.find_element("css selector", selector)


def test_the_pointer_shows_the_image_of_a_point(reader: Chrome) -> None:
    for row in (0, FAR, 33):
        move(reader, [place(reader, row)], pressed=False)
        box = element(reader, "#hover")
        shown = int(box.get_attribute("data-row"))
        assert box.is_displayed()
        picture = Image.open(io.BytesIO(element(reader, "#hover .thumb").screenshot_as_png)).convert("RGB")
        middle = np.asarray(picture)[picture.height // 2, picture.width // 2]
        np.testing.assert_allclose(middle, colours()[shown], atol=25)
        at = place(reader, shown)
        assert np.hypot(*np.subtract(at, place(reader, row))) < 8  # another one may lie in front


def test_the_pointer_shows_the_figures_of_the_map_that_it_is_on(reader: Chrome) -> None:
    shown = []
    for at in (0, 1):
        move(reader, [place(reader, 33, at)], pressed=False)
        assert element(reader, "#hover").is_displayed()
        names = [one.text for one in reader.find_elements("css selector", "#hover dt")]
        shown.append([name for name in names if name.endswith("<b>.zarr") or name.startswith("cluster of")])
    assert shown == [["cluster of 4"], ["cluster of 4"]]
    options = [one.text for one in reader.find_elements("css selector", "#colour option")]
    assert {"cluster of 4, a.zarr", "cluster of 4, <b>.zarr"} <= set(options)


def test_a_lasso_chooses_the_same_images_everywhere(reader: Chrome) -> None:
    draw_lasso(reader, 20)
    rows = chosen(reader)
    assert 20 in rows
    assert len(rows) < IMAGES
    tiles = reader.find_elements("css selector", "#sheet .tile")
    assert sorted(int(str(tile.get_attribute("data-row"))) for tile in tiles) == rows
    in_front = reader.execute_script(
        """
        const { ids, order } = latentscan.state;
        return ids.map(({ ids }) => order.filter((row) => ids.includes(row)).length);
        """
    )
    assert in_front == [len(rows), len(rows)]
    bars = reader.execute_script(
        """
        const { data, state } = latentscan, sum = (values) => values.reduce((one, other) => one + other);
        return data.histograms.map((at) => sum(state.bars[at].data.chosen));
        """
    )
    assert bars == [len(rows)] * len(bars)
    assert len(bars) == 2
    draw_lasso(reader, 44, map_number=1, reach=30)
    assert 44 in chosen(reader)
    assert chosen(reader) != rows


def test_colours_follow_the_attribute(reader: Chrome) -> None:
    from selenium.webdriver.support.select import Select

    menu = Select(element(reader, "#colour"))
    titles = [option.text for option in menu.options]
    assert {*LABELS, "cluster of 4, a.zarr"} <= set(titles)
    pictures = []
    for title in ("Smiling", LABELS[1]):
        menu.select_by_visible_text(title)
        pictures.append(reader.execute_script("return Array.from(latentscan.state.colours)"))
        assert len(set(pictures[-1])) == 2
    assert pictures[0] != pictures[1]
    yes = [row for row in range(IMAGES) if row // 2 % 3 == 0]  # as the builder has the second label
    element(reader, "#legend button:last-of-type").click()
    assert chosen(reader) == yes


def test_hostile_names_are_text(reader: Chrome) -> None:
    reader.execute_script("latentscan.select([0, 1, 2, 3, 4])")
    texts = [one.text for one in reader.find_elements("css selector", "#sheet .path")]
    assert texts == [HOSTILE, "<!--", "a\\u{202e}gnp.exe", NAMES[3], "=1+1"]
    move(reader, [place(reader, 0)], pressed=False)
    assert reader.execute_script("return window.hacked") is None
    assert "<b>.zarr" in element(reader, "h1").text
    saved = reader.execute_script("return latentscan.save()").split("\r\n")
    assert saved[1].startswith(f"0,{HOSTILE},")
    assert len(saved) == 1 + 5 + 1


def test_the_keyboard_reaches_the_maps_and_the_images(reader: Chrome) -> None:
    from selenium.webdriver.common.keys import Keys

    reader.execute_script("document.querySelector('[data-map]').focus()")
    before = reader.execute_script("return latentscan.state.plots[0].x_range.start")
    reader.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    assert reader.execute_script("return latentscan.state.plots[0].x_range.start") > before
    reader.switch_to.active_element.send_keys("0")
    assert reader.execute_script("return latentscan.state.plots[0].x_range.start") == pytest.approx(before)
    largest = next(
        one for one in reader.find_elements("css selector", "#legend button") if "largest" in one.text
    )
    largest.send_keys(Keys.ENTER)
    assert reader.execute_script("return latentscan.state.order[0]") == FAR


@pytest.mark.parametrize("size", [PHONE, (768, 1024), LAPTOP])
def test_no_width_scrolls_sideways(browser: Chrome, page: Path, size: tuple[int, int]) -> None:
    show(browser, page, size)
    browser.execute_script(
        """
        latentscan.select([0, 1, 2]);
        for (const one of document.querySelectorAll("details")) one.open = true;
        """
    )
    assert browser.execute_script("return document.documentElement.scrollWidth") <= size[0]
    widths = browser.execute_script(
        """
        const pictures = Array.from(document.querySelectorAll(".picture img"));
        return pictures.map((one) => one.getBoundingClientRect().width);
        """
    )
    assert min(widths) > 500 or size != PHONE, "texts of a picture are large enough to be read"
    broken = browser.execute_script(
        """
        const lines = (cell) => {
          const text = document.createRange();
          text.selectNodeContents(cell);
          return text.getClientRects().length;
        };
        const cells = Array.from(document.querySelectorAll("td.right"));
        return cells.filter((one) => !one.textContent.includes("\\n") && lines(one) > 1).length;
        """
    )
    assert broken == 0, "a number and its unit stay on a line"


def test_paper_is_white_and_has_the_thumbnails_in_a_dark_room_too(reader: Chrome) -> None:
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    reader.execute_script("latentscan.select([0, 1, 2])")
    look = """
        const [page, thumb] = [document.body, document.querySelector("#sheet .thumb")].map(getComputedStyle);
        return [page.backgroundColor, page.color, thumb.getPropertyValue("print-color-adjust")];
        """
    try:
        reader.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
        assert reader.execute_script(look)[0] == "rgb(20, 23, 28)"
        reader.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", **dark})
        assert reader.execute_script(look) == ["rgb(255, 255, 255)", "rgb(0, 0, 0)", "exact"]
    finally:
        reader.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})


def test_pictures_are_there_without_scripts(browser: Chrome, page: Path) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(page.as_uri())
        pictures = browser.find_elements("css selector", "main .picture img")
        assert len(pictures) == 4  # stats, pca, kmeans and tsne
        assert all(one.get_attribute("alt") for one in pictures)
        assert element(browser, "noscript").text
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
