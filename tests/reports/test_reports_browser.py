"""The site in a real browser, from the disk: what is clicked does what it says, and nothing is asked of a network."""

import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from synthetic_suite import HOSTILE

from bench.cli import main

ROOT = Path(__file__).parent.parent.parent
SCRIPTED = ROOT / "tests" / "plugins" / "scripted.py"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # of the browser's own pipes


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """The report of a real run: cells that answered and cells that failed, on two captures."""
    suite = tmp_path_factory.mktemp("runs") / "real"
    methods = f"{SCRIPTED}[behaviour=partial],{SCRIPTED}[behaviour=raise]"
    arguments = ["run", "-s", "blocks", "-m", methods, "-d", "clean,gaussian_noise@2", "--effort", "smoke"]
    ended = CliRunner().invoke(main, [*arguments, "-o", str(suite), "--no-track"])
    assert ended.exit_code == 1, ended.output  # two cells failed, as they were told to
    assert CliRunner().invoke(main, ["report", "-o", str(suite)]).exit_code == 0
    return suite / "report"


@pytest.fixture(scope="module")
def browser() -> Iterator:
    sync = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install -e '.[dev]'")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"needs a browser on the PATH, one of {', '.join(BROWSERS)}: apt-get install chromium")
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser) -> Iterator:
    """A page that notes what it must not do; its end asserts that it did not."""
    page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}"))
    page.on("requestfailed", lambda request: wrong.append(f"{request.failure}: {request.url}"))
    page.on("request", lambda request: request.url.startswith(("file:", "data:")) or wrong.append(request.url))
    yield page
    page.close()
    assert [each for each in wrong if "ERR_ABORTED" not in each] == []  # a picture not waited for when a page is left


def counted(page, text: str) -> None:
    """Waits for the table of cells to say how many it shows."""
    page.locator("#shown", has_text=re.compile(f"^{text}$")).wait_for(timeout=5000)


def first_cells(page, table: str, key: str) -> list[str]:
    return page.locator(f'{table} tbody tr:visible [data-key="{key}"]').all_inner_texts()


def test_a_failed_cell_is_found_in_two_clicks(page, run):
    page.goto((run / "index.html").as_uri())
    page.locator("p.ended a", has_text="failed").click()
    counted(page, "2 of 4")
    page.locator("#cells tbody tr:visible th a").first.click()
    assert "RuntimeError: told to" in page.locator(".ending").inner_text()
    assert "raise" in page.locator("h1").inner_text()


def test_the_heat_map_leads_to_the_cells_of_a_square(page, run):
    page.goto((run / "index.html").as_uri())
    hatched = page.locator("table.heat td.all a")
    assert hatched.count() == 2
    hatched.first.click()
    assert "failed in fit" in page.locator(".ending").inner_text()


def test_a_heading_sorts_and_sorts_back_with_what_is_missing_last(page, run):
    page.goto((run / "cells.html").as_uri())
    heading = page.locator('#cells th[data-key="pose/rotation_deg_median"] button')
    for order in ("ascending", "descending"):
        heading.click()
        assert page.locator("#cells th[aria-sort]").get_attribute("aria-sort") == order
        shown = first_cells(page, "#cells", "pose/rotation_deg_median")
        numbers = [float(text) for text in shown if text]
        assert numbers == sorted(numbers, reverse=order == "descending")
        assert shown[-2:] == ["", ""]


def test_filters_narrow_the_cells_and_stay_in_the_address(page, run):
    page.goto((run / "cells.html").as_uri())
    page.keyboard.press("/")
    page.keyboard.type("told to")
    counted(page, "2 of 4")
    page.select_option('select[name="degradation"]', "gaussian_noise@2")
    counted(page, "1 of 4")
    page.reload()
    counted(page, "1 of 4")
    page.locator("#filters button[type=reset]").click()
    counted(page, "4 of 4")


def test_the_reader_chooses_statistic_tier_measure_and_degradation(page, report):
    page.goto((report / "index.html").as_uri())
    assert page.locator(".aggregated:visible").count() == 1
    number = page.locator('.aggregated:visible td[data-key="pose/rotation_deg_median penalised"]').first
    assert number.locator(".iqm").is_visible()
    page.locator('input[name="stat"][value="median"]').check(force=True)
    assert number.locator(".median").is_visible()
    assert not number.locator(".iqm").is_visible()
    page.select_option("#which", "")
    assert page.locator(".aggregated:visible").count() == page.locator("#which option").count() - 1 > 1
    page.locator('input[name="measure"][value="psnr"]').check(force=True)
    assert "." in page.locator("table.heat .square a").first.inner_text()
    shown = page.locator("[data-given]:visible").count()
    tiers = page.locator('input[name="tier"]').all()
    for tier in tiers:
        tier.uncheck(force=True)
    assert page.locator(".aggregated tbody tr:visible").count() == 0
    for tier in tiers:
        tier.check(force=True)
    assert page.locator("[data-given]:visible").count() == shown


def test_given_poses_stay_below_however_the_leaderboard_is_sorted(page, report):
    page.goto((report / "index.html").as_uri())
    heading = page.locator('.aggregated:visible th[data-key="nvs/aligned/psnr penalised"] button')
    for _ in range(2):
        heading.click()
        rows = page.locator(".aggregated:visible tbody tr")
        poses = rows.evaluate_all("(rows) => rows.map((row) => row.classList.contains('poses'))")
        assert poses == sorted(poses)
        assert poses[-1]


