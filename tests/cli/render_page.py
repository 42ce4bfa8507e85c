"""Opens a bring-up's page in headless Chromium, as a reader would, and checks what is to be seen.

usage: render_page.py TESSERA WORK_FOLDER CHECKPOINT [BRINGUP_OPTION...]
       render_page.py --page REPORT_HTML [--screenshots FOLDER]

The first brings the checkpoint up, makes the page again, and checks it; then makes and opens the page of the same run as if the
model had 32 layers. Exit code 77 where Chromium or libtorch is not there.
Chromium is driven over two pipes (--remote-debugging-pipe): JSON messages that end with a zero byte.
"""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SKIPPED = 77
UNSUPPORTED = 5  # exit code of tessera without libtorch
BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome")
WIDTHS = (390, 1280)
LAYERS = 32
SECONDS_TO_OPEN = 1.0  # of a page of so many layers
OPENINGS = 8  # the best of them counts: other programs use the machine
FIGURES = ("figure-modules", "figure-tokens", "figure-generations", "dram", "l1", "figure-speed", "figure-timeline",
           "figure-sharding", "figure-ops")

# What the page says of itself. Sizes are of the elements as they are laid out.
INSPECT = """(() => {
  const size = e => { const r = e.getBoundingClientRect(); return [r.width, r.height]; };
  const shown = e => e.checkVisibility ? e.checkVisibility() : true;
  const figures = {};
  for (const e of document.querySelectorAll('figure[id]')) figures[e.id] = size(e);
  return {
    figures,
    pictures: [...document.querySelectorAll('svg.chart')].filter(shown).map(size),
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    background: getComputedStyle(document.body).backgroundColor,
    headings: [...document.querySelectorAll('h2')].map(e => e.textContent),
    dead: [...document.querySelectorAll('a[href^="#"]')].map(e => e.getAttribute('href').slice(1)).filter(id => !document.getElementById(id)),
    files: [...document.querySelectorAll('a[href^="tables/"]')].map(e => e.getAttribute('href')),
    verdict: document.querySelector('h1').textContent.trim(),
    missing: [...document.querySelectorAll('.missing')].map(e => e.textContent),
  };
})()"""


