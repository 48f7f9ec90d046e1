"""Text of a start: no key that the operator gave, and a link to the page that carries a generated one."""

from __future__ import annotations

import re
from pathlib import Path

from imagegateway.stack.example_key import ExampleKey
from imagegateway.stack.welcome import welcome

URL = "http://127.0.0.1:8080"


def test_link_to_the_page_carries_a_generated_key_in_its_fragment() -> None:
    text = welcome(URL, ExampleKey("igw_a", "igw_a", "new"), Path("/data/first-image.png"), 2.0)
    assert f"  web page     {URL}/#key=igw_a\n" in text
    assert "Bearer igw_a" in text
    assert re.search(r'^  \S*imagegateway generate "a lighthouse at dusk"', text, re.MULTILINE)
    assert "/data/first-image.png" in text


def test_key_of_the_settings_is_nowhere_in_the_text() -> None:
    text = welcome(URL, ExampleKey("given", "$IMAGEGATEWAY_API_KEY", "the key from the settings"), None, 2.0)
    assert "given" not in text
    assert f"  web page     {URL}/\n" in text
    assert "Bearer $IMAGEGATEWAY_API_KEY" in text


def test_start_without_a_key_says_how_to_create_one() -> None:
    text = welcome(URL, None, None, 2.0)
    assert f"  web page     {URL}/\n" in text
    assert "imagegateway keys create --tenant NAME" in text