def test_a_leaderboard_fits_and_shows_its_other_columns_when_asked(page, report):
    page.set_viewport_size({"width": 1400, "height": 900})
    page.goto((report / "index.html").as_uri())
    table = page.locator(".aggregated:visible")
    wide = "(each) => [each.scrollWidth, each.parentElement.clientWidth]"
    needs, has = table.evaluate(wide)
    assert needs <= has
    ssim = table.locator('th[data-key="nvs/aligned/ssim"]')
    assert not ssim.is_visible()
    page.locator("input.all-columns:visible").check()
    assert ssim.is_visible()


def test_the_slider_uncovers_the_truth_and_the_stages_change_the_picture(page, run):
    page.goto((run / "cells" / "blocks--clean--scripted+behaviour=partial--seed0.html").as_uri())
    over = page.locator(".compare .over")
    assert page.evaluate(
        "[...document.querySelectorAll('.compare img')].every((i) => i.complete && i.naturalWidth > 0)"
    )
    before = over.evaluate("(image) => getComputedStyle(image).clipPath")
    page.locator(".compare input").focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    assert over.evaluate("(image) => getComputedStyle(image).clipPath") != before
    render = over.get_attribute("src")
    page.locator("#stages label", has_text="depth").click()
    assert over.get_attribute("src") != render
    page.locator("#stages label", has_text="aligned").click()
    page.locator(".film button").nth(1).click()
    assert over.get_attribute("src") not in (render, None)
    page.locator(".film button").nth(1).press("ArrowLeft")
    assert over.get_attribute("src") == render


def test_the_error_map_is_black_where_render_and_truth_agree(page, run):
    """A picture laid over itself, seen through the page's own styles and filter."""
    page.goto((run / "cells" / "blocks--clean--scripted+behaviour=partial--seed0.html").as_uri())
    page.locator("label", has_text="error").first.click()
    compare = page.locator(".compare")
    assert brightness(compare) > 40  # a picture of one colour is not the scene
    compare.evaluate("(box) => { box.querySelector('.over').src = box.querySelector('.under').src }")
    page.wait_for_function("document.querySelector('.compare .over').complete")
    assert brightness(compare) < 2


def brightness(locator) -> float:
    return float(np.asarray(Image.open(io.BytesIO(locator.screenshot())).convert("L")).mean())


def test_the_cameras_turn_under_the_mouse_and_the_keys(page, run):
    page.goto((run / "cells" / "blocks--clean--scripted+behaviour=partial--seed0.html").as_uri())
    canvas = page.locator(".orbit canvas")
    canvas.scroll_into_view_if_needed()

    def drawn() -> str:
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return canvas.evaluate("(each) => each.toDataURL()")

    seen = [drawn()]
    box = canvas.bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 80, middle[1] + 30, steps=4)
    page.mouse.up()
    seen.append(drawn())
    for key in ("ArrowLeft", "+"):
        canvas.press(key)
        seen.append(drawn())
    page.locator(".orbit label", has_text="estimate").click()
    seen.append(drawn())
    assert len(set(seen)) == len(seen)
    page.locator(".orbit label", has_text="estimate").click()
    page.mouse.move(0, 0)
    page.locator(".orbit button").click()
    page.mouse.move(0, 0)
    assert drawn() == seen[0]


def test_the_theme_turns_dark_and_stays_so(page, run):
    page.goto((run / "index.html").as_uri())

    def paper() -> int:
        return int(page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]"))

    assert paper() > 200
    page.locator("#theme").click()
    assert paper() < 60
    page.locator("nav a", has_text="Protocol").click()
    page.wait_for_url("**/protocol.html")
    assert paper() < 60


def test_no_page_is_wider_than_a_phone(page, run):
    page.set_viewport_size({"width": 390, "height": 844})
    for path in ("index.html", "cells.html", "statistics.html", "protocol.html", "scenes/blocks.html",
                 "cells/blocks--clean--scripted+behaviour=partial--seed0.html"):  # fmt: skip
        page.goto((run / path).as_uri())
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


def test_without_scripts_the_tables_are_whole(browser, run):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((run / "cells.html").as_uri())
    assert page.locator("#cells tbody tr").count() == 4
    page.goto((run / "index.html").as_uri())
    assert page.locator(".aggregated").count() == 2
    assert not page.locator("#controls").is_visible()
    context.close()


def test_hostile_names_run_nothing(page, report):
    for path in (*sorted(report.glob("*.html")), *sorted(report.glob("*/*alert*.html"))):
        page.goto(path.as_uri())
    page.goto((report / "cells.html").as_uri())
    page.select_option('select[name="scene"]', HOSTILE)
    counted(page, "2 of 20")


def test_of_hundreds_of_cells_the_first_are_drawn_and_the_others_are_one_click_away(page, run):
    whole = (run / "cells.html").read_text()
    head, rows, tail = re.match(r"(.*<tbody>)(.*)(</tbody>.*)", whole, re.S).groups()
    (run / "many.html").write_text(head + 100 * rows + tail)
    page.goto((run / "many.html").as_uri())
    counted(page, "400 of 400")
    assert page.locator("#cells tbody tr").count() == 300
    page.locator('#cells th[data-key="status"] button').click()
    page.locator("#more").click()
    assert page.locator("#cells tbody tr").count() == 400
    (run / "many.html").unlink()