class Browser:
    """A headless Chromium with one page."""

    def __init__(self, program):
        to_read, self.to_write = os.pipe()
        self.to_listen, answers = os.pipe()
        self.profile = tempfile.TemporaryDirectory()

        def place_pipes():
            # Chromium reads from 3 and writes to 4. Both ends move out of the way first.
            source, target = os.dup(to_read), os.dup(answers)
            os.dup2(source, 3)
            os.dup2(target, 4)

        options = ["--headless", "--disable-gpu", "--remote-debugging-pipe", "--hide-scrollbars",
                   f"--user-data-dir={self.profile.name}", "about:blank"]
        if os.geteuid() == 0:
            options.insert(0, "--no-sandbox")
        self.process = subprocess.Popen([program, *options], close_fds=False, preexec_fn=place_pipes,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_read)
        os.close(answers)
        self.buffer = b""
        self.number = 0
        self.events = []
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        self.session = None
        self.session = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def close(self):
        os.close(self.to_write)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.to_listen)
        shutil.rmtree(self.profile.name, ignore_errors=True)

    def read(self):
        while b"\0" not in self.buffer:
            part = os.read(self.to_listen, 1 << 16)
            if not part:
                raise RuntimeError("the browser ended")
            self.buffer += part
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, parameters=None):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters or {}}
        if getattr(self, "session", None):
            message["sessionId"] = self.session
        os.write(self.to_write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.read()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def wait_for(self, method):
        while not any(event.get("method") == method for event in self.events):
            self.events.append(self.read())

    def evaluate(self, expression):
        answer = self.call("Runtime.evaluate", {"expression": expression, "returnByValue": True})
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def open(self, page, width, scheme):
        """Seconds until the page is loaded and laid out."""
        self.call("Emulation.setDeviceMetricsOverride",
                  {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600})
        self.call("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
        self.events.clear()
        start = time.monotonic()
        self.call("Page.navigate", {"url": Path(page).resolve().as_uri()})
        self.wait_for("Page.loadEventFired")
        self.evaluate("document.body.offsetHeight")
        return time.monotonic() - start

    def screenshot(self, file):
        height = self.evaluate("document.documentElement.scrollHeight")
        width = self.evaluate("document.documentElement.clientWidth")
        image = self.call("Page.captureScreenshot", {
            "captureBeyondViewport": True, "clip": {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}})
        Path(file).write_bytes(base64.b64decode(image["data"]))


def require(condition, text):
    if not condition:
        sys.exit(f"render_page: {text}")


def check_events(events, where):
    for event in events:
        method, parameters = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown" or (
                method == "Runtime.consoleAPICalled" and parameters.get("type") == "error") or (
                method == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning")):
            sys.exit(f"render_page: {where}: the console says {parameters}")
        if method == "Network.requestWillBeSent":
            url = parameters["request"]["url"]
            is_page = parameters.get("type") == "Document" and url.startswith("file:")
            require(is_page or url.startswith("data:"), f"{where}: the page asks for {url}")


def check_look(look, folder, figures, where):
    require(look["overflow"] <= 0, f"{where}: wider than the screen by {look['overflow']} pixels")
    for name in figures:
        name = name if name.startswith("figure-") else f"figure-{name}"
        width, height = look["figures"].get(name, (0, 0))
        require(width > 100 and height > 20, f"{where}: {name} must be seen; it is {width} x {height}")
    require(look["pictures"], f"{where}: no picture is shown")
    for width, height in look["pictures"]:
        require(width > 0 and height > 0, f"{where}: a picture is {width} x {height}")
    require(not look["dead"], f"{where}: links lead nowhere: {look['dead']}")
    require(not look["missing"], f"{where}: something is missing: {look['missing']}")
    for name in look["files"]:
        require((folder / name).is_file(), f"{where}: {name} is linked and not there")


def check_page(program, page, figures, screenshots=None):
    browser = Browser(program)
    try:
        backgrounds = {}
        times = []
        for width in WIDTHS:
            for scheme in ("light", "dark"):
                where = f"{width} px, {scheme}"
                times.append(browser.open(page, width, scheme))
                look = browser.evaluate(INSPECT)
                check_events(browser.events, where)
                check_look(look, Path(page).parent, figures, where)
                backgrounds.setdefault(scheme, look["background"])
                if screenshots:
                    browser.screenshot(Path(screenshots) / f"{width}-{scheme}.png")
                # What is folded must fit too.
                browser.evaluate("document.querySelectorAll('details').forEach(e => e.open = true)")
                check_look(browser.evaluate(INSPECT), Path(page).parent, figures, where + ", unfolded")
                check_events(browser.events, where + ", unfolded")
        require(backgrounds["light"] != backgrounds["dark"], "light and dark look the same")
        print(f"{page}: {look['verdict']}, {len(look['headings'])} sections, {len(look['pictures'])} pictures, "
              f"{Path(page).stat().st_size / 1e3:.0f} kB, opens in {1e3 * min(times):.0f} to {1e3 * max(times):.0f} ms")
    finally:
        browser.close()


def check_time(program, page):
    """Opens the page, at most OPENINGS times, until it opens in time."""
    times = []
    browser = Browser(program)
    try:
        while len(times) < OPENINGS and (not times or min(times) >= SECONDS_TO_OPEN):
            time.sleep(0.5 * len(times))
            times.append(browser.open(page, WIDTHS[-1], "light"))
    finally:
        browser.close()
    require(min(times) < SECONDS_TO_OPEN, f"{page} must open in {SECONDS_TO_OPEN} s; it took {times}")
    print(f"{page}: {Path(page).stat().st_size / 1e3:.0f} kB, opens in {1e3 * min(times):.0f} ms")


def layer_of(name):
    """The number in layers.3.mlp, or None."""
    match = re.search(r"\blayers\.(\d+)", name)
    return int(match.group(1)) if match else None


def with_layer(name, layer):
    return re.sub(r"\blayers\.\d+", f"layers.{layer}", name)


def repeated(items, name_of, renamed):
    """Items, those of the second layer once for each that a deeper model would have: LAYERS in all, in order."""
    layers = sorted({layer_of(name_of(item)) for item in items} - {None})
    if len(layers) < 2:
        return items
    model, out = layers[1], []
    block = [item for item in items if layer_of(name_of(item)) == model]
    for item in items:
        layer = layer_of(name_of(item))
        if layer is None or layer == layers[0]:
            out.append(item)
        elif layer == model and item is block[0]:
            for number in range(1, LAYERS):
                out.extend(renamed(one, with_layer(name_of(one), number)) for one in block)
    return out


def deepen(folder):
    """Makes a run's files those of a model of LAYERS layers, with rows and ops like its second layer's."""
    files = {name: json.loads((folder / f"{name}.json").read_text()) for name in ("bringup", "ops", "timeline", "memory")}
    for stage in files["bringup"]["stages"]:
        stage["rows"] = repeated(stage["rows"], lambda row: row["module"], lambda row, name: {**row, "module": name})
    for name in ("ops", "timeline"):
        for step in files[name]["steps"]:
            step["ops"] = repeated(step["ops"], lambda op: op["scope"], lambda op, scope: {**op, "scope": scope})
    begin = 0.0
    for step in files["timeline"]["steps"]:
        for op in step["ops"]:
            op["begin_us"], begin = begin, begin + op["time_us"]
    # The memory's lists have an element for each op; a phase is deepened by itself.
    memory = files["memory"]
    firsts = [phase["first_op"] for phase in memory["phases"]]
    order, ends = [], firsts[1:] + [len(memory["ops"])]
    for phase, first, end in zip(memory["phases"], firsts, ends):
        phase["first_op"] = len(order)
        order += repeated([(i, memory["ops"][i][1]) for i in range(first, end)], lambda op: op[1],
                          lambda op, scope: (op[0], scope))
    memory["ops"] = [[memory["ops"][i][0], scope] for i, scope in order]
    for history in (memory["dram"], memory["l1"]):
        history["peak_op_number"] = next(n for n, (i, _) in enumerate(order) if i >= history["peak_op_number"])
        for key, values in [*history["used_bytes_by_kind"].items()]:
            history["used_bytes_by_kind"][key] = [values[i] for i, _ in order]
        if "circular_buffer_bytes" in history:
            history["circular_buffer_bytes"] = [history["circular_buffer_bytes"][i] for i, _ in order]
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))


