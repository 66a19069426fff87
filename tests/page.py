"""Drive the page of `python -m smp.predict app` through a whole prediction in a browser: python tests/page.py OUT.

For a person to run and look at: writes OUT/page_390.png and OUT/page_1280.png and fails on an error in the browser's
console. Wants playwright, and Chromium or Chrome; the models are those in SMP_OUTPUT.
"""

import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
WIDTHS = (390, 1280)


def main(out: Path, track: str = "image", picture: str = "") -> None:
    out.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "smp.predict", "app", "--track", track, "--port", str(port)]
    server = subprocess.Popen(command)
    try:
        with sync_playwright() as play:
            browser = play.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
            for width in WIDTHS:
                wrong = []
                page = browser.new_page(viewport={"width": width, "height": 900})
                page.on("console", lambda m, w=wrong: w.append(m.text) if m.type == "error" else None)
                page.on("pageerror", lambda e, w=wrong: w.append(str(e)))
                reach(page, f"http://127.0.0.1:{port}")
                page.get_by_label("Title", exact=True).fill("Sunset at the sea")
                page.get_by_label("Tags", exact=True).fill("sunset sea sky beach")
                page.get_by_label("Other titles, one a line").fill("IMG_0042\nThe sea, again")
                if picture:
                    page.locator("input[type=file]").set_input_files(picture)
                started = time.perf_counter()
                page.get_by_role("button", name="Predict").click()
                page.get_by_text("With the first of its tags alone").wait_for(timeout=300_000)
                page.locator("[data-testid=stStatusWidget]").wait_for(state="detached", timeout=300_000)
                page.wait_for_timeout(1500)
                print(f"{width} px: {time.perf_counter() - started:.1f} s, {len(wrong)} errors in the console")
                wide = page.evaluate("document.documentElement.scrollWidth")
                assert wide <= width, f"{wide} px wide: it has to be scrolled sideways"
                page.set_viewport_size({"width": width, "height": 3400})
                page.wait_for_timeout(1500)
                page.screenshot(path=out / f"page_{width}.png")
                assert not wrong, wrong
            browser.close()
    finally:
        server.terminate()
        server.wait()


def reach(page, address: str) -> None:
    """Open the page as soon as it is served."""
    for _ in range(120):
        try:
            page.goto(address)
            break
        except Exception:
            time.sleep(0.5)
    page.get_by_role("button", name="Predict").wait_for(timeout=120_000)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
