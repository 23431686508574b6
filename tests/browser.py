"""A real browser without a window, where the system has one."""

import contextlib
import shutil

import pytest

# All text of a page, also of what its components hide in shadow roots and frames.
_TEXT = """
function text(node) {
  if (node.nodeType === Node.TEXT_NODE) return node.data;
  if (["SCRIPT", "STYLE"].includes(node.tagName)) return "";
  const inside = node.shadowRoot || node.contentDocument?.body;
  return [...(inside ? [inside] : []), ...node.childNodes].map(text).join(" ");
}
return text(document.body);
"""
_IMAGES = """
function images(node) {
  const own = node.tagName === "IMG" && node.naturalWidth ? 1 : 0;
  const inside = node.shadowRoot || node.contentDocument?.body;
  return [...(inside ? [inside] : []), ...node.childNodes].map(images).reduce((a, b) => a + b, own);
}
return images(document.body);
"""


@contextlib.contextmanager
def open_browser():
    """Chromium, driven by Selenium; skips the test where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver", exc_type=ImportError)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    driver = shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("no chromium and chromedriver (Debian: apt-get install chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1400,1000"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=driver)
    browser = webdriver.Chrome(options=options, service=service)
    try:
        yield browser
    finally:
        browser.quit()


def all_text(browser):
    return browser.execute_script(_TEXT)


def loaded_images(browser):
    """How many pictures the page shows."""
    return browser.execute_script(_IMAGES)


def complaints(browser):
    """What the page's scripts complained of."""
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