def check_deep_page(program, tessera, work):
    folder = Path(work + "_of_32_layers")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(work, folder)
    deepen(folder)
    subprocess.run([tessera, "report", folder], check=True, capture_output=True)
    page = folder / "report.html"
    require(page.read_text().count(f"layers.{LAYERS - 1}") > 10, "the page of a deep model must show its last layer")
    check_time(program, page)


def main(arguments):
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        print(f"skipped: none of {', '.join(BROWSERS)} is installed")
        return SKIPPED
    if arguments[:1] == ["--page"]:
        screenshots = arguments[3] if arguments[2:3] == ["--screenshots"] else None
        check_page(program, arguments[1], [], screenshots)
        return 0
    tessera, work, *rest = arguments
    shutil.rmtree(work, ignore_errors=True)
    run = subprocess.run([tessera, "bringup", *rest, "--report", work], capture_output=True, text=True)
    if run.returncode == UNSUPPORTED:
        print("skipped: built without libtorch")
        return SKIPPED
    require(run.returncode in (0, 1), f"bringup ended with {run.returncode}: {run.stderr}")
    page = Path(work) / "report.html"
    made = page.read_bytes()
    page.unlink()
    subprocess.run([tessera, "report", work], check=True, capture_output=True)
    require(page.read_bytes() == made, "tessera report makes another page from the same files")
    check_page(program, page, FIGURES)
    check_deep_page(program, tessera, work)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
