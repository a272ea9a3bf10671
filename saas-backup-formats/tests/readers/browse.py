"""Opens a site of pages in headless Chromium, from its folder, and tells what happens as JSON.

    browse.py FOLDER < steps.json > answers.json

A step is a list: ["open", PATH], ["type", TEXT], ["key", NAME], ["scheme", "light" | "dark"], ["size", WIDTH, HEIGHT],
["shot", FILE], ["save", SELECTOR, FILE], ["ask", EXPRESSION], ["await", EXPRESSION, SECONDS]. `save` follows a link to a
file that no page shows, and keeps what comes. Of each `ask` and `await` the value comes back;
`await` tells the milliseconds until the expression was true. Besides them come all requests that left the folder, and
all errors and messages of the console.

Chromium is Debian's package `chromium`; the protocol is that of its developer tools.
"""

import base64
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

import websocket

KEYS = {"ArrowDown": 40, "ArrowUp": 38, "Enter": 13, "Escape": 27, "/": 191, "Tab": 9}
FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync --hide-scrollbars --force-color-profile=srgb --remote-debugging-port=0
    --remote-allow-origins=*""".split()


class Refused(Exception):
    """The browser did not take a call: between two pages there is nothing to ask, for one."""


class Browser:
    def __init__(self):
        self.profile = tempfile.mkdtemp()
        command = ["chromium", *FLAGS, "--user-data-dir=" + self.profile, "about:blank"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        told = pathlib.Path(self.profile, "DevToolsActivePort")
        until = time.monotonic() + 60
        while not (told.exists() and "\n" in told.read_text()):
            if time.monotonic() > until or self.process.poll() is not None:
                raise SystemExit("chromium does not start")
            time.sleep(0.05)
        port = told.read_text().split("\n")[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
            page = next(target for target in json.load(answer) if target["type"] == "page")
        self.socket = websocket.create_connection(page["webSocketDebuggerUrl"], timeout=60)
        self.number, self.events, self.requests, self.console, self.download = 0, [], [], [], {}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")

    def call(self, method, **parameters):
        self.number += 1
        number = self.number
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("id") == number:
                if "error" in message:
                    raise Refused(message["error"])
                return message["result"]
            self.note(message)

    def note(self, message):
        method, parameters = message.get("method"), message.get("params", {})
        if method == "Network.requestWillBeSent":
            url = parameters["request"]["url"]
            if not url.startswith(("file:", "data:", "about:")):
                self.requests.append(url)
        elif method in ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
            self.console.append(parameters)
        elif method == "Browser.downloadProgress":
            self.download = parameters
        elif method == "Page.loadEventFired":
            self.events.append(method)

    def open(self, url):
        self.events.clear()
        begun = time.monotonic()
        self.call("Page.navigate", url=url)
        self.loaded()
        return (time.monotonic() - begun) * 1000

    def loaded(self):
        while "Page.loadEventFired" not in self.events:
            self.note(json.loads(self.socket.recv()))

    def ask(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def true(self, expression):
        try:
            return self.ask(f"!!({expression})")
        except Refused:
            return False

    def wait(self, expression, seconds):
        begun = time.monotonic()
        while not self.true(expression):
            if time.monotonic() - begun > seconds:
                raise SystemExit(f"not within {seconds} s: {expression}")
            time.sleep(0.002)
        return (time.monotonic() - begun) * 1000

    def save(self, selector, file):
        with tempfile.TemporaryDirectory(dir=pathlib.Path(file).parent) as folder:
            kept = {"behavior": "allowAndName", "downloadPath": folder, "eventsEnabled": True}
            self.call("Browser.setDownloadBehavior", **kept)
            self.download = {"state": "inProgress"}
            self.ask(f"document.querySelector({json.dumps(selector)}).click()")
            while self.download["state"] == "inProgress":
                self.note(json.loads(self.socket.recv()))
            if self.download["state"] != "completed":
                raise SystemExit(f"not saved: {self.download}")
            pathlib.Path(folder, self.download["guid"]).rename(file)

    def key(self, name):
        text = {"text": name} if len(name) == 1 else {"text": "\r"} if name == "Enter" else {}
        code = {"key": name, "windowsVirtualKeyCode": KEYS[name]}
        self.call("Input.dispatchKeyEvent", type="keyDown", **code, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **code)

    def close(self):
        self.socket.close()
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.profile, ignore_errors=True)


def run(browser, folder, steps):
    answers = []
    for action, *values in steps:
        if action == "open":
            answers.append(browser.open(pathlib.Path(folder, values[0]).resolve().as_uri()))
        elif action == "type":
            browser.call("Input.insertText", text=values[0])
        elif action == "key":
            browser.key(values[0])
        elif action == "scheme":
            browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": values[0]}])
        elif action == "size":
            size = {"width": values[0], "height": values[1]}
            browser.call("Emulation.setDeviceMetricsOverride", **size, deviceScaleFactor=1, mobile=False)
        elif action == "shot":
            picture = browser.call("Page.captureScreenshot", format="png")["data"]
            pathlib.Path(values[0]).write_bytes(base64.b64decode(picture))
        elif action == "save":
            browser.save(*values)
        elif action == "ask":
            answers.append(browser.ask(values[0]))
        elif action == "await":
            answers.append(browser.wait(*values))
        else:
            raise SystemExit(f"no such step: {action}")
    return answers


def main():
    browser = Browser()
    try:
        answers = run(browser, sys.argv[1], json.load(sys.stdin))
        json.dump({"answers": answers, "requests": browser.requests, "console": browser.console}, sys.stdout)
    finally:
        browser.close()


main()
