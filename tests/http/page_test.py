#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Uses the page at / as a person would, in headless Chromium: sends a message, watches it stream, stops a long answer,
begins a new conversation while one streams, reads the engine's figures. Then: formatted answers, errors that say what to do, a phone.
Keeps a screenshot.

    page_test.py PROGRAM MODEL [--chromium PATH] [--screenshot build/page.png]
    page_test.py --url http://127.0.0.1:8000        of a server that runs already
"""

import argparse
import json
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
        formatting(page, url)
        problems_say_what_to_do(page, url)
        phone(page, url)
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
    problem = page.locator(".message.error .problem")
    expect(problem).to_contain_text("temperature", timeout=10_000)
    expect(problem).to_be_in_viewport()
    page.locator("#temperature").fill("")

    # A long answer can be stopped.
    page.locator("#max_tokens").fill("900")
    page.locator("#prompt").fill("Once upon a time")
    page.evaluate("document.getElementById('send').click(); document.getElementById('stop').click()")
    expect(page.locator(".message.assistant .facts").last).to_contain_text("stopped")
    expect(page.locator("#send")).to_be_enabled()

    new_conversation_while_an_answer_streams(page)

    # The engine's view.
    expect(page.locator("#finished")).to_have_text(re.compile(r"^([3-9]|\d{2,})$"), timeout=10_000)
    expect(page.locator("#pages")).to_contain_text("pages in use")
    expect(page.locator("#ttft rect").first).to_be_attached()
    expect(page.locator("#running")).to_have_text("0", timeout=10_000)


def new_conversation_while_an_answer_streams(page):
    """What was under way reaches no other conversation."""
    page.locator("#mode").select_option("chat")
    bodies = []
    page.on("request", lambda request: bodies.append(request.post_data_json) if request.method == "POST" else None)
    page.locator("#max_tokens").fill("700")
    page.locator("#prompt").fill("Tell me a story about a dog.")
    page.locator("#send").click()
    expect(page.locator(".message.assistant .text").last).to_have_text(re.compile(r".{20,}", re.S), timeout=60_000)
    page.locator("#reset").click()
    expect(page.locator(".message")).to_have_count(0)
    page.locator("#max_tokens").fill("8")
    for count, text in enumerate(("Tell me a story about a cat.", "And its kittens?")):
        page.locator("#prompt").fill(text)
        page.locator("#send").click()
        expect(page.locator(".message.assistant .facts").nth(count)).to_contain_text("tokens", timeout=60_000)
    assert [m["content"] for m in bodies[1]["messages"]] == ["Tell me a story about a cat."], bodies[1]
    assert [m["role"] for m in bodies[2]["messages"]] == ["user", "assistant", "user"], bodies[2]


MARKDOWN = r"""# Title *here*
**bold**, _slanted_, `a<b>c`, snake_case <img src=x onerror="window.hacked=1">
[good](https://example.org/a?b=c) [bad](javascript:window.hacked=1) [also](data:text/html,x) https://example.org/x.

- one
- two
  1. nested

> quoted

| a | b |
|---|---|
| 1 | **2** |

```html
<script>window.hacked=1</script>
```
"""


def answer_with(page, url, text, finish="stop"):
    """The next chats are answered with this text, in small pieces."""
    events = [{"delta": {"content": text[i:i + 7]}, "finish_reason": None} for i in range(0, len(text), 7)]
    events.append({"delta": {}, "finish_reason": finish})
    body = "".join(f"data: {json.dumps({'choices': [event]})}\n\n" for event in events) + "data: [DONE]\n\n"
    page.route(f"{url}/v1/chat/completions",
               lambda route: route.fulfill(body=body, content_type="text/event-stream"))


def send(page, text):
    page.locator("#prompt").fill(text)
    page.locator("#send").click()
    return page.locator(".message.assistant").last


def formatting(page, url):
    """Markdown becomes elements, and nothing of it script."""
    page.goto(url)
    answer_with(page, url, MARKDOWN)
    answer = send(page, "Anything")
    expect(answer.locator(".facts")).to_contain_text("stop")
    text = answer.locator(".text")
    for selector, expected in {"h1 em": "here", "strong >> nth=0": "bold", "p > em": "slanted", "p > code": "a<b>c",
                               "ul > li >> nth=1 >> ol li": "nested", "blockquote": "quoted", "td strong": "2",
                               "pre code": "<script>window.hacked=1</script>"}.items():
        expect(text.locator(selector)).to_have_text(expected)
    expect(text).to_contain_text('snake_case <img src=x onerror="window.hacked=1">')
    assert text.locator("a").evaluate_all("links => links.map(link => link.href)") == [
        "https://example.org/a?b=c", "https://example.org/x"]
    assert text.locator("img, script").count() == 0 and page.evaluate("window.hacked") is None
    page.unroute(f"{url}/v1/chat/completions")


def problems_say_what_to_do(page, url):
    page.goto(url)
    expect(page.locator("#model")).to_contain_text("tokens of context")
    # A prompt that fills the context.
    answer = send(page, "once upon a time " * 2000)
    expect(answer.locator(".advice")).to_contain_text("begin a new conversation", timeout=20_000)
    expect(answer.locator(".advice")).to_be_in_viewport()
    # A server that wants a key, something between that is no server of ours, a connection that is cut.
    for status, body, expected in (
            (401, '{"error": {"message": "a key is needed", "code": "invalid_api_key"}}', "Settings"),
            (502, "<html>Bad Gateway</html>", "HTTP 502"), (200, "data: {\"choices\": []}\n\n", "ended before")):
        page.route(f"{url}/v1/chat/completions", lambda route: route.fulfill(status=status, body=body))
        answer = send(page, "Once")
        expect(answer).to_contain_text(expected)
        page.unroute(f"{url}/v1/chat/completions")
    expect(page.locator("#key")).to_be_visible()


def phone(page, url):
    """The panel is folded away until it is asked for."""
    page.set_viewport_size({"width": 380, "height": 700})
    page.goto(url)
    expect(page.locator("#engine")).to_be_hidden()
    expect(page.locator("#send")).to_be_in_viewport()
    page.locator("#fold").click()
    expect(page.locator("#running")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 380
    page.locator("#fold").click()
    expect(page.locator("#engine")).to_be_hidden()


if __name__ == "__main__":
    main()
