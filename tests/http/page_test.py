#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Uses the page at / as a person would, in headless Chromium: sends a message, watches it stream, stops a long answer,
reads the engine's figures. Keeps a screenshot.

    page_test.py PROGRAM MODEL [--chromium PATH] [--screenshot build/page.png]
    page_test.py --url http://127.0.0.1:8000        of a server that runs already
"""

import argparse
import re

from playwright.sync_api import expect, sync_playwright

from served import Server


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", nargs="?")
    parser.add_argument("model", nargs="?")
    parser.add_argument("--url")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--screenshot", default="build/page.png")
    args = parser.parse_args()
    if args.url:
        return look(args.url, args)
    if not args.model:
        parser.error("give PROGRAM and MODEL, or --url")
    server = Server(args.program, args.model)
    try:
        look(server.url, args)
    finally:
        status = server.stop()
    assert status == 0, f"the server ended with {status}"


def look(url, args):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=args.chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        problems, outside = [], []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text) if message.type == "error"
                and not message.text.startswith("Failed to load resource") else None)
        page.on("request", lambda request: outside.append(request.url) if not request.url.startswith(
            (url, "data:")) else None)
        use(page, url)
        page.screenshot(path=args.screenshot)
        browser.close()
    assert not problems, f"the page reported errors: {problems}"
    assert not outside, f"the page asked others: {outside}"
    print(f"the page works; screenshot: {args.screenshot}")


def use(page, url):
    page.goto(url)
    expect(page.locator("#model")).to_contain_text("tokens of context")

    # A chat: the answer streams, and its facts say how it ended.
    page.locator("#prompt").fill("Tell me a story about a brave little mouse.")
    page.locator("#prompt").press("Enter")
    answer = page.locator(".message.assistant").first
    expect(answer.locator(".facts")).to_contain_text("first token after", timeout=60_000)
    assert len(answer.locator(".text").inner_text()) > 20

    # Settings are sent: two greedy continuations are the same.
    page.locator("summary").click()
    page.locator("#mode").select_option("completion")
    page.locator("#temperature").fill("0")
    page.locator("#max_tokens").fill("12")
    for number in (1, 2):
        page.locator("#prompt").fill("Once upon a time")
        page.locator("#send").click()
        expect(page.locator(".message.assistant .facts").nth(number)).to_contain_text("length", timeout=60_000)
    texts = page.locator(".message.assistant .text").all_inner_texts()
    assert texts[1] == texts[2] and texts[1], texts

    # An error of the server is shown, not swallowed.
    page.locator("#temperature").fill("1000")
    page.locator("#prompt").fill("Once")
    page.locator("#send").click()
    expect(page.locator(".message.error .text")).to_contain_text("temperature", timeout=10_000)
    page.locator("#temperature").fill("")

    # A long answer can be stopped.
    page.locator("#max_tokens").fill("900")
    page.locator("#prompt").fill("Once upon a time")
    page.evaluate("document.getElementById('send').click(); document.getElementById('stop').click()")
    expect(page.locator(".message.assistant .facts").last).to_contain_text("stopped")
    expect(page.locator("#send")).to_be_enabled()

    # The engine's view.
    expect(page.locator("#finished")).to_have_text(re.compile(r"^([3-9]|\d{2,})$"), timeout=10_000)
    expect(page.locator("#pages")).to_contain_text("pages in use")
    expect(page.locator("#ttft rect").first).to_be_attached()
    expect(page.locator("#running")).to_have_text("0", timeout=10_000)


if __name__ == "__main__":
    main()
